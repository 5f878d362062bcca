"""People by OpenPose's body network, as the released annotator runs it (annotator/openpose/body.py)."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from cn.detect.pose.people import People
from cn.detect.settings import OPENPOSE_SCALES

if TYPE_CHECKING:
    from torch import nn

    from cn.detect.pose.upsampled_maps import Fields, ScaledMaps

SCALES = OPENPOSE_SCALES
"""The released annotator runs the network once, at half of the height `BOX`; OpenPose itself also at 1, 1.5 and 2."""

BOX = 368
"""The height in pixels that OpenPose's scales are relative to."""

MAX_ASPECT = 8
"""Images that are wider than this many times their height are processed at a lower scale, to bound time and memory."""


def find_people(network: "nn.Module", images: NDArray[np.uint8], scales: Sequence[float] = SCALES) -> list[People]:
    """The people in each of the images (n, h, w, 3) RGB of one size.

    `scales` are the heights of the network's input, in units of 368 pixels; the maps of several scales are averaged.
    """
    from cn.detect.pose.openpose_decoder import OPENPOSE, decode

    return [People(*decode(*maps, OPENPOSE)) for maps in body_maps(network, images, scales)]


def body_maps(
    network: "nn.Module", images: NDArray[np.uint8], scales: Sequence[float] = SCALES
) -> Iterator[tuple["Fields", "Fields"]]:
    """Confidence maps (19) and part affinity fields (38) of each image at its own size (Body.__call__ in body.py)."""
    import torch

    from cn.detect.nets.arrays import to_array, to_tensor
    from cn.detect.pose.upsampled_maps import Fields

    height, width = images.shape[1:3]
    passes = []
    for scale in scales:
        batch, size = scale_and_pad(images, limit_height(scale * BOX, height, width) / height)
        with torch.inference_mode():
            inputs = to_tensor(batch.astype(np.float32) / 256.0 - 0.5, network)
            outputs = [to_array(maps, network) for maps in network(inputs)]
        passes.append((outputs, size))
    for number in range(len(images)):
        yield (
            Fields([scaled_maps(heat[number] / len(scales), size, (height, width)) for (heat, _), size in passes]),
            Fields([scaled_maps(pafs[number] / len(scales), size, (height, width)) for (_, pafs), size in passes]),
        )


def limit_height(target: float, height: int, width: int) -> float:
    """The height of the network's input: `target`, or less if the image is wider than `MAX_ASPECT` to one."""
    return target * min(1.0, MAX_ASPECT * height / width)


def scale_and_pad(images: NDArray[np.uint8], factor: float) -> tuple[NDArray[np.uint8], tuple[int, int]]:
    """Images (n, h, w, 3) RGB → BGR scaled by `factor` and padded with gray at the right and bottom to multiples of 8.

    Also returns the size (height, width) before padding.
    """
    from cn.detect.nets.openpose import STRIDE

    scaled = np.stack([scale_image(image, factor) for image in images])
    height, width = scaled.shape[1:3]
    padding = ((0, 0), (0, -height % STRIDE), (0, -width % STRIDE), (0, 0))
    return np.pad(scaled, padding, constant_values=128), (height, width)


def scale_image(image: NDArray[np.uint8], factor: float, cubic: bool = True) -> NDArray[np.uint8]:
    """RGB (h, w, 3) → BGR scaled by `factor`, by cubic or linear interpolation; sides are at least one pixel."""
    import cv2

    bgr = np.ascontiguousarray(image[..., ::-1])
    method = cv2.INTER_CUBIC if cubic else cv2.INTER_LINEAR
    size = [round(side * factor) for side in image.shape[1::-1]]
    if min(size) >= 1:
        # The factor itself, not the rounded size, gives the sampling positions of the published code.
        return np.asarray(cv2.resize(bgr, None, fx=factor, fy=factor, interpolation=method), np.uint8)
    return np.asarray(cv2.resize(bgr, [max(1, side) for side in size], interpolation=method), np.uint8)


def scaled_maps(maps: NDArray[np.floating], unpadded: tuple[int, int], size: tuple[int, int]) -> "ScaledMaps":
    """Maps (c, h / 8, w / 8) of a padded input with the image in its first `unpadded` = (height, width) pixels.

    `size` = (height, width) is the size of the image itself.
    """
    from cn.detect.nets.openpose import STRIDE
    from cn.detect.pose.upsampled_maps import ScaledMaps, upsampling_matrix

    down, across = (
        upsampling_matrix(cells, STRIDE, *lengths)
        for cells, lengths in zip(maps.shape[1:], zip(unpadded, size, strict=True), strict=True)
    )
    return ScaledMaps(maps, down, across)
