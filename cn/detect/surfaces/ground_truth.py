"""Depth and normal maps from ground truth: DIODE's arrays, and depth of any origin, measured or rendered.

Camera space is that of `cn.detect.surfaces.camera`: right (x), up (y), towards the viewer (z).
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from cn import errors
from cn.conditions import ConditionInfo
from cn.detect.detector import Detection, WithoutNetwork, fraction
from cn.detect.settings import BgrSettings, InvalidColor, InvalidSettings
from cn.detect.surfaces.camera import Camera, surface_normals
from cn.detect.surfaces.diode import DEPTH, NORMALS, normals_from_diode, read_diode, read_mask
from cn.detect.surfaces.encoding import FLAT, depth_to_map, normals_to_map
from cn.detect.surfaces.normal import BGR, reversed_channels
from cn.errors import InputError
from cn.images import pixel_values
from cn.images.formats import MEASURED_SUFFIXES

INVALID_COLORS: dict[InvalidColor, tuple[int, int, int]] = {
    "flat": FLAT,
    "gray": (127, 127, 127),
    "black": (0, 0, 0),
}
"""Colors for pixels with unknown normals; the paper's other normal maps have "flat" there."""


@dataclass(frozen=True)
class DiodeNormals(InvalidSettings, BgrSettings, WithoutNetwork):
    """DIODE's normals as maps: `NAME_normal.npy`, masked by `NAME_depth_mask.npy` if that exists."""

    kind: ClassVar[str] = "normal"
    suffixes: ClassVar[frozenset[str]] = frozenset({NORMALS})
    from_photographs: ClassVar[bool] = False

    def read(self, path: str, part: int = 0) -> NDArray[np.float64]:
        """Unit normals (h, w, 3), zero where unknown."""
        normals, mask = read_diode(path, channels=3), read_mask(path, NORMALS)
        with errors.about(path):
            return normals_from_diode(normals, mask)

    def info(self, key: str) -> ConditionInfo:
        settings = {"method": "from-diode", "invalid": self.invalid, "bgr": self.bgr}
        return self.condition_info("DIODE ground truth", settings, BGR if self.bgr else None)

    def detect(self, images: Sequence[NDArray[np.float64]], keys: Sequence[str]) -> list[Detection]:
        return [_normals_detection(normals, self.invalid, self.bgr) for normals in images]


@dataclass(frozen=True)
class MeasuredDepth(WithoutNetwork):
    """Measured or rendered depth, as a map like MiDaS's: near = white."""

    kind: ClassVar[str] = "depth"
    suffixes: ClassVar[frozenset[str]] = MEASURED_SUFFIXES | {DEPTH}
    from_photographs: ClassVar[bool] = False

    def read(self, path: str, part: int = 0) -> NDArray[np.float64]:
        """Depth (h, w), 0 where unknown."""
        return read_depth(path)

    def info(self, key: str) -> ConditionInfo:
        return self.condition_info("measured depth", {"method": "from-depth"})

    def detect(self, images: Sequence[NDArray[np.float64]], keys: Sequence[str]) -> list[Detection]:
        detections = []
        for depth in images:
            known = np.isfinite(depth) & (depth > 0)
            found = {"unknown": fraction(~known)}
            if known.any():
                near, far = float(depth[known].min()), float(depth[known].max())
                found |= {"nearest": round(near, 4), "farthest": round(far, 4)}
            detections.append(Detection(depth_to_map(depth), found, empty=not known.any()))
        return detections


@dataclass(frozen=True)
class MeasuredNormals(InvalidSettings, BgrSettings, WithoutNetwork):
    """Normals of surfaces with measured or rendered depth; the principal point is the center of the image."""

    kind: ClassVar[str] = "normal"
    suffixes: ClassVar[frozenset[str]] = MeasuredDepth.suffixes
    from_photographs: ClassVar[bool] = False
    focal: float = field(kw_only=True)
    """Focal length in pixels."""

    def read(self, path: str, part: int = 0) -> NDArray[np.float64]:
        """Depth (h, w), 0 where unknown."""
        return read_depth(path)

    def info(self, key: str) -> ConditionInfo:
        settings = {"method": "from-depth", "focal": self.focal, "invalid": self.invalid, "bgr": self.bgr}
        return self.condition_info("normals of measured depth", settings, BGR if self.bgr else None)

    def detect(self, images: Sequence[NDArray[np.float64]], keys: Sequence[str]) -> list[Detection]:
        detections = []
        for depth in images:
            height, width = depth.shape
            camera = Camera(self.focal, self.focal, (width - 1) / 2, (height - 1) / 2)
            detections.append(_normals_detection(surface_normals(depth, camera), self.invalid, self.bgr))
        return detections


def read_depth(path: str) -> NDArray[np.float64]:
    """Depth (h, w) in any unit from an array or an image of one channel; 0 where `NAME_depth_mask.npy` is 0.

    Depth that is 0, negative or not finite is unknown. Raises InputError with the path.
    """
    depth = pixel_values.read(path).astype(np.float64)
    mask = read_mask(path, DEPTH)
    if mask is None:
        return depth
    if mask.shape != depth.shape:
        raise InputError(f"its mask {mask.shape} is of another size than the depth {depth.shape}", path=path)
    return np.where(mask != 0, depth, 0.0)


def _normals_detection(normals: NDArray[np.float64], invalid: InvalidColor, bgr: bool) -> Detection:
    unknown = np.asarray(~normals.any(axis=-1))
    colors = normals_to_map(normals, INVALID_COLORS[invalid])
    channels = reversed_channels(colors) if bgr else colors
    return Detection(channels, {"unknown": fraction(unknown)}, empty=bool(unknown.all()))
