"""The image that `cn sample` starts from, and the mask of what is redrawn: read, fitted, and put together again."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from cn import images
from cn.errors import InputError, UsageError
from cn.images import maps, reader
from cn.images.resizing import resize
from cn.sample.fit import check_aspect

if TYPE_CHECKING:
    from cn.model.start import StartImage

WHITE_FROM = 128
"""Pixels of a mask from this value on are redrawn (diffusers: from 0.5)."""


@dataclass(frozen=True)
class GivenImage:
    """The image of `--image`, uint8 (h, w, 3), and the mask of `--mask`, bool (h, w), each at its own size."""

    image: NDArray[np.uint8]
    name: str
    mask: NDArray[np.bool_] | None = None
    mask_name: str = ""

    def at(self, size: tuple[int, int], own_size: tuple[int, int]) -> "GivenImage":
        """The same at the size of the result, (height, width).

        InputError for another aspect ratio, unless it is the size that the image leads to; and for a mask that marks
        nothing.
        """
        check_aspect("an image", self.image.shape, size, self.name, unless=own_size)
        image = resize(self.image, size)
        if self.mask is None:
            return GivenImage(image, self.name)
        check_aspect("a mask", self.mask.shape, (self.image.shape[0], self.image.shape[1]), self.mask_name)
        mask = resize(self.mask.astype(np.uint8) * 255, size) >= WHITE_FROM
        if not mask.any():
            raise InputError(
                "marks nothing to redraw: that has to be white (255) in it, all else black", path=self.mask_name
            )
        return GivenImage(image, self.name, mask, self.mask_name)


def read_start(image: str | None, mask: str | None = None) -> GivenImage | None:
    """From the paths of `--image` and `--mask` ("-": standard input); transparent parts of a mask are black.

    None without an image; UsageError for a mask alone.
    """
    if image is None:
        if mask is not None:
            raise UsageError("--mask says what to redraw of an image: give that with --image")
        return None
    name = reader.display_name(image)
    pixels = images.decode(reader.read_bytes(image), name)
    if mask is None:
        return GivenImage(pixels, name)
    mask_name = reader.display_name(mask)
    # White on a transparent layer, as programs of painting export it: what is not painted is not redrawn.
    found = maps.decode_on_black(reader.read_bytes(mask), mask_name)
    return GivenImage(pixels, name, to_mask(found), mask_name)


def to_mask(image: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """uint8 (h, w, 3) or (h, w) → bool (h, w): whether a pixel is redrawn."""
    gray = image if image.ndim == 2 else image.mean(axis=2)
    return np.asarray(gray >= WHITE_FROM)


def to_start(image: NDArray[np.uint8], mask: NDArray[np.bool_] | None, denoise: float) -> "StartImage":
    """The tensors of an image uint8 (h, w, 3) and a mask bool (h, w), both at the size of the result."""
    import torch

    from cn.model.start import StartImage

    pixels = torch.from_numpy(np.ascontiguousarray(image)).permute(2, 0, 1)[None].float() / 255 * 2 - 1
    return StartImage(pixels, denoise, None if mask is None else torch.from_numpy(mask)[None, None].float())


def put_together(
    made: NDArray[np.uint8], image: NDArray[np.uint8], mask: NDArray[np.bool_], feather: int = 0
) -> NDArray[np.uint8]:
    """The image (h, w, 3) outside of the mask, exactly, and what was made inside of it.

    Over the first `feather` pixels inside, the one goes over into the other.
    """
    if feather == 0:
        return np.where(mask[..., None], made, image)
    import cv2

    # A border of what is not redrawn would fade the edges of the image, where nothing is on the other side.
    distance = cv2.distanceTransform(mask.astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    weight = np.clip(distance / (feather + 1), 0, 1)[..., None] if not mask.all() else np.ones((1, 1, 1))
    mixed = (1 - weight) * image + weight * made
    return np.asarray(mixed.round().astype(np.uint8))
