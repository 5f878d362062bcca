"""A split into training and validation without leaks: what shows the same stays on one side.

Together stay near-duplicates (`cn.data.near_duplicates`), lines of the same image, frames of one video, and what the
user says belongs together. Which side a group takes follows from its content, so that images which are added later
move as few others as possible.
"""

import posixpath
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

import numpy as np

from cn import errors, images
from cn.data.formats.entry import Entry, entry
from cn.data.formats.opened import Opened
from cn.data.formats.plan import LeftOutSamples, blob_size
from cn.data.near_duplicates import Fingerprint, fingerprint, groups, union
from cn.data.sources.sample import Sample
from cn.data.statuses import read_statuses
from cn.errors import InputError
from cn.parallel import available_cpus, map_threads

TOGETHER = ("video", "clip", "original", "group")
"""Further keys whose equal values say that samples belong together."""
_FRAME = re.compile(r"(.+)#\d+$")
"""The name of a frame of a video: "clip.mp4#000123"."""
_LARGE = 10
"""A group with more than this part of the validation set is taken only if there are not enough smaller ones."""


@dataclass(frozen=True)
class Split:
    """The samples of both sides, by their numbers in the order of the dataset."""

    train: tuple[int, ...]
    validation: tuple[int, ...]
    groups: int
    """Of samples that stay together, single ones included."""
    largest: int
    """Samples of the largest group."""
    largest_name: str
    left_out: LeftOutSamples


@dataclass(frozen=True)
class _Member:
    number: int
    name: str
    fingerprint: Fingerprint
    together: tuple[str, ...]
    """What it shares with others: texts that are equal."""


def split(
    opened: Opened,
    wanted: int | float,
    *,
    seed: int = 0,
    group_by: str | None = None,
    advance: Callable[[], None] = lambda: None,
) -> Split:
    """Divide a dataset; `wanted` is the number of validation samples, or as a float between 0 and 1 their share.

    `group_by` is a further key of the lines; samples with equal values of it stay together. Raises InputError where
    either side would be empty.
    """
    left_out = LeftOutSamples()
    members = list(_members(opened, group_by, left_out, advance))
    count = len(members)
    number = max(1, round(wanted * count)) if isinstance(wanted, float) else wanted
    if number >= count:
        raise InputError(f"has {count} samples that can be used; {number} for validation leave none", path=opened.place)
    labels = _labels(members)
    by_group: dict[int, list[_Member]] = {}
    for label, member in zip(labels.tolist(), members, strict=True):
        by_group.setdefault(label, []).append(member)
    chosen = _chosen(list(by_group.values()), number, seed)
    largest = max(by_group.values(), key=len)
    if not chosen:
        what = f"all small enough groups are used up: {len(largest)} samples are alike (the first: {largest[0].name})"
        raise InputError(f"no validation set of {number} samples: {what}", path=opened.place)
    return Split(
        train=tuple(member.number for member in members if member.number not in chosen),
        validation=tuple(sorted(chosen)),
        groups=len(by_group),
        largest=len(largest),
        largest_name=largest[0].name,
        left_out=left_out,
    )


def _members(
    opened: Opened, group_by: str | None, left_out: LeftOutSamples, advance: Callable[[], None]
) -> Iterator[_Member]:
    """Samples that can be used, with what is needed to know which ones belong together."""
    names = _built_names(opened.root)

    def look(item: tuple[int, Sample]) -> _Member:
        number, sample = item
        found = entry(sample, opened.root)
        for blob in found.maps.values():
            blob_size(blob)
        data = found.image.read()
        with errors.about(str(found.image)):
            image = images.decode(data, str(found.image))
        together = tuple(_together(sample.name, found, names, group_by))
        return _Member(number, found.image_name, fingerprint(data, image), together)

    for done in map_threads(look, enumerate(opened.samples()), available_cpus()):
        advance()
        if isinstance(done.error, InputError):
            _, sample = done.item
            left_out.add(done.error, sample.where or sample.name)
        elif done.error is not None:
            raise done.error
        else:
            assert done.value is not None
            yield done.value


def _built_names(root: str) -> Mapping[str, str]:
    """Where an image was built from a frame: the name of the image without suffix → that of the frame."""
    found = {}
    for status in read_statuses(root):
        target, name = status.get("target"), status.get("name")
        if isinstance(target, str) and isinstance(name, str) and _FRAME.match(name):
            found[posixpath.splitext(target)[0]] = name
    return found


def _together(name: str, found: Entry, names: Mapping[str, str], group_by: str | None) -> Iterator[str]:
    stems = (posixpath.splitext(each)[0] for each in (name, found.image_name))
    for each in (name, *(names[stem] for stem in stems if stem in names)):
        if frame := _FRAME.match(each):
            yield f"video\0{frame[1]}"
    for key in TOGETHER if group_by is None else (*TOGETHER, group_by):
        value: Any = found.extra.get(key)
        if isinstance(value, str | int) and value != "":
            yield f"{key}\0{value}"


def _labels(members: list[_Member]) -> "np.ndarray[Any, np.dtype[np.int64]]":
    """The group of each member, as the number of the first one in it."""
    labels = groups([member.fingerprint for member in members])
    first: dict[Any, int] = {}
    pairs = []
    for number, member in enumerate(members):
        for what in (member.fingerprint.digest, *member.together):
            if (other := first.setdefault(what, number)) != number:
                pairs.append((other, number))
    union(labels, np.array(pairs, np.int64).reshape(-1, 2))
    return labels


def _chosen(found: list[list[_Member]], number: int, seed: int) -> set[int]:
    """The members of groups for validation: by the hash of the group's content, as many as fit."""

    def score(group: list[_Member]) -> bytes:
        return sha256(b"%d\0" % seed + min(member.fingerprint.digest for member in group)).digest()

    chosen: set[int] = set()
    ordered = sorted(found, key=score)
    small = max(1, number // _LARGE)
    for most in (small, number):
        for group in ordered:
            fits = len(group) <= most and len(chosen) + len(group) <= number
            if fits and group[0].number not in chosen:
                chosen.update(member.number for member in group)
    return chosen
