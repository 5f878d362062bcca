"""Images that look the same: fingerprints, and groups of images whose fingerprints are close.

The perceptual hash is that of `imagehash.phash(hash_size=16)` (Zauner 2010), in the six lines that it takes: imagehash
needs SciPy and PyWavelets, and hashes images of Pillow one by one. It survives another size, another format, JPEG and
slight changes of color; it does not survive crops, rotation and mirroring.
"""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

MAX_BITS = 26
"""Bits of 256 that differ in the hashes of near-duplicates: resizing and JPEG change up to 20, other images 90."""
MAX_COLOR = 12.0
"""Levels of 255 by which their mean colors differ, on the average."""
HASH_SIDE = 16
"""The hash has the signs of 16 × 16 coefficients of a cosine transform: 256 bits."""
COLOR_SIDE = 4
_DCT_SIDE = 64
_WINDOW = 64
"""Images that are compared with the next ones in each order; it makes the work linear, however alike they are."""

Pairs = NDArray[np.int64]
"""(n, 2): numbers of images, the smaller one first."""


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
    """Of an image file and what it decodes to, uint8 (h, w, 3) RGB."""
    colors = cv2.resize(image, (COLOR_SIDE, COLOR_SIDE), interpolation=cv2.INTER_AREA)
    return Fingerprint(digest(data), perceptual_hash(image), colors.tobytes())


def perceptual_hash(image: NDArray[np.uint8]) -> bytes:
    """32 bytes: which of the 256 lowest coefficients of the gray image's cosine transform exceed their median.

    `image` is uint8 (h, w, 3) RGB. Bit 16 v + u is that of the frequencies v (down) and u (across).
    """
    gray = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    small = cv2.resize(gray, (_DCT_SIDE, _DCT_SIDE), interpolation=cv2.INTER_AREA).astype(np.float32)
    low = cv2.dct(small)[:HASH_SIDE, :HASH_SIDE]
    return np.packbits(low > np.median(low)).tobytes()


def bands(hashes: NDArray[np.uint8]) -> NDArray[np.uint16]:
    """Hashes (n, 32) as 16 bands of 16 bits, (n, 16): of close hashes, at least one band is nearly always the same.

    It is for certain if they differ in fewer than 16 bits. Each band has bits of all frequencies, so that all are about
    equally telling: diagonals, as the first rows and columns, the lowest frequencies, are alike in many images.
    """
    bits = np.unpackbits(hashes, axis=1).reshape(-1, HASH_SIDE, HASH_SIDE)
    rows = np.arange(HASH_SIDE)
    mixed = np.stack([bits[:, rows, (band + rows) % HASH_SIDE] for band in range(HASH_SIDE)], axis=1)
    return np.packbits(mixed, axis=2).view(">u2")[:, :, 0].astype(np.uint16)


def near_pairs(fingerprints: Sequence[Fingerprint]) -> Iterator[Pairs]:
    """Pairs of near-duplicates, in arrays, some of them repeatedly.

    For each band, the images are sorted by it, then by the other ones, and each is compared with the next ones that
    share it. Of many that are close to each other, not every pair is found, but enough to connect them.
    """
    if len(fingerprints) < 2:
        return
    hashes = np.frombuffer(b"".join(f.hash for f in fingerprints), np.uint8).reshape(len(fingerprints), -1)
    colors = np.frombuffer(b"".join(f.colors for f in fingerprints), np.uint8).reshape(len(fingerprints), -1)
    words = np.ascontiguousarray(hashes).view(np.uint64)
    keys = bands(hashes)
    for band in range(keys.shape[1]):
        order = np.lexsort(np.roll(keys, -band, axis=1).T[::-1])
        for step in range(1, min(_WINDOW, len(order) - 1) + 1):
            a, b = order[:-step], order[step:]
            share = keys[a, band] == keys[b, band]
            if not share.any():
                break
            a, b = a[share], b[share]
            close = np.bitwise_count(words[a] ^ words[b]).sum(axis=1) <= MAX_BITS
            a, b = a[close], b[close]
            apart = np.abs(colors[a].astype(np.int16) - colors[b].astype(np.int16)).mean(axis=1)
            found = np.stack([np.minimum(a, b), np.maximum(a, b)], axis=1)[apart <= MAX_COLOR]
            if len(found):
                yield found.astype(np.int64)


def groups(fingerprints: Sequence[Fingerprint]) -> NDArray[np.int64]:
    """For each image the number of the first image of its group (n,): those that near pairs connect, also by others."""
    labels = np.arange(len(fingerprints), dtype=np.int64)
    for pairs in near_pairs(fingerprints):
        union(labels, pairs)
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
