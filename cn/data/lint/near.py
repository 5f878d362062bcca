"""Which images are nearly the same: an index by locality-sensitive hashing, linear in the number of images."""

from collections import defaultdict

import numpy as np
from numpy.typing import NDArray

from cn.data.lint.fingerprint import Fingerprint

MAX_BITS = 26
"""Bits of 256 that differ in the hashes of near-duplicates: resizing and JPEG change up to 20, other images 90."""
MAX_COLOR = 12.0
"""Levels by which their mean colors differ, on the average."""
_BANDS = 16
"""A pair shares a band of 16 bits for certain if its hashes differ in fewer than 16 bits, and nearly so up to 26."""
_MAX_BUCKET = 64
"""Images of a bucket that are compared: in a large one they share what says little, such as an empty sky."""


class NearIndex:
    """Images that are unlike each other, and for each further image the first one that it is nearly the same as.

    An image that resembles one of the index is not added to it, so that a thousand frames of one shot cost no more than
    a thousand others.
    """

    def __init__(self) -> None:
        self._digests: dict[bytes, int] = {}
        self._buckets: defaultdict[bytes, list[int]] = defaultdict(list)
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


def _bands(hash: bytes) -> list[bytes]:
    """16 bands of 16 bits: each has bits of all frequencies, so that all are about equally telling.

    Bits of one column lie in one band, and the band's number makes it a key of its own.
    """
    bits = np.unpackbits(np.frombuffer(hash, np.uint8)).reshape(16, _BANDS)
    rows = np.arange(16)
    # Diagonals: the first rows and columns, the lowest frequencies, are alike in many images.
    mixed = bits[rows[:, None], (np.arange(_BANDS)[None] + rows[:, None]) % _BANDS]
    return [bytes([band]) + np.packbits(mixed[:, band]).tobytes() for band in range(_BANDS)]


def _stack(rows: list[bytes], places: list[int]) -> NDArray[np.uint8]:
    return np.frombuffer(b"".join(rows[place] for place in places), np.uint8).reshape(len(places), -1)
