"""Which images are nearly the same: an index by locality-sensitive hashing, linear in the number of images."""

import numpy as np
from numpy.typing import NDArray

from cn.data.near_duplicates import MAX_BITS, MAX_COLOR, Fingerprint, bands

_MAX_CHAIN = 64
"""Images with a common band that are compared, the last ones first: very many share what says little, such as a sky."""
_BANDS = np.arange(16)
_NONE = -1


class NearIndex:
    """Images that are unlike each other, and for each further image the first one that it is nearly the same as.

    An image that resembles one of the index is not added to it, so that a thousand frames of one shot cost no more than
    a thousand others. Takes about 300 bytes for each image.
    """

    def __init__(self) -> None:
        self._digests: dict[bytes, int] = {}
        self._last = np.full((16, 1 << 16), _NONE, np.int32)
        """The last image with this value of this band."""
        self._before = np.zeros((0, 16), np.int32)
        """For each image and band the one before it with the same value."""
        self._hashes, self._colors = np.zeros((0, 32), np.uint8), np.zeros((0, 48), np.uint8)
        self._numbers: list[int] = []

    def same(self, fingerprint: Fingerprint) -> int | None:
        """The number of the image whose file has the same bytes."""
        return self._digests.get(fingerprint.digest)

    def near(self, fingerprint: Fingerprint) -> int | None:
        """The number of the first image that this is nearly the same as."""
        candidates = self._candidates(_bands(fingerprint.hash))
        if not len(candidates):
            return None
        bits = np.bitwise_count(self._hashes[candidates] ^ np.frombuffer(fingerprint.hash, np.uint8)).sum(axis=1)
        colors = np.frombuffer(fingerprint.colors, np.uint8).astype(np.int16)
        apart = np.abs(self._colors[candidates].astype(np.int16) - colors).mean(axis=1)
        found = np.flatnonzero((bits <= MAX_BITS) & (apart <= MAX_COLOR))
        return self._numbers[int(candidates[found[0]])] if len(found) else None

    def add(self, number: int, fingerprint: Fingerprint, *, distinct: bool = True) -> None:
        """Add image `number`; only by its bytes if it is not `distinct` from one that was added."""
        self._digests.setdefault(fingerprint.digest, number)
        if not distinct:
            return
        place = len(self._numbers)
        if place == len(self._before):
            self._grow()
        values = _bands(fingerprint.hash)
        self._numbers.append(number)
        self._hashes[place] = np.frombuffer(fingerprint.hash, np.uint8)
        self._colors[place] = np.frombuffer(fingerprint.colors, np.uint8)
        self._before[place] = self._last[_BANDS, values]
        self._last[_BANDS, values] = place

    def _candidates(self, values: NDArray[np.uint16]) -> NDArray[np.int32]:
        """The places of images with a common band, ascending."""
        found = []
        places, of_band = self._last[_BANDS, values], _BANDS
        for _ in range(_MAX_CHAIN):
            some = places != _NONE
            places, of_band = places[some], of_band[some]
            if not len(places):
                break
            found.append(places)
            places = self._before[places, of_band]
        return np.unique(np.concatenate(found)) if found else np.zeros(0, np.int32)

    def _grow(self) -> None:
        more = max(1024, len(self._before) // 2)
        self._before = np.concatenate([self._before, np.zeros((more, 16), np.int32)])
        self._hashes = np.concatenate([self._hashes, np.zeros((more, 32), np.uint8)])
        self._colors = np.concatenate([self._colors, np.zeros((more, 48), np.uint8)])


def _bands(hash: bytes) -> NDArray[np.uint16]:
    """The 16 bands of a hash: near-duplicates share one."""
    return bands(np.frombuffer(hash, np.uint8)[None])[0]
