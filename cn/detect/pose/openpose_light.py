"""People by Lightweight OpenPose, as demo.py of its authors, without the final rounding to whole pixels."""

import math
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from cn.detect.pose.openpose_body import limit_height, scale_image
from cn.detect.pose.people import People

if TYPE_CHECKING:
    from torch import nn

HEIGHT = 256
"""Height of the network's input in pixels, and its minimum width."""

UPSAMPLING = 4
"""The maps are upsampled by this factor before decoding."""


def find_people(network: "nn.Module", images: NDArray[np.uint8]) -> list[People]:
    """The people in each of the images (n, h, w, 3) RGB of one size."""
    import torch

    from cn.detect.nets.arrays import to_array, to_tensor
    from cn.detect.nets.openpose_light import STRIDE
    from cn.detect.pose.openpose_decoder import LIGHT, decode
    from cn.detect.pose.upsampled_maps import Fields, ScaledMaps, cubic_matrix

    factor = limit_height(HEIGHT, *images.shape[1:3]) / images.shape[1]
    scaled = np.stack([scale_image(image, factor, cubic=False) for image in images]).astype(np.float32)
    batch, (top, left) = pad_around((scaled - np.float32(128)) / np.float32(256))
    with torch.inference_mode():
        outputs = [to_array(maps, network) for maps in network(to_tensor(batch, network))]
    down, across = (cubic_matrix(cells, cells * UPSAMPLING) for cells in outputs[0].shape[2:])
    per_image = []
    for heat, pafs in zip(*outputs, strict=True):
        people, scores = decode(
            Fields([ScaledMaps(heat, down, across)]), Fields([ScaledMaps(pafs, down, across)]), LIGHT
        )
        detected = people[..., 2] > 0
        people[..., :2] = (people[..., :2] * (STRIDE / UPSAMPLING) - (left, top)) / factor
        people[~detected] = 0
        per_image.append(People(people, scores))
    return per_image


def pad_around(images: NDArray[np.floating]) -> tuple[NDArray[np.floating], tuple[int, int]]:
    """Images (n, h, w, 3) padded with zeros on all sides to multiples of 8, at least `HEIGHT` wide and high.

    Also returns the padding at the top and left.
    """
    from cn.detect.nets.openpose_light import STRIDE

    added = [math.ceil(max(HEIGHT, side) / STRIDE) * STRIDE - side for side in images.shape[1:3]]
    before = (added[0] // 2, added[1] // 2)
    padding = [(0, 0), *((b, a - b) for a, b in zip(added, before, strict=True)), (0, 0)]
    return np.pad(images, padding), before
