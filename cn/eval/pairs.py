"""The pairs that an evaluation looks at: which ones of a dataset, and their hash."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from cn.conditions import ConditionInfo
from cn.data.examples import Example
from cn.data.folder import FolderDataset, load_pair
from cn.data.map_warnings import map_info
from cn.data.pairs import Pairs
from cn.data.records import refuse_if_most
from cn.data.scenes import SceneDataset
from cn.data.seeds import EVAL_SEED
from cn.errors import InputError

MEMORY = 1 << 30
"""Bytes of images that are kept in memory; more are read again each time."""


@dataclass
class EvalPairs:
    """The chosen pairs, `size` × `size` pixels each, by number from 0."""

    name: str
    kind: str
    size: int
    source: FolderDataset | SceneDataset
    numbers: list[int]
    """Of the chosen pairs in the source."""
    with_captions: bool = True
    sha256: str = ""
    infos: list[ConditionInfo | None] = field(default_factory=list)
    """What each map states about how it was made."""
    skipped: list[str] = field(default_factory=list)
    """What is wrong with pairs that were chosen and cannot be read."""
    _kept: dict[int, Example] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.numbers)

    def __getitem__(self, place: int) -> Example:
        if place in self._kept:
            return self._kept[place]
        example, _ = self._load(self.numbers[place])
        if (len(self._kept) + 1) * (example.target.nbytes + example.condition.nbytes) <= MEMORY:
            self._kept[place] = example
        return example

    def __iter__(self) -> Iterator[Example]:
        return (self[place] for place in range(len(self)))

    def where(self, place: int) -> str:
        """What a pair is called in reports."""
        if isinstance(self.source, SceneDataset):
            return f"scene {self.numbers[place]}"
        return self.source.pairs[self.numbers[place]].where

    def look(self) -> "EvalPairs":
        """Read each pair once: leaves out broken ones and hashes the others. Returns itself.

        Raises InputError where most are broken, or fewer than two are left.
        """
        digest, usable = hashlib.sha256(), list[int]()
        for number in self.numbers:
            try:
                example, info = self._load(number)
            except InputError as error:
                self.skipped.append(str(error))
                continue
            usable.append(number)
            self.infos.append(info)
            for part in (example.condition, example.target):
                digest.update(repr(part.shape).encode() + part.tobytes())
            digest.update(f"{len(example.prompt)}:{example.prompt}".encode("utf-8", "surrogatepass"))
        refuse_if_most(self.skipped, len(self.numbers), self.name)
        self.numbers, self.sha256 = usable, digest.hexdigest()
        if len(self) < 2:
            raise InputError("an evaluation needs at least two pairs", path=self.name)
        return self

    def _load(self, number: int) -> tuple[Example, ConditionInfo | None]:
        if isinstance(self.source, SceneDataset):
            example = self.source[number]
            info = example.info
        else:
            pair = self.source.pairs[number]
            example = load_pair(pair, (self.size, self.size), self.kind)
            info = map_info(pair.source)
        return example if self.with_captions else replace(example, prompt=""), info


def scenes(kind: str, size: int, count: int, with_captions: bool) -> EvalPairs:
    """The first held-out scenes, with maps that have no random choices."""
    source = SceneDataset(kind, size, EVAL_SEED, count=count)
    return EvalPairs("held-out scenes", source.kind, size, source, list(range(count)), with_captions).look()


def of_dataset(name: str, pairs: Pairs, kind: str, size: int, count: int, with_captions: bool) -> EvalPairs:
    """Up to `count` pairs of a dataset without a known problem, evenly spread: always the same ones."""
    usable = pairs.usable()
    count = min(count, len(usable))
    numbers = [usable[place * len(usable) // count] for place in range(count)]
    return EvalPairs(name, kind, size, FolderDataset(pairs, size, kind), numbers, with_captions).look()


def stated_settings(infos: list[ConditionInfo | None], names: set[str]) -> dict[str, Any]:
    """The parameters, of these names, with which all maps say that they were made."""
    params = [info.params if info is not None else {} for info in infos]
    first = params[0] if params else {}
    return {
        name: value
        for name, value in first.items()
        if name in names and all(other.get(name) == value for other in params)
    }
