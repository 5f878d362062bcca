"""Normal maps (`normal`) from a network's inverse depth, as published. (True normals: `surfaces.ground_truth`.)

Maps are uint8 (h, w, 3) RGB: red for surfaces that face left, green for up, blue for the viewer; (127, 127, 255) is
flat. This is the common convention, and `cn` writes it. The released v1.0 normal ControlNet was trained on BGR: its
input needs `reversed_channels`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from cn.conditions import ConditionInfo
from cn.detect.detector import Detection, Images, NetworkDetector, fraction
from cn.detect.settings import NormalSettings
from cn.detect.surfaces.depth import depth_range, predict_depth, replace_nonfinite
from cn.detect.surfaces.encoding import FLAT, unit_range
from cn.errors import UsageError
from cn.images.resizing import resize

STRENGTH = NormalSettings.strength
"""The z component of the released annotator, before normalization."""

BACKGROUND = NormalSettings.background
"""The default of the released annotator; the app of the released normal ControlNet uses 0.4."""


def normal_from_depth(
    inverse: NDArray[np.floating],
    size: tuple[int, int] | None = None,
    *,
    strength: float = STRENGTH,
    background: float = BACKGROUND,
) -> NDArray[np.uint8]:
    """The normal map, uint8 `size` = (h, w) × 3 RGB, of a network's inverse depth (h', w'), as published.

    The normal is (∂/∂x, ∂/∂y, `strength`) by 3×3 Sobel filters, scaled to length 1 (annotator/midas). These are not
    true normals: they depend on the network's unit of depth and input size. A larger `strength` gives flatter maps, and
    each network needs its own; 2π was chosen for DPT-hybrid at a short side of 384. Normals are computed at that size,
    then resized to `size`. Pixels below the fraction `background`, 0..1, of the range of inverse depth are flat.
    Raises UsageError unless `strength` is positive.
    """
    import cv2

    if not strength > 0:
        raise UsageError(f"the strength of normals is {strength}; it must be more than 0")

    depth = np.ascontiguousarray(replace_nonfinite(inverse), np.float32)
    x = np.asarray(cv2.Sobel(depth, cv2.CV_32F, 1, 0, ksize=3))
    y = np.asarray(cv2.Sobel(depth, cv2.CV_32F, 0, 1, ksize=3))
    far = unit_range(depth) < background
    x[far] = 0
    y[far] = 0
    normal = np.stack([x, y, np.full_like(x, strength)], axis=2)
    unit = normal / np.sqrt(np.sum(normal**2, axis=2, keepdims=True))
    colors = (unit * 127.5 + 127.5).clip(0, 255).astype(np.uint8)
    return resize(colors, size) if size else colors


def reversed_channels(colors: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A map (h, w, 3) with RGB ↔ BGR swapped: the order that the released v1.0 normal ControlNet was trained on."""
    return np.ascontiguousarray(colors[..., ::-1])


BGR = "camera-space normals, (n + 1) / 2 as BGR: blue left, green up, red towards the viewer"


@dataclass(frozen=True)
class NormalDetector(NormalSettings, NetworkDetector):
    """Normals from MiDaS's inverse depth, RGB, or BGR as the released v1.0 control expects them."""

    kind: ClassVar[str] = "normal"

    def info(self, key: str) -> ConditionInfo:
        settings: dict[str, Any] = {"strength": round(self.strength, 6), "background": self.background}
        settings |= {"bgr": self.bgr} | ({"prepared": self.preprocessing} if self.preprocessing else {})
        return self.condition_info(f"normals from {self.network.title}", settings, BGR if self.bgr else None)

    def detect(self, images: Images, keys: Sequence[str]) -> list[Detection]:
        detections = []
        for inverse, image in zip(predict_depth(self.network, images, self.preprocessing), images, strict=True):
            size = image.shape[:2]
            normals = normal_from_depth(inverse, size, strength=self.strength, background=self.background)
            flat = fraction((normals == FLAT).all(axis=2))
            channels = reversed_channels(normals) if self.bgr else normals
            detections.append(Detection(channels, {"flat": flat} | depth_range(inverse)))
        return detections
