"""The image that `cn sample` starts from, and the mask of what is redrawn: read, fitted, and put together again."""

import os
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from cn import images
from cn.errors import InputError, UsageError
from cn.images import maps, reader
from cn.images.resizing import resize
from cn.sample.fit import check_aspect
from cn.sample.identity import identity

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
    notes: tuple[str, ...] = ()
    """What was noticed when it was read."""
    stored_source: str = ""
    """The `source` of an image that was scaled since; "": it is that of these pixels."""
    _starts: "dict[float, StartImage]" = field(default_factory=dict, repr=False, compare=False)

    @cached_property
    def source(self) -> str:
        """The `identity` of the image and the mask as they were given."""
        return self.stored_source or identity(self.image, self.mask)

    def start(self, denoise: float) -> "StartImage":
        """`to_start` of an image at the size of the result; the same object for the same share of the steps."""
        if denoise not in self._starts:
            self._starts[denoise] = to_start(self.image, self.mask, denoise)
        return self._starts[denoise]

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

    def warnings(self, fitted: "GivenImage") -> list[str]:
        """What a user should know of this image and its mask, which sampling begins with as `fitted`."""
        found = [f"{self.name} {note}" for note in self.notes]
        if self.image.shape != fitted.image.shape:
            sizes = [f"{one.image.shape[1]}×{one.image.shape[0]}" for one in (self, fitted)]
            kept = "" if self.mask is None else ", and so is what is kept of it"
            found.append(f"{self.name} is scaled from {sizes[0]} to {sizes[1]}{kept}")
        if fitted.mask is not None and fitted.mask.all():
            found.append(f"{self.mask_name} is white everywhere: all of the image is redrawn")
        return found


def read_start(image: str | None, mask: str | None = None) -> GivenImage | None:
    """From the paths of `--image` and `--mask` ("-": standard input); transparent parts of a mask are black.

    None without an image; UsageError for a mask alone.
    """
    if image is None:
        if mask is not None:
            raise UsageError("--mask says what to redraw of an image: give that with --image")
        return None
    name, data = reader.display_name(image), reader.read_bytes(image)
    pixels = images.decode(data, name)
    see_through = not np.array_equal(pixels, maps.decode_on_black(data, name))
    found = GivenImage(pixels, name, notes=("is transparent in parts: they become white",) if see_through else ())
    if mask is None:
        return found
    mask_name = reader.display_name(mask)
    # White on a transparent layer, as programs of painting export it: what is not painted is not redrawn.
    return replace(found, mask=to_mask(maps.decode_on_black(reader.read_bytes(mask), mask_name)), mask_name=mask_name)


def stated_start(image: Any, mask: Any = None) -> GivenImage | None:
    """From arrays, images of Pillow or paths, as `read_start` does from paths."""
    if image is None or isinstance(image, str | os.PathLike):
        if mask is None or isinstance(mask, str | os.PathLike):
            return read_start(*(None if one is None else os.fspath(one) for one in (image, mask)))
        if image is None:
            raise UsageError("mask says what to redraw of an image: give that with image")
    found = GivenImage(images.as_rgb(image, "image"), "image")
    return found if mask is None else replace(found, mask=to_mask(images.as_rgb(mask, "mask")), mask_name="mask")


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
