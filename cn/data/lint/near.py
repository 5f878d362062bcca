"""Which images are nearly the same: an index by locality-sensitive hashing, linear in the number of images."""

from collections import defaultdict

import numpy as np
from numpy.typing import NDArray

from cn.data.near_duplicates import MAX_BITS, MAX_COLOR, Fingerprint, bands

_MAX_BUCKET = 64
"""Images of a bucket that are compared: in a large one they share what says little, such as an empty sky."""


class NearIndex:
    """Images that are unlike each other, and for each further image the first one that it is nearly the same as.

    An image that resembles one of the index is not added to it, so that a thousand frames of one shot cost no more than
    a thousand others.
    """

    def __init__(self) -> None:
        self._digests: dict[bytes, int] = {}
        self._buckets: defaultdict[tuple[int, int], list[int]] = defaultdict(list)
        self._hashes: list[bytes] = []
        self._colors: list[bytes] = []
        self._names: list[int] = []

    def same(self, fingerprint: Fingerprint) -> int | None:
        """The number of the image whose file has the same bytes."""
        return self._digests.get(fingerprint.digest)

    def near(self, fingerprint: Fingerprint) -> int | None:
        """The number of the first image that this is nearly the same as."""
        candidates = sorted({place for band in _bands(fingerprint.hash) for place in self._buckets.get(band, ())})
        if not candidates:
            return None
        bits = np.bitwise_count(_stack(self._hashes, candidates) ^ np.frombuffer(fingerprint.hash, np.uint8)).sum(
            axis=1
        )
        colors = np.frombuffer(fingerprint.colors, np.uint8).astype(np.int16)
        apart = np.abs(_stack(self._colors, candidates).astype(np.int16) - colors).mean(axis=1)
        found = np.flatnonzero((bits <= MAX_BITS) & (apart <= MAX_COLOR))
        return self._names[candidates[found[0]]] if len(found) else None

    def add(self, number: int, fingerprint: Fingerprint, *, distinct: bool = True) -> None:
        """Add image `number`; only by its bytes if it is not `distinct` from one that was added."""
        self._digests.setdefault(fingerprint.digest, number)
        if not distinct:
            return
        place = len(self._names)
        self._names.append(number)
        self._hashes.append(fingerprint.hash)
        self._colors.append(fingerprint.colors)
        for band in _bands(fingerprint.hash):
            bucket = self._buckets[band]
            if len(bucket) < _MAX_BUCKET:
                bucket.append(place)


def _bands(hash: bytes) -> list[tuple[int, int]]:
    """The bands of a hash, with their numbers: near-duplicates share one."""
    return list(enumerate(bands(np.frombuffer(hash, np.uint8)[None])[0].tolist()))


def _stack(rows: list[bytes], places: list[int]) -> NDArray[np.uint8]:
    return np.frombuffer(b"".join(rows[place] for place in places), np.uint8).reshape(len(places), -1)
