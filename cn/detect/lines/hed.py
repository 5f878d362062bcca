"""Soft edges (`hed`): by the published networks, or by gradients at several scales, which need no weights.

All maps are uint8 (h, w): soft white boundaries on black.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from cn.conditions import ConditionInfo
from cn.detect import registry
from cn.detect.detector import Detection, Images, Maps, OptionalNetworkDetector, batch_by_size, line_detection
from cn.detect.settings import HedSettings

if TYPE_CHECKING:
    from torch import nn

TIN_SCALES = (0.5, 1.0, 1.5)
"""The sizes, relative to the image, whose maps TIN's authors average."""

TILE, MARGIN = 1024, 128
"""Larger images go through a network in squares of this side, with this much of what is around them.

HED sees 122 pixels far. Both are multiples of 16, so that every square is halved along the same lines."""

LARGEST_SHORT_SIDE = 768
"""Larger images are reduced to this short side for `gradient_soft_edge`, and their maps enlarged."""

USUAL_SHORT_SIDE = 512
"""The short side for which the lengths below are, in pixels; they grow with it, and stay above half of it."""

GRADIENT_SCALES = (0.9, 1.8, 3.6)
"""Deviations of the Gaussians whose gradients are looked at."""

FLATTENING, FLATTENING_REACH, FLATTENINGS = 6.0, 4.0, 3
"""Contrasts (in units of CIELAB) that are smoothed away as texture, how far around, and how often."""

SURROUNDINGS, INHIBITION = 32.0, 0.5
"""How far around edges compete with an edge, and how much of their mean is taken off it."""

FAINT = 3.0
"""Units of CIELAB that are added to the mean of the surroundings, which an edge is measured by."""

MIDDLE, STEEPNESS, SOFTNESS = 0.6, 1.8, 1.0
"""The measure that becomes half of white, how fast it rises there, and the last smoothing."""


def soft_edges(network: "nn.Module", images: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Soft edges (n, h, w) of images (n, h, w, 3) RGB of one size, by HED or TIN.

    Any size: HED gets the image with its last row and column repeated up to a multiple of 16, and what was added is
    cut off the map. For multiples of 16 the result is that of the published annotators. Memory is bounded: sides
    of more than 1280 pixels are gone through in squares. That changes nothing for HED; TIN's coarse half, which its
    authors enlarge by the image's own size, moves by a pixel at most.
    """
    import torch

    from cn.detect.nets.hed import BSDS500HED, ControlNetHED
    from cn.detect.nets.tin import TIN

    methods = {ControlNetHED: _controlnet_hed, BSDS500HED: _bsds500_hed, TIN: _tin}
    if type(network) not in methods:
        raise TypeError(f"{type(network).__name__} is no soft edge network")
    method, (count, height, width) = methods[type(network)], images.shape[:3]
    edges = np.empty((count, height, width), np.uint8)
    tile = TILE if max(height, width) > TILE + 2 * MARGIN else max(height, width)
    with torch.inference_mode():
        for top, left in product(range(0, height, tile), range(0, width, tile)):
            y, x = max(0, top - MARGIN), max(0, left - MARGIN)
            part = method(network, images[:, y : top + tile + MARGIN, x : left + tile + MARGIN])
            inside = part[:, top - y : top - y + tile, left - x : left - x + tile]
            edges[:, top : top + tile, left : left + tile] = (inside * 255.0).clip(0, 255)
    return edges


def safe(edges: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A soft edge map in three levels, 0, 127 and 255, as ControlNet 1.1's `safe` preprocessors give it.

    Faint traces of the image, which a control could learn to read, are gone (safe_step in annotator/util.py).
    """
    return np.array([0, 127, 255], np.uint8)[np.minimum(edges // 85, 2)]


def _controlnet_hed(network: "nn.Module", images: NDArray[np.uint8]) -> NDArray[np.float64]:
    """The mean of the five logits, each enlarged bilinearly, through a sigmoid (annotator/hed/__init__.py)."""
    import cv2

    from cn.detect.nets.arrays import pad, to_array, to_tensor
    from cn.detect.nets.hed import MULTIPLE

    padded = pad(images, MULTIPLE)
    size = (padded.shape[2], padded.shape[1])
    sides = [to_array(side[:, 0], network) for side in network(to_tensor(padded, network))]
    maps = []
    for five in zip(*sides, strict=True):
        enlarged = [cv2.resize(side, size, interpolation=cv2.INTER_LINEAR) for side in five]
        logits = np.mean(np.stack(enlarged, axis=2), axis=2).astype(np.float64)
        maps.append(1 / (1 + np.exp(-logits)))
    return np.stack(maps)[:, : images.shape[1], : images.shape[2]]


def _bsds500_hed(network: "nn.Module", images: NDArray[np.uint8]) -> NDArray[np.floating]:
    """The fused probability of the original network, which takes BGR."""
    from cn.detect.nets.arrays import pad, to_array, to_tensor
    from cn.detect.nets.hed import MULTIPLE

    edges = to_array(network(to_tensor(pad(images, MULTIPLE)[..., ::-1], network))[:, 0], network)
    return edges[:, : images.shape[1], : images.shape[2]]


def _tin(network: "nn.Module", images: NDArray[np.uint8]) -> NDArray[np.floating]:
    """The mean of the maps at three sizes (test.py of jannctu/TIN), from BGR."""
    import cv2

    from cn.detect.nets.arrays import pad, to_array, to_tensor

    # A side of one pixel has no half.
    even = pad(images, 2) if min(images.shape[1:3]) == 1 else images
    size = (even.shape[2], even.shape[1])
    total = np.zeros(even.shape[:3])
    pictures = [image[..., ::-1].astype(np.float32) for image in even]
    for scale in TIN_SCALES:
        scaled = [cv2.resize(p, None, fx=scale, fy=scale, interpolation=cv2.INTER_LINEAR) for p in pictures]
        edges = to_array(network(to_tensor(np.stack(scaled), network))[:, 0], network)
        total += np.stack([cv2.resize(edge, size, interpolation=cv2.INTER_LINEAR) for edge in edges])
    return (total / len(TIN_SCALES))[:, : images.shape[1], : images.shape[2]]


def gradient_soft_edge(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Soft edges (h, w) of an image (h, w, 3) RGB without weights: made to look as HED's do.

    Texture is flattened by a bilateral filter in CIELAB. The strength of an edge is the geometric mean of gradients at
    three scales, so that what is there at one scale only counts little. It is measured by what is around it (so that
    faint objects show and busy ground does not), and goes through a soft threshold.
    """
    import cv2

    height, width = image.shape[:2]
    factor = LARGEST_SHORT_SIDE / min(height, width)
    if factor < 1:
        size = (max(1, round(width * factor)), max(1, round(height * factor)))
        reduced = np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)
        edges = cv2.resize(gradient_soft_edge(reduced), (width, height), interpolation=cv2.INTER_LINEAR)
        return np.asarray(edges, np.uint8)
    unit = max(0.5, min(height, width) / USUAL_SHORT_SIDE)
    lab: NDArray[Any] = cv2.cvtColor(image.astype(np.float32) / 255, cv2.COLOR_RGB2LAB)
    for _ in range(FLATTENINGS):
        lab = cv2.bilateralFilter(lab, -1, FLATTENING, FLATTENING_REACH * unit)
    little = 0.2
    logs = [np.log(_gradient(lab, scale * unit) + little) for scale in GRADIENT_SCALES]
    strength = np.exp(np.mean(logs, axis=0)) - little
    around = cv2.GaussianBlur(strength, (0, 0), SURROUNDINGS * unit)
    measure = np.maximum(strength - INHIBITION * around, 0) / (around + FAINT)
    measure = cv2.GaussianBlur(measure, (0, 0), SOFTNESS * unit) ** STEEPNESS
    return (255 * measure / (measure + MIDDLE**STEEPNESS)).clip(0, 255).astype(np.uint8)


def _gradient(lab: NDArray[Any], sigma: float) -> NDArray[Any]:
    """Largest slope over all directions in color (Di Zenzo), times sigma: the contrast of a step across the blur."""
    import cv2

    smooth = cv2.GaussianBlur(lab, (0, 0), sigma)
    dx, dy = (cv2.Sobel(smooth, cv2.CV_32F, x, 1 - x, ksize=3, scale=1 / 8) for x in (1, 0))
    xx, yy, xy = (dx * dx).sum(axis=2), (dy * dy).sum(axis=2), (dx * dy).sum(axis=2)
    return sigma * np.sqrt((xx + yy + np.hypot(xx - yy, 2 * xy)) / 2)


@dataclass(frozen=True)
class HedDetector(HedSettings, OptionalNetworkDetector):
    """Soft edges by HED or TIN, as the weights are, or by gradients where there is no network."""

    kind: ClassVar[str] = "hed"

    @property
    def name(self) -> str:
        return self.network.title if self.network else registry.weight_free_title("hed")

    @property
    def method(self) -> str:
        if self.network is None:
            return "gradient"
        return self.network.spec.method

    def info(self, key: str) -> ConditionInfo:
        return self.condition_info(self.name, {"method": self.method} | ({"safe": True} if self.safe else {}))

    def maps(self, images: Images) -> Maps:
        """Soft edges, uint8 (h, w), of each picture."""
        if self.network is None:
            made = [gradient_soft_edge(image) for image in images]
        else:
            net = self.network.ready()
            made = batch_by_size(images, self.batch_size, lambda n: soft_edges(net, n))
        return [safe(one) for one in made] if self.safe else made

    def detect(self, images: Images, keys: Sequence[str]) -> list[Detection]:
        return [line_detection(one, "edges") for one in self.maps(images)]
