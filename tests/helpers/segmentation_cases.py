"""Synthetic weights, inputs and images, for the tests of segmentation and the script that makes their golden arrays."""

from functools import cache

import numpy as np
import torch
from torch import Tensor, nn

from cn.detect.nets.deeplab import DeepLabV2MSC
from cn.detect.nets.upernet import UniFormerUPerNet
from tests.helpers.depth_cases import sample_image
from tests.helpers.model_helpers import GOLDEN, fill, uniform

FILE = GOLDEN / "detectors_segmentation.npz"

NETWORKS = {"uniformer": UniFormerUPerNet, "deeplab": DeepLabV2MSC}
THINNED = (0, slice(None, None, 5), slice(None, None, 2), slice(None, None, 2))
"""Of logits (1, C, h, w), every fifth class at every second row and column is stored."""

SIZES = [(1, 1), (3, 700), (64, 64), (97, 131), (256, 1024), (480, 640), (512, 683), (683, 512), (1080, 1921)]
SIZES += [(513, 513), (375, 500), (427, 640), (2000, 500), (3000, 4001), (500, 2048), (501, 2500)]
SIZES += [(1024, 1025), (1001, 1026), (1026, 1003)]
"""Image sizes (height, width) whose network input size is compared."""

IMAGE_SIZE = (100, 150)
SHORT, LONG = 64, 96
"""Instead of 512 and 2048 for UniFormer, and of 513 for DeepLab, to make complete detections fast."""


def golden(name: str) -> np.ndarray:
    """One array of `tests/golden/make_detectors_segmentation.py`."""
    with np.load(FILE) as file:
        return file[name]


@cache
@torch.no_grad()
def filled(kind: str) -> nn.Module:
    """A network of `NETWORKS`, every value derived from its name (shared between tests: never change it)."""
    with torch.device("meta"):
        network = NETWORKS[kind]()
    fill(network.to_empty(device="cpu"))
    for name, buffer in network.named_buffers():
        if name.endswith("running_var"):
            buffer.copy_(1 + 0.2 * uniform(name, tuple(buffer.shape)))
        elif name.endswith("running_mean"):
            buffer.copy_(0.1 * uniform(name, tuple(buffer.shape)))
        else:
            buffer.zero_()
    return network.requires_grad_(False)


@cache
def network_input() -> Tensor:
    """Similar to a normalized image, (1, 3, 99, 131), with odd sides."""
    return uniform("segmentation.picture", (1, 3, 99, 131))


def colored_image() -> np.ndarray:
    """uint8 (100, 150, 3) RGB, in which swapped red and blue are noticed."""
    made = sample_image(*IMAGE_SIZE).copy()
    made[..., 0] = made[..., 0] // 2 + 100
    return made
