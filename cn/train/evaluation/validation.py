"""The images that a run is evaluated on: the same ones with the same noise each time, not trained on where possible."""

import hashlib
import os
from collections.abc import Iterable
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path

from cn.data.blobs import Blob, Content, File, TarMember
from cn.data.examples import Example, Source
from cn.data.folder import FolderDataset, stated_kind
from cn.data.mixture import datasets, mixed
from cn.data.pairs import Pairs, open_pairs
from cn.data.records import ImageFile
from cn.data.scenes import SceneDataset
from cn.data.seeds import EVAL_SEED
from cn.errors import InputError, UsageError
from cn.text import first_names
from cn.train.config import TrainConfig

FIRST_SCENE = 1_000_000
"""Far from the held-out scenes that published figures and previews are of: a checkpoint is chosen by these."""


@dataclass(frozen=True)
class ValidationSet:
    """Examples, what they are in words ("8 held-out scenes"), and what a person should know about them."""

    examples: tuple[Example, ...]
    name: str
    warnings: tuple[str, ...] = ()

    @classmethod
    def of(cls, config: TrainConfig, source: Source, count: int) -> "ValidationSet":
        """`count` examples, or as many as there are: of --eval-data; held-out scenes for a run on scenes; else of the
        training data, evenly spread.

        Raises what opening --eval-data raises.
        """
        if config.eval_data:
            return _of_dataset(config, source, count)
        if source.count is None or isinstance(source, SceneDataset):
            scenes = SceneDataset(config.cond, config.size, EVAL_SEED, FIRST_SCENE)
            return cls(tuple(scenes[i] for i in range(count)), f"{count} held-out scenes")
        count = min(count, source.count)
        squares = mixed([replace(part, buckets=None) for part in datasets(source)])
        chosen = [squares.fetch(i * source.count // count).example for i in range(count)]
        return cls(tuple(chosen), f"{count} pairs of the training data")


def open_eval_data(config: TrainConfig) -> Pairs:
    """The pairs of --eval-data. Raises what `open_pairs` raises; UsageError where they have maps of another kind."""
    pairs = open_pairs(config.eval_data, config.cond)
    if (stated := stated_kind(pairs)) not in (None, config.cond):
        raise UsageError(f"--eval-data {config.eval_data} holds {stated} maps, not {config.cond}")
    return pairs


def _of_dataset(config: TrainConfig, source: Source, count: int) -> ValidationSet:
    """Pairs without a known problem, evenly spread; those that cannot be read are left out."""
    dataset = FolderDataset(open_eval_data(config), config.size, config.cond)
    usable = dataset.pairs.usable()
    count = min(count, len(usable))
    examples, numbers, warnings = [], list[int](), list[str]()
    for number in (usable[place * len(usable) // count] for place in range(count)):
        try:
            examples.append(dataset[number])
            numbers.append(number)
        except InputError as error:
            warnings.append(f"left out of the evaluations: {error}")
    if not examples:
        raise InputError("none of the pairs to evaluate on can be read", path=config.eval_data)
    if shared := shared_images(dataset.pairs, numbers, [part.pairs for part in datasets(source)]):
        which = first_names(shared)
        what = f"{len(shared)} of the {len(examples)} images of --eval-data are trained on too"
        warnings.append(f"{what} ({which}): the score flatters")
    return ValidationSet(tuple(examples), f"{len(examples)} pairs of {config.eval_data}", tuple(warnings))


def shared_images(evaluated: Pairs, numbers: Iterable[int], trained: Iterable[Pairs]) -> list[str]:
    """Which of some evaluated images are among those that are trained on, byte for byte, under whatever name.

    Only files of the same size are read. Images whose size is not known without reading them (objects, cells of tables)
    are left out.
    """
    wanted: dict[int, dict[str, str]] = {}
    for number in numbers:
        image = evaluated[number].target
        if (size := _size(image)) is not None:
            wanted.setdefault(size, {})[_content(image)] = str(image)
    shared: list[str] = []
    for pair in chain.from_iterable(trained) if wanted else ():
        size = _size(pair.target)
        if size in wanted and pair.problem is None and (name := wanted[size].get(_content(pair.target))):
            shared.append(name)
    return list(dict.fromkeys(shared))


def _size(image: ImageFile) -> int | None:
    if isinstance(image, TarMember):
        return image.size
    if isinstance(image, Content):
        return len(image.data)
    path = image if isinstance(image, Path) else image.path if isinstance(image, File) else None
    try:
        return None if path is None or "://" in str(path) else os.stat(path).st_size
    except OSError:
        return None


def _content(image: ImageFile) -> str:
    """The hash of its bytes; its name where it cannot be read."""
    try:
        data = image.read() if isinstance(image, Blob) else image.read_bytes()
    except (OSError, InputError):
        return str(image)
    return hashlib.sha256(data).hexdigest()
