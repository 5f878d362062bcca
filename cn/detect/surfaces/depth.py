"""Depth maps (`depth`) by MiDaS, near = white, as depth ControlNets expect them.

The networks predict inverse depth: large where near, in an arbitrary unit that differs from image to image.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, cast

import numpy as np
from numpy.typing import NDArray

from cn.conditions import ConditionInfo
from cn.detect.detector import Detection, Images, NetworkDetector, batch_by_size
from cn.detect.network import Network
from cn.detect.settings import DepthSettings, Preprocessing
from cn.detect.surfaces.encoding import to_levels
from cn.detect.surfaces.preprocessing import InputSize, input_size, normalized
from cn.images.resizing import resize

if TYPE_CHECKING:
    from cn.detect.nets.midas_blocks import DepthNetwork


def inverse_depth(
    network: "DepthNetwork",
    images: Sequence[NDArray[np.uint8]],
    size: InputSize | None = None,
    *,
    batch: int = 1,
) -> list[NDArray[np.float32]]:
    """The inverse depth that a network predicts for images (h, w, 3) RGB of any sizes: float32 (h', w') ≥ 0 for each.

    Near is large, and (h', w') is the size of the network's input (`size`; None is the network's default). Up
    to `batch` images of the same input size form a batch. The batch composition and the number of torch's threads
    change the last bits, so a few pixels of a map may differ by one level; with both equal the bytes are equal.
    """
    chosen = size or input_size(network)
    inputs = [normalized(network, chosen.resized(image)) for image in images]
    return batch_by_size(inputs, batch, lambda stack: _run(network, stack))


def depth_map(inverse: NDArray[np.floating], size: tuple[int, int] | None = None) -> NDArray[np.uint8]:
    """Inverse depth (h', w') as a map, uint8 `size` = (h, w): the nearest is white (255), the farthest black (0).

    Scaled and truncated as in the released annotator (annotator/midas), which leaves maps at the network's size; here
    the values are resized to `size` before they are quantized to 256 levels. Values that are not finite count as
    farthest, and an image of constant depth is all 0.
    """
    known = replace_nonfinite(inverse)
    return to_levels(resize(known, size) if size else known)


def replace_nonfinite(inverse: NDArray[np.floating]) -> NDArray[np.floating]:
    """Inverse depth (h, w) with values that are not finite replaced by the smallest finite one, or 0 without any."""
    finite = np.isfinite(inverse)
    if finite.all():
        return inverse
    smallest = inverse[finite].min() if finite.any() else 0
    return np.where(finite, inverse, smallest).astype(inverse.dtype)


def _run(network: "DepthNetwork", inputs: NDArray[np.float32]) -> NDArray[np.float32]:
    """(n, h', w', 3) → (n, h', w')."""
    import torch

    from cn.detect.nets.arrays import to_array, to_tensor

    with torch.inference_mode():
        return to_array(network(to_tensor(inputs, network)), network)


@dataclass(frozen=True)
class DepthDetector(DepthSettings, NetworkDetector):
    """Inverse depth by MiDaS, near = white."""

    kind: ClassVar[str] = "depth"

    def info(self, key: str) -> ConditionInfo:
        return self.condition_info(self.network.title, {"prepared": self.preprocessing} if self.preprocessing else {})

    def detect(self, images: Images, keys: Sequence[str]) -> list[Detection]:
        return [
            Detection(depth_map(inverse, image.shape[:2]), depth_range(inverse))
            for inverse, image in zip(predict_depth(self.network, images, self.preprocessing), images, strict=True)
        ]


def predict_depth(network: Network, images: Images, preprocessing: Preprocessing | None) -> list[NDArray[np.float32]]:
    """`inverse_depth` by a network that is loaded on first use."""
    net = cast("DepthNetwork", network.module())
    return inverse_depth(net, images, input_size(net, preprocessing), batch=network.batch_size)


def depth_range(inverse: NDArray[np.floating]) -> dict[str, float]:
    """The range of a network's inverse depth, in its own unit, which the map (always 0..255) does not show."""
    known = replace_nonfinite(inverse)
    return {"nearest": round(float(known.max()), 4), "farthest": round(float(known.min()), 4)}
