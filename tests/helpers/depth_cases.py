"""Synthetic weights, images and sizes, for the tests of depth and the script that makes their golden arrays."""

from functools import cache

import numpy as np
import torch
from torch import Tensor, nn

from cn.detect.nets.dpt import DPTHybrid
from cn.detect.nets.midas_small import MidasSmall
from cn.detect.surfaces.camera import Camera
from tests.helpers.model_helpers import GOLDEN, fill, uniform

FILE = GOLDEN / "detectors_depth.npz"

NETWORKS = {"dpt": DPTHybrid, "small": MidasSmall}
THINNED = (..., slice(None, None, 3), slice(None, None, 3))
"""Every third row and column of a network's output is stored."""

SIZES = [(h, w) for h in (37, 200, 256, 384, 480, 512, 683, 1080, 3000) for w in (64, 300, 384, 500, 640, 1000, 1920)]
SIZES = [(h, w) for h, w in SIZES if max(h, w) <= 4 * min(h, w)]
"""Image sizes (height, width) whose network input size is compared."""


def golden(name: str) -> np.ndarray:
    """One array of `tests/golden/make_detectors_depth.py`."""
    with np.load(FILE) as file:
        return file[name]


@torch.no_grad()
def filled(kind: str) -> nn.Module:
    """A network of `NETWORKS`, every value derived from its name; few output pixels are below zero, where ReLU cuts."""
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
    network.scratch.output_conv[4].bias.fill_(3.0 if kind == "dpt" else 0.5)
    return network.requires_grad_(False)


@cache
def network_input() -> Tensor:
    """Similar to a normalized image, (1, 3, 96, 128)."""
    return 0.5 * uniform("depth.picture", (1, 3, 96, 128))


def square_input() -> Tensor:
    """Its left part, (1, 3, 96, 96): transformers' network requires squares."""
    return network_input()[..., :96]


@cache
def sample_image(height: int, width: int) -> np.ndarray:
    """A soft colored pattern, uint8 (height, width, 3)."""
    y, x = np.mgrid[0 : 1 : height * 1j, 0 : 1 : width * 1j]
    waves = [np.sin(9 * x + 4 * y + c) + np.cos(5 * x * y + 2 * c) + 0.3 * np.sin(40 * x * (c + 1)) for c in range(3)]
    return ((np.stack(waves, axis=-1) + 2.3) / 4.6 * 255).clip(0, 255).astype(np.uint8)


class Stub(nn.Module):
    """A nonlinear function of the image in place of a network, for tests of what happens before and after it."""

    mean = (0.5, 0.5, 0.5)
    std = (0.5, 0.5, 0.5)
    side = 384
    midas_rule = "minimal"
    default_preprocessing = "released"

    def __init__(self) -> None:
        super().__init__()
        self.unused = nn.Parameter(torch.zeros(1))

    def forward(self, x: Tensor) -> Tensor:
        """(B, 3, H, W) → (B, H, W)."""
        return 40 * (x[:, 0] ** 2 + 0.5 * x[:, 1] * x[:, 2] + 0.3 * x[:, 2] + 1.5)


CAMERA = Camera(180.0, 210.0, 81.0, 57.0)
"""Of the synthetic scenes, `SIZE` pixels."""
SIZE = (120, 160)


def degrees(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Angles between unit vectors (..., 3)."""
    return np.degrees(np.arccos(np.clip((a * b).sum(axis=-1), -1, 1)))


def plane_depth(normal, distance: float, camera: Camera = CAMERA, size=SIZE) -> np.ndarray:
    """Depth of the plane { P : normal · P = -distance }; infinite where it is not in front of the camera."""
    facing = -(camera.rays(*size) @ np.asarray(normal, float))
    return np.divide(distance, facing, out=np.full(size, np.inf), where=facing > 1e-6)


def sphere_depth(center, radius: float) -> np.ndarray:
    """Depth of a sphere, infinite beside it."""
    rays, center = CAMERA.rays(*SIZE), np.asarray(center, float)
    a, b, c = (rays**2).sum(-1), -2 * rays @ center, center @ center - radius**2
    inside = b * b - 4 * a * c
    return np.where(inside > 0, (-b - np.sqrt(inside.clip(0))) / (2 * a), np.inf)


def unit(*vector: float) -> np.ndarray:
    """A vector scaled to length 1."""
    return np.array(vector) / np.linalg.norm(vector)


def depth_from_disparity(disparity: np.ndarray, focal: float, baseline: float, offset: float = 0.0) -> np.ndarray:
    """Depth (h, w), in the unit of `baseline`, of the left image of a rectified stereo pair: focal · baseline / d.

    `disparity` (h, w) and `focal` are in pixels; `offset` (Middlebury's doffs) is how far the principal point of the
    right image lies to the right. Depth is NaN where disparity is not finite, and infinite where it is not positive.
    """
    total = np.asarray(disparity, np.float64) + offset
    depth = np.full(total.shape, np.nan)
    depth[np.isfinite(total)] = np.inf
    return np.divide(focal * baseline, total, out=depth, where=np.isfinite(total) & (total > 0))


def points_from_depth(depth: np.ndarray, camera: Camera) -> np.ndarray:
    """The point of each pixel, (h, w, 3) in camera space; NaN where depth is not finite or not positive."""
    known = np.isfinite(depth) & (depth > 0)
    return camera.rays(*depth.shape) * np.where(known, depth, np.nan)[..., None]
