"""Fingerprints of images, for duplicates and near-duplicates.

The perceptual hash is that of `imagehash.phash(hash_size=16)`, in the six lines that it takes: imagehash needs SciPy
and PyWavelets, and hashes images of Pillow one by one.
"""

import hashlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

HASH_SIDE = 16
"""The hash has the signs of 16 × 16 coefficients of a cosine transform: 256 bits."""
_DCT_SIDE = 64
COLOR_SIDE = 4


@dataclass(frozen=True)
class Fingerprint:
    """What identifies an image: 96 bytes."""

    digest: bytes
    """The first 16 bytes of the SHA-256 of the file."""
    hash: bytes
    """The perceptual hash, 32 bytes."""
    colors: bytes
    """The mean colors of 4 × 4 fields, 48 bytes: RGB."""


def digest(data: bytes) -> bytes:
    """The first 16 bytes of the SHA-256 of a file's bytes."""
    return hashlib.sha256(data).digest()[:16]


def fingerprint(data: bytes, image: NDArray[np.uint8]) -> Fingerprint:
    """Of an image file and what it decodes to, uint8 (h, w, 3)."""
    import cv2

    colors = cv2.resize(image, (COLOR_SIDE, COLOR_SIDE), interpolation=cv2.INTER_AREA)
    return Fingerprint(digest(data), perceptual_hash(image), colors.tobytes())


def perceptual_hash(image: NDArray[np.uint8]) -> bytes:
    """32 bytes: which of the 256 lowest coefficients of the gray image's cosine transform exceed their median."""
    import cv2

    gray = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    small = cv2.resize(gray, (_DCT_SIDE, _DCT_SIDE), interpolation=cv2.INTER_AREA).astype(np.float32)
    low = cv2.dct(small)[:HASH_SIDE, :HASH_SIDE]
    return np.packbits(low > np.median(low)).tobytes()
