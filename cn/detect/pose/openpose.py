"""Human pose (`openpose`): people in an image, by OpenPose's body network or by the lightweight one.

People are float64 (n, 18, 3): the joints of `pose.skeleton`, x and y in pixels of the image, and a score, 0 for
a joint that was not found.
"""

import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from cn.detect.pose.people import People
from cn.detect.settings import OPENPOSE_SCALES

if TYPE_CHECKING:
    from torch import nn

    from cn.detect.pose.enlarged_maps import Fields

SCALES = OPENPOSE_SCALES
"""The released annotator looks at an image once, at half of the height `BOX`; OpenPose itself also at 1, 1.5 and 2."""

BOX = 368
"""The height in pixels that OpenPose's scales are relative to."""

LIGHT_HEIGHT, LIGHT_FINER = 256, 4
"""The height the lightweight network sees, and how many times finer than its own its maps are decoded."""

LONGEST = 8
"""Images more than this many times as wide as high are looked at less closely, to bound time and memory."""


def find_people(network: "nn.Module", images: NDArray[np.uint8], scales: Sequence[float] = SCALES) -> list[People]:
    """Who is in each of the images (n, h, w, 3) RGB of one size, by a network of the family "openpose".

    `scales` are the heights at which OpenPose's network looks, in units of 368 pixels; their maps are averaged. The
    others look once and take no notice of them. Any size of image will do.
    """
    from cn.detect.nets.openpose import BodyNetwork
    from cn.detect.nets.openpose_light import LightBodyNetwork
    from cn.detect.pose.keypoint_rcnn import find_people as by_boxes

    if isinstance(network, BodyNetwork):
        return [_decode_openpose(*fields) for fields in openpose_fields(network, images, scales)]
    if isinstance(network, LightBodyNetwork):
        return _by_light(network, images)
    return by_boxes(network, images)


def openpose_fields(
    network: "nn.Module", images: NDArray[np.uint8], scales: Sequence[float] = SCALES
) -> Iterator[tuple["Fields", "Fields"]]:
    """The heat (19 maps) and the part affinities (38) of each image at its own size (Body.__call__ in body.py)."""
    import torch

    from cn.detect.nets.arrays import to_array, to_tensor
    from cn.detect.pose.enlarged_maps import Fields

    height, width = images.shape[1:3]
    passes = []
    for scale in scales:
        batch, size = scaled(images, limited(scale * BOX, height, width) / height)
        with torch.inference_mode():
            planes = to_tensor(batch.astype(np.float32) / 256.0 - 0.5, network)
            outputs = [to_array(maps, network) for maps in network(planes)]
        passes.append((outputs, size))
    for number in range(len(images)):
        yield (
            Fields([layer(heat[number] / len(scales), size, (height, width)) for (heat, _), size in passes]),
            Fields([layer(parts[number] / len(scales), size, (height, width)) for (_, parts), size in passes]),
        )


def limited(target: float, height: int, width: int) -> float:
    """The height for the network, `target` unless the image is wider than `LONGEST` to one."""
    return target * min(1.0, LONGEST * height / width)


def scaled(images: NDArray[np.uint8], factor: float) -> tuple[NDArray[np.uint8], tuple[int, int]]:
    """Images (n, h, w, 3) RGB → BGR, `factor` times as large, gray to the right and below; and the size before that.

    Sides become multiples of 8; the size is (height, width).
    """
    from cn.detect.nets.openpose import STRIDE

    smaller = np.stack([resized(image, factor) for image in images])
    height, width = smaller.shape[1:3]
    padding = ((0, 0), (0, -height % STRIDE), (0, -width % STRIDE), (0, 0))
    return np.pad(smaller, padding, constant_values=128), (height, width)


def resized(image: NDArray[np.uint8], factor: float, smooth: bool = True) -> NDArray[np.uint8]:
    """RGB (h, w, 3) → BGR, `factor` times as large, by cubic or by linear interpolation; no side vanishes."""
    import cv2

    bgr = np.ascontiguousarray(image[..., ::-1])
    method = cv2.INTER_CUBIC if smooth else cv2.INTER_LINEAR
    size = [round(side * factor) for side in image.shape[1::-1]]
    if min(size) >= 1:
        # With the factor itself, not the rounded size, places are those of the published code.
        return np.asarray(cv2.resize(bgr, None, fx=factor, fy=factor, interpolation=method), np.uint8)
    return np.asarray(cv2.resize(bgr, [max(1, side) for side in size], interpolation=method), np.uint8)


def layer(maps: NDArray[np.floating], seen: tuple[int, int], size: tuple[int, int]) -> Any:
    """Maps (c, h / 8, w / 8) of a padded image, of which `seen` = (height, width) is the image, as of `size`."""
    from cn.detect.nets.openpose import STRIDE
    from cn.detect.pose.enlarged_maps import Layer, enlargement

    down, across = (
        enlargement(cells, STRIDE, *ends)
        for cells, ends in zip(maps.shape[1:], zip(seen, size, strict=True), strict=True)
    )
    return Layer(maps, down, across)


def _decode_openpose(heat: "Fields", affinities: "Fields") -> People:
    from cn.detect.pose.openpose_decoder import OPENPOSE, decode

    return People(*decode(heat, affinities, OPENPOSE))


def _by_light(network: "nn.Module", images: NDArray[np.uint8]) -> list[People]:
    """As demo.py of the authors does it, but for rounding to whole pixels at the end."""
    import torch

    from cn.detect.nets.arrays import to_array, to_tensor
    from cn.detect.nets.openpose_light import STRIDE
    from cn.detect.pose.enlarged_maps import Fields, Layer, cubic
    from cn.detect.pose.openpose_decoder import LIGHT, decode

    factor = limited(LIGHT_HEIGHT, *images.shape[1:3]) / images.shape[1]
    smaller = np.stack([resized(image, factor, smooth=False) for image in images]).astype(np.float32)
    batch, (top, left) = centered((smaller - np.float32(128)) / np.float32(256))
    with torch.inference_mode():
        outputs = [to_array(maps, network) for maps in network(to_tensor(batch, network))]
    down, across = (cubic(cells, cells * LIGHT_FINER) for cells in outputs[0].shape[2:])
    found = []
    for heat, affinities in zip(*outputs, strict=True):
        people, scores = decode(Fields([Layer(heat, down, across)]), Fields([Layer(affinities, down, across)]), LIGHT)
        there = people[..., 2] > 0
        people[..., :2] = (people[..., :2] * (STRIDE / LIGHT_FINER) - (left, top)) / factor
        people[~there] = 0
        found.append(People(people, scores))
    return found


def centered(images: NDArray[np.floating]) -> tuple[NDArray[np.floating], tuple[int, int]]:
    """Images (n, h, w, 3) amid zeros, at least `LIGHT_HEIGHT` wide and high; and what was added above and left.

    Sides become multiples of 8.
    """
    from cn.detect.nets.openpose_light import STRIDE

    added = [math.ceil(max(LIGHT_HEIGHT, side) / STRIDE) * STRIDE - side for side in images.shape[1:3]]
    before = (added[0] // 2, added[1] // 2)
    padding = [(0, 0), *((b, a - b) for a, b in zip(added, before, strict=True)), (0, 0)]
    return np.pad(images, padding), before
