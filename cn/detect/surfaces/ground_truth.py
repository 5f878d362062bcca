"""Maps of what was measured: depth and normals of DIODE, and depth of any other origin, as conditions.

Camera space is that of `cn.detect.surfaces.camera`: right (x), up (y), towards the viewer (z).
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from cn import errors
from cn.conditions import ConditionInfo
from cn.detect.detector import Detection, WithoutNetwork, fraction
from cn.detect.settings import BgrSettings, InvalidSettings
from cn.detect.settings import InvalidColor as Invalid
from cn.detect.surfaces.camera import Camera, surface_normals
from cn.detect.surfaces.encoding import FLAT, depth_to_map, normals_to_map
from cn.detect.surfaces.normal import BGR, reversed_channels
from cn.errors import InputError
from cn.images import pixel_values

DIODE = Camera(886.81, 927.06, 512.0, 384.0)
"""The camera of DIODE's 1024×768 crops (intrinsics.txt of its devkit)."""

NORMALS, DEPTH, MASK = "_normal.npy", "_depth.npy", "_depth_mask.npy"
"""What DIODE's files are called: NAME.png is the image of these."""

INVALID: dict[Invalid, tuple[int, int, int]] = {"flat": FLAT, "gray": (127, 127, 127), "black": (0, 0, 0)}
"""Colors for pixels whose normal is not known; "flat" is what the paper's other normal maps have there."""


def read_diode(path: Path | str, *, channels: int) -> NDArray[np.float64]:
    """One array of DIODE: `*_normal.npy` has 3 channels (h, w, 3), `*_depth.npy` and `*_depth_mask.npy` 1, as (h, w).

    Raises InputError when it is missing, damaged or of another shape. Nothing in the file is run.
    """
    stored = pixel_values.read_numbers(path)
    if channels == 1 and stored.ndim == 3 and stored.shape[2] == 1:
        stored = stored[..., 0]
    if stored.ndim != (3 if channels > 1 else 2) or (channels > 1 and stored.shape[2] != channels) or not stored.size:
        wanted = f"(height, width, {channels})" if channels > 1 else "(height, width)"
        raise InputError(f"has the shape {stored.shape}; DIODE's have {wanted}", path=path)
    return stored.astype(np.float64)


def normals_from_diode(
    stored: NDArray[np.floating], mask: NDArray[np.generic] | None = None, camera: Camera = DIODE
) -> NDArray[np.float64]:
    """DIODE's `*_normal.npy` (h, w, 3) as camera-space unit normals (h, w, 3), for `encoding.normals_to_map`.

    The file holds right (x), up (y) and towards the viewer (z), as its users read it (Metric3D's diode_dataset.py).
    Some of its normals point into the surface: what is seen faces the camera, so these are turned round. Invalid
    pixels, (0, 0, 0) or not finite in the file, or 0 in `mask` (h, w), become (0, 0, 0).
    """
    normals = np.asarray(stored, np.float64)
    length = np.linalg.norm(normals, axis=-1)
    valid = np.isfinite(length) & (length > 0)
    if mask is not None:
        if mask.shape != valid.shape:
            raise InputError(f"the mask {mask.shape} and the normals {valid.shape} are of different sizes")
        valid &= np.asarray(mask) != 0
    unit = np.divide(normals, length[..., None], out=np.zeros_like(normals), where=valid[..., None])
    away = (unit * camera.rays(*valid.shape)).sum(axis=-1) > 0
    return np.where(away[..., None], -unit, unit)


@dataclass(frozen=True)
class DiodeNormals(InvalidSettings, BgrSettings, WithoutNetwork):
    """DIODE's normals as maps: `NAME_normal.npy`, without what a `NAME_depth_mask.npy` beside it leaves out."""

    kind: ClassVar[str] = "normal"
    suffixes: ClassVar[frozenset[str]] = frozenset({NORMALS})
    from_photographs: ClassVar[bool] = False

    def read(self, path: str, part: int = 0) -> NDArray[np.float64]:
        """Unit normals (h, w, 3), zero where they are not known."""
        with errors.about(path):
            return normals_from_diode(read_diode(path, channels=3), _mask_beside(path, NORMALS))

    def info(self, key: str) -> ConditionInfo:
        settings = {"method": "from-diode", "invalid": self.invalid, "bgr": self.bgr}
        return self.condition_info("DIODE ground truth", settings, BGR if self.bgr else None)

    def detect(self, images: Sequence[NDArray[np.float64]], keys: Sequence[str]) -> list[Detection]:
        return [_normals_shown(normals, self.invalid, self.bgr) for normals in images]


@dataclass(frozen=True)
class MeasuredDepth(WithoutNetwork):
    """Depth that was measured or rendered, as a map like MiDaS's: near = white."""

    kind: ClassVar[str] = "depth"
    suffixes: ClassVar[frozenset[str]] = pixel_values.SUFFIXES | {DEPTH}
    from_photographs: ClassVar[bool] = False

    def read(self, path: str, part: int = 0) -> NDArray[np.float64]:
        """Depth (h, w), 0 where it is not known."""
        return read_depth(path)

    def info(self, key: str) -> ConditionInfo:
        return self.condition_info("measured depth", {"method": "from-depth"})

    def detect(self, images: Sequence[NDArray[np.float64]], keys: Sequence[str]) -> list[Detection]:
        made = []
        for depth in images:
            known = np.isfinite(depth) & (depth > 0)
            found = {"unknown": fraction(~known)}
            if known.any():
                near, far = float(depth[known].min()), float(depth[known].max())
                found |= {"nearest": round(near, 4), "farthest": round(far, 4)}
            made.append(Detection(depth_to_map(depth), found, empty=not known.any()))
        return made


@dataclass(frozen=True)
class MeasuredNormals(InvalidSettings, BgrSettings, WithoutNetwork):
    """The normals of surfaces whose depth was measured or rendered, by a camera that looks at the image's middle."""

    kind: ClassVar[str] = "normal"
    suffixes: ClassVar[frozenset[str]] = MeasuredDepth.suffixes
    from_photographs: ClassVar[bool] = False
    focal: float = field(kw_only=True)
    """Focal length in pixels."""

    def read(self, path: str, part: int = 0) -> NDArray[np.float64]:
        """Depth (h, w), 0 where it is not known."""
        return read_depth(path)

    def info(self, key: str) -> ConditionInfo:
        settings = {"method": "from-depth", "focal": self.focal, "invalid": self.invalid, "bgr": self.bgr}
        return self.condition_info("normals of measured depth", settings, BGR if self.bgr else None)

    def detect(self, images: Sequence[NDArray[np.float64]], keys: Sequence[str]) -> list[Detection]:
        made = []
        for depth in images:
            height, width = depth.shape
            camera = Camera(self.focal, self.focal, (width - 1) / 2, (height - 1) / 2)
            made.append(_normals_shown(surface_normals(depth, camera), self.invalid, self.bgr))
        return made


def read_depth(path: str) -> NDArray[np.float64]:
    """Depth (h, w) in any unit from an array or an image of one channel; 0 where `NAME_depth_mask.npy` leaves it out.

    What is 0, negative or not finite is not known. Raises InputError, naming the file.
    """
    depth = pixel_values.read(path).astype(np.float64)
    mask = _mask_beside(path, DEPTH)
    if mask is None:
        return depth
    if mask.shape != depth.shape:
        raise InputError(f"its mask {mask.shape} is of another size than the depth {depth.shape}", path=path)
    return np.where(mask != 0, depth, 0.0)


def _mask_beside(path: str, ending: str) -> NDArray[np.float64] | None:
    """DIODE's mask (h, w) for one of its files, where it is there."""
    mask = path[: -len(ending)] + MASK
    return read_diode(mask, channels=1) if path.endswith(ending) and os.path.isfile(mask) else None


def _normals_shown(normals: NDArray[np.float64], invalid: Invalid, bgr: bool) -> Detection:
    unknown = np.asarray(~normals.any(axis=-1))
    colors = normals_to_map(normals, INVALID[invalid])
    shown = reversed_channels(colors) if bgr else colors
    return Detection(shown, {"unknown": fraction(unknown)}, empty=bool(unknown.all()))
