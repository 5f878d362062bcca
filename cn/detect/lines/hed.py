"""Soft edges (`hed`): by the networks HED and TIN, or from gradients (`soft_edge_gradient`), which need no weights.

All maps are uint8 (h, w): soft white boundaries on black.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from numpy.typing import NDArray

from cn.conditions import ConditionInfo
from cn.detect import registry
from cn.detect.detector import Detection, Images, Maps, OptionalNetworkDetector, batch_by_size, line_detection
from cn.detect.lines.soft_edge_gradient import gradient_soft_edge
from cn.detect.settings import HedSettings

if TYPE_CHECKING:
    from torch import nn

TIN_SCALES = (0.5, 1.0, 1.5)
"""The sizes, relative to the image, whose maps TIN's authors average."""

TILE = 1024
"""Larger images are processed in square tiles of this side in pixels: a multiple of 16, as is `MARGIN`, so that pooling
has the same grid in every tile."""

MARGIN = 128
"""Pixels added around each tile: more than the 122 that HED's receptive field reaches."""


def soft_edges(network: "nn.Module", images: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Soft edges (n, h, w) of images (n, h, w, 3) RGB of one size, by HED or TIN.

    Any size: for HED the image is padded to multiples of 16 by repeating its last row and column, and the padding is
    cropped from the map. For multiples of 16 the result is that of the published annotators. Memory is bounded: sides
    of more than 1280 pixels are processed in tiles. HED's result is the same in tiles. TIN's coarse stage, which its
    authors enlarge by the image's own size, shifts by one pixel at most.
    """
    import torch

    from cn.detect.nets.hed import BSDS500HED, ControlNetHED
    from cn.detect.nets.tin import TIN

    methods = {ControlNetHED: _controlnet_hed, BSDS500HED: _bsds500_hed, TIN: _tin}
    if type(network) not in methods:
        raise TypeError(f"{type(network).__name__} is not a soft edge network")
    method = methods[type(network)]
    count, height, width = images.shape[:3]
    edges = np.empty((count, height, width), np.uint8)
    tile = TILE if max(height, width) > TILE + 2 * MARGIN else max(height, width)
    with torch.inference_mode():
        for top, left in product(range(0, height, tile), range(0, width, tile)):
            y, x = max(0, top - MARGIN), max(0, left - MARGIN)
            with_margin = method(network, images[:, y : top + tile + MARGIN, x : left + tile + MARGIN])
            inside = with_margin[:, top - y : top - y + tile, left - x : left - x + tile]
            edges[:, top : top + tile, left : left + tile] = (inside * 255.0).clip(0, 255)
    return edges


def three_levels(edges: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A soft edge map in three levels, 0, 127 and 255, as in the `safe` preprocessors of ControlNet 1.1.

    This removes faint traces of the image that a control could learn to read (safe_step in annotator/util.py).
    """
    return np.array([0, 127, 255], np.uint8)[np.minimum(edges // 85, 2)]


def _controlnet_hed(network: "nn.Module", images: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Sigmoid of the mean of the five logits, each enlarged bilinearly (annotator/hed/__init__.py)."""
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
    """The mean of the maps at three sizes, from BGR (test.py of jannctu/TIN)."""
    import cv2

    from cn.detect.nets.arrays import pad, to_array, to_tensor

    # A side of one pixel cannot be halved.
    even = pad(images, 2) if min(images.shape[1:3]) == 1 else images
    size = (even.shape[2], even.shape[1])
    total = np.zeros(even.shape[:3])
    bgr = [image[..., ::-1].astype(np.float32) for image in even]
    for scale in TIN_SCALES:
        scaled = [cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_LINEAR) for image in bgr]
        edges = to_array(network(to_tensor(np.stack(scaled), network))[:, 0], network)
        total += np.stack([cv2.resize(edge, size, interpolation=cv2.INTER_LINEAR) for edge in edges])
    return (total / len(TIN_SCALES))[:, : images.shape[1], : images.shape[2]]


@dataclass(frozen=True)
class HedDetector(HedSettings, OptionalNetworkDetector):
    """Soft edges by HED or TIN, depending on the weights, or from gradients without a network."""

    kind: ClassVar[str] = "hed"

    @property
    def name(self) -> str:
        return self.network.title if self.network else registry.weight_free_title("hed")

    @property
    def method(self) -> str:
        return self.network.spec.method if self.network else "gradient"

    def info(self, key: str) -> ConditionInfo:
        return self.condition_info(self.name, {"method": self.method} | ({"safe": True} if self.safe else {}))

    def maps(self, images: Images) -> Maps:
        """Soft edges, uint8 (h, w), of each image."""
        if self.network is None:
            edges = [gradient_soft_edge(image) for image in images]
        else:
            net = self.network.module()
            edges = batch_by_size(images, self.batch_size, lambda stack: soft_edges(net, stack))
        return [three_levels(one) for one in edges] if self.safe else edges

    def detect(self, images: Images, keys: Sequence[str]) -> list[Detection]:
        return [line_detection(one, "edges") for one in self.maps(images)]
