"""Numbers about a map that the rules share, from a sample of its pixels, each computed when a rule first needs it."""

import functools
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

SIDE = 256
"""The usual side of the sample: every n-th pixel of every n-th row, as stored."""
CROP = 320
"""The side of the part in the middle whose neighboring pixels are looked at."""

_UNKNOWN = np.isin(np.arange(256), (*range(4), *range(125, 131), *range(252, 256)))
"""Which levels of gray that stand for "no normal" in normal maps: black, middle gray and white."""

Mask = NDArray[np.bool_]


def share(mask: Mask) -> float:
    """The share of a mask that is true, 0..1."""
    return int(np.count_nonzero(mask)) / max(mask.size, 1)


class Statistics:
    """Of a map (h, w, 3) or (h, w) of uint8; `side` is the largest side of the sample."""

    def __init__(self, image: NDArray[np.uint8], side: int = SIDE):
        self._side = side
        self.image = image if image.ndim == 3 else np.broadcast_to(image[..., None], (*image.shape, 3))

    @cached_property
    def sample(self) -> NDArray[np.int16]:
        """(at most `side`, at most `side`, 3)."""
        height, width = self.image.shape[:2]
        rows, columns = slice(None, None, -(-height // self._side)), slice(None, None, -(-width // self._side))
        return self.image[rows, columns].astype(np.int16)

    @cached_property
    def channels(self) -> list[NDArray[np.int16]]:
        """Those of the sample, each contiguous: NumPy is slow along an axis of three."""
        return [np.ascontiguousarray(self.sample[..., channel]) for channel in range(3)]

    @cached_property
    def darkest(self) -> NDArray[np.int16]:
        """The darkest channel of each pixel of the sample."""
        return np.asarray(functools.reduce(np.minimum, self.channels))

    @cached_property
    def crop(self) -> NDArray[np.uint8]:
        """(at most 320, at most 320, 3): the middle, where pixels are neighbors."""
        height, width = self.image.shape[:2]
        top, left = max(0, (height - CROP) // 2), max(0, (width - CROP) // 2)
        return self.image[top : top + CROP, left : left + CROP]

    @cached_property
    def gray(self) -> NDArray[np.int16]:
        """The brightest channel of each pixel of the sample."""
        return np.asarray(functools.reduce(np.maximum, self.channels))

    @cached_property
    def chroma(self) -> NDArray[np.int16]:
        """The brightest channel less the darkest one, of each pixel of the sample."""
        return self.gray - self.darkest

    @cached_property
    def maximum(self) -> int:
        """Of all pixels."""
        return int(self.image.max(initial=0))

    @cached_property
    def color(self) -> tuple[int, int, int] | None:
        """The color of all pixels, if all have the same."""
        first = self.image[0, 0]
        same = all((channel == value).all() for channel, value in zip(self.channels, first, strict=True))
        same = same and bool((self.image == first).all())
        return (int(first[0]), int(first[1]), int(first[2])) if same else None

    @cached_property
    def border(self) -> NDArray[np.int16]:
        """(n, 3): the pixels along the edges of the sample."""
        s = self.sample
        return np.concatenate([s[0], s[-1], s[:, 0], s[:, -1]])

    @cached_property
    def black(self) -> float:
        """The share of pixels that are black or nearly so."""
        return share(self.gray < 16)

    @cached_property
    def white(self) -> float:
        """The share of pixels that are at least half bright, in all channels."""
        return share(self.darkest >= 128)

    @cached_property
    def white_border(self) -> float:
        """`white` of the border."""
        return share(self.border.min(axis=1) >= 128)

    @cached_property
    def middle(self) -> float:
        """The share of pixels that are neither nearly black nor nearly white."""
        return share((self.gray >= 24) & (self.gray < 232))

    @cached_property
    def colored(self) -> float:
        """The share of pixels with a clear color."""
        return share(self.chroma >= 24)

    @cached_property
    def codes(self) -> NDArray[np.int32]:
        """The colors of a quarter of the sample, as 24-bit numbers (n,)."""
        s = self.sample[::2, ::2].astype(np.int32)
        return ((s[..., 0] << 16) | (s[..., 1] << 8) | s[..., 2]).ravel()

    @cached_property
    def known(self) -> Mask:
        """Which pixels of the sample are not in the colors that stand for "no normal"."""
        return np.asarray((self.chroma > 2) | ~_UNKNOWN[self.gray])

    @cached_property
    def normals(self) -> NDArray[np.float32]:
        """(n, 3): the pixels of the sample as vectors, without those in the colors that stand for "unknown"."""
        pixels = self.sample[::2, ::2][self.known[::2, ::2]]
        return pixels.astype(np.float32) / np.float32(127.5) - np.float32(1.0)

    @cached_property
    def unit_length(self) -> float:
        """The share of `normals` whose length is about one (8 bits, smoothed at edges)."""
        x, y, z = self.normals.T
        length = np.sqrt(x * x + y * y + z * z)
        return share(np.abs(length - 1) < 0.12)
