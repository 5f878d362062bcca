"""Subsets of a dataset: the first N of a ranking of its samples, so that smaller ones are parts of larger ones."""

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Literal, get_args

from cn.data.formats.entry import Entry, entry
from cn.data.formats.opened import Opened
from cn.data.formats.plan import LeftOutSamples, blob_size
from cn.data.image_facts import image_size, original_size
from cn.data.sources.sample import Sample
from cn.errors import InputError

By = Literal["resolution", "random", "hash"]
WAYS: tuple[By, ...] = get_args(By)

_Rank = tuple[Any, ...]


@dataclass(frozen=True)
class Ranking:
    """The samples of a dataset in the order of a ranking, by their numbers."""

    numbers: tuple[int, ...]
    left_out: LeftOutSamples
    """Those that cannot be used."""
    originals: int = 0
    """By resolution: samples whose original's size is known; of the others, it is the image's own."""


def rank(opened: Opened, by: By, seed: int = 0, advance: Callable[[], None] = lambda: None) -> Ranking:
    """Rank all samples; the order in which they are listed does not matter.

    resolution: the most pixels first, those of the image before it was resized where that is known (§3.5 of the paper);
    equal ones by content. random: by `seed` and the image's name; nothing is read. hash: by the content of the image.
    """
    ranks: list[tuple[_Rank, int]] = []
    left_out, originals = LeftOutSamples(), 0
    for number, sample in enumerate(opened.samples()):
        try:
            found = entry(sample, opened.root)
            for blob in found.blobs:
                blob_size(blob)
            known = original_size(found.extra) if by == "resolution" else None
            ranks.append((_rank(found, by, seed, known), number))
            originals += known is not None
        except InputError as error:
            left_out.add(error, sample.where or sample.name)
        advance()
    return Ranking(tuple(number for _, number in sorted(ranks)), left_out, originals)


def _rank(found: Entry, by: By, seed: int, known: tuple[int, int] | None) -> _Rank:
    """What a sample is sorted by, without its number: names and captions tell samples of the same image apart."""
    last = found.image_name, found.caption or "", *sorted(found.map_names.values())
    if by == "random":
        return sha256(f"{seed}\0{found.image_name}".encode("utf-8", "surrogateescape")).digest(), *last
    content = sha256(found.image.read()).digest()
    if by == "hash":
        return content, *last
    width, height = known or image_size(found.image)
    return -width * height, content, *last


def take(opened: Opened, numbers: Collection[int]) -> Callable[[], Iterator[Sample]]:
    """The samples of these numbers, in the order of the dataset, as a function that gives them again and again."""
    chosen = frozenset(numbers)
    return lambda: (sample for number, sample in enumerate(opened.samples()) if number in chosen)


def places(numbers: Sequence[int]) -> tuple[int, ...]:
    """For each of these samples, in the order of the dataset, its place in the ranking."""
    by_number = sorted(range(len(numbers)), key=numbers.__getitem__)
    return tuple(by_number)


def check_counts(counts: Sequence[int], ranking: Ranking, path: str) -> None:
    """Raises InputError where there are fewer samples than one of `counts`."""
    available, most = len(ranking.numbers), max(counts)
    if most > available:
        broken = f" ({ranking.left_out.count} more cannot be used)" if ranking.left_out.count else ""
        raise InputError(f"has {available} samples{broken}, but --count is {most}", path=path)
