"""What the tests of segmentation and the maker of their golden arrays share: made-up weights, inputs and pictures."""

from functools import cache

import numpy as np
import torch
from torch import Tensor, nn

from cn.detect.nets.deeplab import DeepLabV2MSC
from cn.detect.nets.upernet import UniFormerUPerNet
from tests.helpers.depth_cases import picture
from tests.helpers.model_helpers import GOLDEN, fill, uniform

FILE = GOLDEN / "detectors_segmentation.npz"

NETWORKS = {"uniformer": UniFormerUPerNet, "deeplab": DeepLabV2MSC}
THINNED = (0, slice(None, None, 5), slice(None, None, 2), slice(None, None, 2))
"""Of logits (1, C, h, w), every fifth class at every second row and column is stored."""

SIZES = [(1, 1), (3, 700), (64, 64), (97, 131), (256, 1024), (480, 640), (512, 683), (683, 512), (1080, 1921)]
SIZES += [(513, 513), (375, 500), (427, 640), (2000, 500), (3000, 4001), (500, 2048), (501, 2500)]
SIZES += [(1024, 1025), (1001, 1026), (1026, 1003)]
"""Images (height, width) whose size for the networks is compared."""

PICTURE = (100, 150)
SHORT, LONG = 64, 96
"""Instead of 512 and 2048 for UniFormer, and of 513 for DeepLab: whole detections have to be quick."""


def golden(name: str) -> np.ndarray:
    """One array of `tests/golden/make_detectors_segmentation.py`."""
    with np.load(FILE) as file:
        return file[name]


@cache
@torch.no_grad()
def filled(kind: str) -> nn.Module:
    """A network of `NETWORKS`, every number made from its name (shared between tests: never change it)."""
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
    """Something like a normalized image, (1, 3, 99, 131): its sides are no multiples of anything."""
    return uniform("segmentation.picture", (1, 3, 99, 131))


def colored_picture() -> np.ndarray:
    """uint8 (100, 150, 3) RGB, whose red and blue cannot be exchanged unnoticed."""
    made = picture(*PICTURE).copy()
    made[..., 0] = made[..., 0] // 2 + 100
    return made
