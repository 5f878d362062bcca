"""Where `cn sample` gets many conditions from: the files of a folder, pattern or list, or the pairs of a dataset. No
torch.

Both say how the results are called before anything is read, and read one condition at a time.
"""

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol

from cn.data.blobs import File
from cn.data.pairs import Pairs, open_pairs
from cn.detect.run import inputs, jobs
from cn.errors import InputError, UsageError
from cn.images import SUFFIXES
from cn.images.reader import ImagePath
from cn.sample.request import followed_kind

SIDECAR = ".txt"
"""Beside a condition: its prompt, where the command has none."""


@dataclass(frozen=True)
class One:
    """A condition of many: its image, what it is where its file does not say so, and the prompt that belongs to it."""

    image: ImagePath
    kind: str | None = None
    prompt: str | None = None


class Many(Protocol):
    """Conditions by number, from 0."""

    warnings: list[str]
    """What a user should know before sampling starts."""

    def results(self) -> Iterator[str]:
        """Of each condition the path of its result, relative to the folder of all and without suffix."""
        ...

    def __getitem__(self, number: int) -> One:
        """Raises InputError for one that cannot be used."""
        ...


def is_several(path: str) -> bool:
    """Whether `--cond` names a folder or a pattern."""
    return os.path.isdir(path) or (not os.path.lexists(path) and any(mark in path for mark in "*?["))


@dataclass
class ManyFiles:
    """The condition images of a folder, a pattern or a list."""

    sources: inputs.Sources
    warnings: list[str] = field(default_factory=list)

    @classmethod
    def find(cls, cond: str, out: Path, *, recursive: bool = False, listed: Iterable[str] | None = None) -> "ManyFiles":
        """`listed` are the paths that "-" stands for. InputError where there are none, UsageError for a bad `out`."""
        found = inputs.find(
            cond,
            os.fspath(out),
            suffixes=SUFFIXES,
            recursive=recursive,
            stdin_paths=listed,
            companions=frozenset({SIDECAR}),
        )
        found = replace(found, single=False)
        jobs.check_destination(found, os.fspath(out))
        return cls(found, found.left_out.warnings())

    def results(self) -> Iterator[str]:
        """See `Many`: the name of the file, in the same folders."""
        return (result for _, result in self._keys)

    def __getitem__(self, number: int) -> One:
        path = os.path.join(self.sources.root, self._keys[number][0])
        return One(path, prompt=_sidecar(Path(path).with_suffix(SIDECAR)))

    def __post_init__(self) -> None:
        self._keys = list(jobs.results(self.sources))


@dataclass
class ManyPairs:
    """The condition maps of a dataset and their captions."""

    pairs: Pairs
    out: Path
    """Where the results go."""
    warnings: list[str] = field(default_factory=list)

    @classmethod
    def open(cls, path: str, out: Path, *, control: str | None) -> "ManyPairs":
        """Where the dataset has maps of several kinds, `control` says which. Raises what `open_pairs` raises."""
        pairs = open_pairs(path, followed_kind(control), flag="--control")
        return cls(pairs, out, list(pairs.notes))

    def results(self) -> Iterator[str]:
        """See `Many`: the name of the pair's image; of those with the same name all but the first get a number.

        UsageError where the results would be among the images of the dataset.
        """
        taken: set[str] = set()
        own: dict[str, bool] = {}
        for number in range(len(self.pairs)):
            row = self.pairs.row(number)
            files = [one for one in (row.image, *row.maps.values()) if isinstance(one, Path | File)]
            for folder in {os.path.dirname(str(file)) for file in files}:
                if folder not in own:
                    own[folder] = os.path.realpath(folder) == os.path.realpath(self.out)
                if own[folder]:
                    raise UsageError("holds images of the dataset: give another --out", path=self.out)
            name = Path(str(row.image)).stem if row.image is not None else f"pair-{number}"
            result, count = name, 1
            while result in taken:
                count += 1
                result = f"{name}-{count}"
            taken.add(result)
            yield result

    def __getitem__(self, number: int) -> One:
        pair = self.pairs[number]
        pair.check()
        return One(pair.source, self.pairs.kind, pair.prompt if pair.captioned else None)


def _sidecar(path: Path) -> str | None:
    if not path.is_file():
        return None
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"its prompt cannot be read: {error}", path=path) from None
    return " ".join(text.split())
