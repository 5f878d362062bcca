"""Images that look the same: perceptual hashes, and groups of images whose hashes are close.

pHash as everywhere (Zauner 2010; the library ImageHash computes the same): of the image in gray, 32 × 32, the cosine
transform's 8 × 8 lowest frequencies, each a bit: above their median or not. It survives another size, another format,
JPEG and slight changes of color; it does not survive crops, rotation and mirroring.
"""

from collections.abc import Callable, Iterator, Sequence
from itertools import combinations

import cv2
import numpy as np
from numpy.typing import NDArray

DISTANCE = 6
"""Bits of 64 in which the hashes of near-duplicates differ at most. Among 100,000 images with unrelated hashes, such a
pair is found by chance in one set of fifteen; at 10 bits, it would be a hundred pairs in every set."""

_SIDE, _LOW = 32, 8
_MIN_DEVIATION = 1.5
"""Levels of 255. What varies less (a blank page, a black frame) has a hash of noise alone."""
_BANDS, _BITS = 4, 16
_AT_ONCE = 1 << 20
"""Candidate pairs that are compared at a time: they bound the memory."""

Pairs = NDArray[np.int64]
"""(n, 2): numbers of images, the smaller one first."""


def perceptual_hash(image: NDArray[np.uint8]) -> int | None:
    """The 64-bit pHash of an image, uint8 (h, w, 3) RGB or (h, w); None for one that shows nothing (of one color)."""
    gray = image if image.ndim == 2 else cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    # Area averages, as interpolation alone would keep single pixels of a large image; it enlarges small ones linearly.
    small = cv2.resize(gray, (_SIDE, _SIDE), interpolation=cv2.INTER_AREA).astype(np.float32)
    if small.std() < _MIN_DEVIATION:
        return None
    low = cv2.dct(small)[:_LOW, :_LOW]
    return int.from_bytes(np.packbits(low > np.median(low)).tobytes(), "big")


def near_pairs(hashes: Sequence[int | None], distance: int = DISTANCE) -> Iterator[Pairs]:
    """Pairs of images whose hashes differ in at most `distance` bits (0 to 11), in arrays; each pair at least once.

    Exact, without comparing all with all: of four bands of 16 bits, one differs in at most `distance` / 4 bits, so that
    only images with nearly the same band are compared. Of images with equal hashes, the first one stands for all, and
    each of the others makes one pair with it.
    """
    if not 0 <= distance < 3 * _BANDS:
        raise ValueError(f"distance {distance} is not within 0 to {3 * _BANDS - 1}")
    numbers = np.array([i for i, value in enumerate(hashes) if value is not None], np.int64)
    values = np.array([value for value in hashes if value is not None], np.uint64)
    unique, first, inverse = np.unique(values, return_index=True, return_inverse=True)
    same = np.stack([numbers[first[inverse]], numbers], axis=1)
    if len(same := same[same[:, 0] != same[:, 1]]):
        yield same
    if distance == 0:
        return
    for a, b in _candidates(unique, distance // _BANDS):
        close = np.bitwise_count(unique[a] ^ unique[b]) <= distance
        found = np.sort(np.stack([numbers[first[a[close]]], numbers[first[b[close]]]], axis=1), axis=1)
        if len(found):
            yield found


def _candidates(values: NDArray[np.uint64], flips: int) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Pairs of places, a < b, whose values differ in at most `flips` bits within one of the bands; with repetitions."""
    masks = [sum(1 << bit for bit in bits) for n in range(flips + 1) for bits in combinations(range(_BITS), n)]
    for band in range(_BANDS):
        keys = (values >> np.uint64(band * _BITS) & np.uint64(0xFFFF)).astype(np.int64)
        order = np.argsort(keys, kind="stable")
        ends = np.searchsorted(keys[order], np.arange((1 << _BITS) + 1))
        for mask in masks:
            starts, stops = ends[keys ^ mask], ends[(keys ^ mask) + 1]
            yield from _joined(starts, stops - starts, order)


def _joined(
    starts: NDArray[np.int64], counts: NDArray[np.int64], order: NDArray[np.int64]
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Each place a with the places `order[starts[a] : starts[a] + counts[a]]` that come after it, some at a time."""
    total = np.concatenate([[0], np.cumsum(counts)])
    begin = 0
    while begin < len(counts):
        end = max(begin + 1, int(np.searchsorted(total, total[begin] + _AT_ONCE, side="right")) - 1)
        a = np.repeat(np.arange(begin, end), counts[begin:end])
        within = np.arange(len(a)) - np.repeat(total[begin:end] - total[begin], counts[begin:end])
        b = order[np.repeat(starts[begin:end], counts[begin:end]) + within]
        yield a[a < b], b[a < b]
        begin = end


def groups(
    hashes: Sequence[int | None],
    distance: int = DISTANCE,
    *,
    confirm: Callable[[Pairs], NDArray[np.bool_]] | None = None,
) -> NDArray[np.int64]:
    """For each image the number of the first image of its group (n,): those that near pairs connect, also by others.

    `confirm` says of pairs of close hashes which are near-duplicates, for callers that know more than the hashes.
    An image without hash (None) is alone.
    """
    labels = np.arange(len(hashes), dtype=np.int64)
    for pairs in near_pairs(hashes, distance):
        union(labels, pairs if confirm is None else pairs[confirm(pairs)])
    return labels


def union(labels: NDArray[np.int64], pairs: Pairs) -> None:
    """Join the groups of each pair. `labels` (n,): the smallest number in the group of each; changed in place."""
    while len(pairs):
        left, right = labels[pairs[:, 0]], labels[pairs[:, 1]]
        differ = left != right
        if not differ.any():
            return
        pairs = pairs[differ]
        np.minimum.at(labels, np.maximum(left, right)[differ], np.minimum(left, right)[differ])
        while (labels[labels] != labels).any():
            labels[:] = labels[labels]
