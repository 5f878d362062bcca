"""The size of the images, where the options do not say it. No torch."""

import numpy as np

from cn.errors import InputError
from cn.model.config import ModelConfig
from cn.sample.request import SampleRequest

MAX_AREA = 64
"""An image may have this many times the pixels that its base was trained at: more would take hours and all memory."""


def size_of(request: SampleRequest, config: ModelConfig) -> tuple[int, int]:
    """(height, width) of the images of a request with a base of this configuration. Raises what `working_size` raises.

    The image to start from decides it, or else the first condition.
    """
    start = request.start_image
    giver = start.image if start else request.conditions[0].image if request.conditions else None
    shape = (giver.shape[0], giver.shape[1]) if giver is not None else None
    return working_size(shape, request.size, config.image_size, _multiple_of(request, config), request.resolution)


def own_size(image: np.ndarray, request: SampleRequest, config: ModelConfig) -> tuple[int, int]:
    """(height, width) that one image (h, w, 3) of a request would lead to, were it alone and no size given."""
    shape = (image.shape[0], image.shape[1])
    return working_size(shape, None, config.image_size, _multiple_of(request, config), request.resolution)


def _multiple_of(request: SampleRequest, config: ModelConfig) -> int:
    """What the sides are multiples of."""
    # An image that is kept outside of a mask is not to be scaled for the sake of round numbers.
    return config.vae.factor if request.start_image is not None else config.size_multiple


def working_size(
    image_size: tuple[int, int] | None,
    requested_size: tuple[int, int] | None,
    trained: int,
    multiple: int,
    resolution: int | None = None,
) -> tuple[int, int]:
    """(height, width) of the images: `requested_size`, or else multiples of `multiple` near the condition's size.

    With `resolution`, the condition's size is scaled until its short side is that. Else, where its short side is more
    than 1.5 times larger or smaller than the base was trained at, it is scaled to that, since a latent diffusion model
    composes badly far from its own size. Raises InputError for more than MAX_AREA times the pixels that the base was
    trained at.
    """
    size = requested_size or _size_near(image_size or (trained, trained), trained, multiple, resolution)
    if size[0] * size[1] > MAX_AREA * trained**2:
        given = "--size" if requested_size else "--resolution" if resolution else None
        raise InputError(
            f"an image of {size[1]}×{size[0]} is far too large for a base trained at {trained}×{trained}; "
            f"{f'give a smaller {given}' if given else 'crop the condition'}"
        )
    return size


def _size_near(size: tuple[int, int], trained: int, multiple: int, resolution: int | None) -> tuple[int, int]:
    short = min(size)
    if resolution is not None:
        factor = resolution / short
    else:
        factor = trained / short if max(short / trained, trained / short) > 1.5 else 1.0
    height, width = (max(multiple, round(side * factor / multiple) * multiple) for side in size)
    return height, width
