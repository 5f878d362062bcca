"""Depth and normal maps from ground truth: DIODE's arrays, and depth of any origin, measured or rendered.

Camera space is that of `cn.detect.surfaces.camera`: right (x), up (y), towards the viewer (z).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray

from cn import errors
from cn.conditions import ConditionInfo
from cn.detect.detector import Detection, WithoutNetwork, fraction
from cn.detect.surfaces.camera import Camera, surface_normals
from cn.detect.surfaces.depth_scale import Scale, scale, value
from cn.detect.surfaces.diode import check_lengths, normals_from_diode, read_diode, read_mask
from cn.detect.surfaces.measured_depth import Depth, read_depth
from cn.detect.surfaces.normal_files import NormalFiles
from cn.detect.surfaces.settings import (
    DEPTH_SUFFIXES,
    DIODE_SUFFIXES,
    NORMALS,
    CameraSettings,
    MeasuredDepthSettings,
    MeasuredSettings,
)
from cn.detect.surfaces.shares import over, share
from cn.errors import InputError

MAX_HOLES = 0.05
"""Above this fraction of holes there is a warning."""
MAX_WHITE, MAX_BLACK = 0.1, 0.5
"""Above these fractions of pixels outside of the range, there is a warning. That the background is black is usual."""
MAX_DARK, DARK = 0.98, 13
"""Above this fraction of pixels whose level is lower (5 % of white), there is a warning."""
_NO_DEPTH = "none of its pixels has a depth: all are 0, negative, transparent or not finite"


@dataclass(frozen=True)
class DiodeNormals(NormalFiles):
    """DIODE's normals as maps: `NAME_normal.npy`, masked by `NAME_depth_mask.npy` if that exists."""

    suffixes: ClassVar[frozenset[str]] = DIODE_SUFFIXES

    def read(self, path: str, part: int = 0) -> NDArray[np.float64]:
        """Unit normals (h, w, 3), zero where unknown."""
        normals, mask = read_diode(path, channels=3), read_mask(path, NORMALS)
        with errors.about(path):
            check_lengths(normals)
            return normals_from_diode(normals, mask)

    def info(self, key: str) -> ConditionInfo:
        settings = {"method": "from-diode", "invalid": self.invalid, "bgr": self.bgr}
        return self.condition_info("DIODE ground truth", settings, self.order)

    def detect(self, images: Sequence[NDArray[np.float64]], keys: Sequence[str]) -> list[Detection]:
        return [self.detection(normals) for normals in images]


@dataclass(frozen=True)
class MeasuredDepth(MeasuredDepthSettings, WithoutNetwork):
    """Measured or rendered depth, as a map like MiDaS's: near = white."""

    kind: ClassVar[str] = "depth"
    suffixes: ClassVar[frozenset[str]] = DEPTH_SUFFIXES
    from_photographs: ClassVar[bool] = False

    def read(self, path: str, part: int = 0) -> Depth:  # type: ignore[override]
        return read_depth(path, self.depth_is, self.channel)

    def info(self, key: str) -> ConditionInfo:
        settings: dict[str, Any] = {"method": "from-depth"} | given(self)
        settings |= {name: limit for name in ("near", "far") if (limit := getattr(self, name)) is not None}
        settings |= {} if self.clip == MeasuredDepthSettings.clip else {"clip": self.clip}
        return self.condition_info("measured depth", settings)

    def detect(self, images: Sequence[Depth], keys: Sequence[str]) -> list[Detection]:  # type: ignore[override]
        return [self._detection(depth) for depth in images]

    def _detection(self, depth: Depth) -> Detection:
        found: dict[str, Any] = {
            "depth_is": depth.kind,
            "unknown": fraction(~(depth.known | depth.background)),
            "background": fraction(depth.background),
        }
        range_ = scale(depth, self.near, self.far, self.clip / 100)
        if not depth.known.any():
            nothing = depth.doubt or ("all of it is background" if depth.background.all() else _NO_DEPTH)
            return Detection(range_.levels(), found, empty=True, warning=nothing)
        nearest = float(depth.values.min(where=depth.known, initial=np.inf))
        farthest = float(depth.values.max(where=depth.known, initial=-np.inf))
        if depth.kind in ("disparity", "near-white"):
            nearest, farthest = farthest, nearest
        limits = {"near": value(depth.kind, range_.high), "far": value(depth.kind, range_.low)}
        white, black = _outside(range_)
        found |= {"nearest": round(nearest, 4), "farthest": round(farthest, 4)}
        found |= {name: None if limit is None else round(limit, 4) for name, limit in limits.items()}
        found |= {"clipped": round(white + black, 4)}
        made = range_.levels()
        doubts = [
            depth.doubt,
            None if self.near is not None else _dark_warning(depth, made),
            self._clipping(depth, white, black, f"{nearest:g} to {farthest:g}"),
            _hole_warning(depth, found["unknown"]),
        ]
        return Detection(made, found, warning="; ".join(filter(None, doubts)) or None)

    def _clipping(self, depth: Depth, white: float, black: float, values: str) -> str | None:
        """Where limits that were given make most of a map white or black."""
        hint = f"it has {values}, and --near and --far are in the file's own unit"
        if self.near is not None and white > MAX_WHITE:
            return f"{over(white)} of its pixels are nearer than --near {self.near:g} and white; {hint}"
        if self.far is not None and black > MAX_BLACK:
            return f"{over(black)} of its pixels are farther than --far {self.far:g} and black; {hint}"
        return None


class Distances(NamedTuple):
    """Depth that normals are computed from."""

    values: NDArray[np.float64]
    """(h, w) up to a factor, 0 where unknown."""
    doubt: str | None


@dataclass(frozen=True)
class MeasuredNormals(CameraSettings, NormalFiles):
    """Normals of surfaces with measured or rendered depth; the principal point is the center of the image."""

    suffixes: ClassVar[frozenset[str]] = DEPTH_SUFFIXES

    def read(self, path: str, part: int = 0) -> Distances:  # type: ignore[override]
        """Raises InputError for what is no distance or disparity."""
        depth = read_depth(path, self.depth_is, self.channel)
        if depth.kind in ("mist", "near-white"):
            raise InputError(
                "holds values that were scaled to a range, like those of mist passes and depth maps, from which true "
                "normals cannot be computed; if they are distances, say --depth-is distance",
                path=path,
            )
        distances = depth.values if depth.kind == "distance" else 1 / np.where(depth.known, depth.values, 1)
        doubt = depth.doubt if depth.known.any() else depth.doubt or _NO_DEPTH
        return Distances(np.where(depth.known, distances, 0.0), doubt)

    def info(self, key: str) -> ConditionInfo:
        lens = {"focal": self.focal} if self.focal is not None else {"fov": self.fov}
        settings = {"method": "from-depth", **lens, "invalid": self.invalid, "bgr": self.bgr} | given(self)
        return self.condition_info("normals of measured depth", settings, self.order)

    def detect(self, images: Sequence[Distances], keys: Sequence[str]) -> list[Detection]:  # type: ignore[override]
        return [
            self.detection(surface_normals(depth.values, self._camera(*depth.values.shape)), depth.doubt)
            for depth in images
        ]

    def _camera(self, height: int, width: int) -> Camera:
        focal = self.focal or width / 2 / math.tan(math.radians(self.fov or 0) / 2)
        return Camera(focal, focal, (width - 1) / 2, (height - 1) / 2)


def given(settings: MeasuredSettings) -> dict[str, str]:
    """How the numbers of a file are read, where that is not left to the file."""
    named = {"depth_is": settings.depth_is, "channel": settings.channel}
    return {name: word for name, word in named.items() if word is not None}


def holes(depth: Depth) -> NDArray[np.bool_]:
    """Unknown pixels (h, w) that a camera should have measured.

    Those are surrounded by known ones: narrow gaps, and regions that do not touch the border of the image. What lies
    around a rendered object is none.
    """
    import cv2

    unknown = ~(depth.known | depth.background)
    gap = max(5, min(unknown.shape) // 25 | 1)
    kernel = np.ones((gap, gap), np.uint8)
    closed = cv2.morphologyEx((~unknown).astype(np.uint8), cv2.MORPH_CLOSE, kernel, borderValue=0) > 0
    count, regions = cv2.connectedComponents(unknown.astype(np.uint8), connectivity=4)
    inside = np.ones(count, np.bool_)
    for border in (regions[0], regions[-1], regions[:, 0], regions[:, -1]):
        inside[border] = False
    return np.asarray(unknown & (closed | inside[regions]))


def _hole_warning(depth: Depth, unknown: float) -> str | None:
    if unknown <= MAX_HOLES or (missing := fraction(holes(depth))) <= MAX_HOLES:
        return None
    return f"{over(missing)} of its pixels are holes without depth, and black as if infinitely far; fill them first"


def _dark_warning(depth: Depth, made: NDArray[np.uint8]) -> str | None:
    """Where a few pixels that are much nearer than the others, and more than --clip leaves out, use up the range."""
    known = made[depth.known]
    if not known.any() or share(known < DARK) <= MAX_DARK:
        return None
    return (
        "nearly all of its pixels are nearly black, because a few are much nearer; if those are wrong, leave them out "
        "with --near or a larger --clip"
    )


def _outside(range_: Scale) -> tuple[float, float]:
    """The fractions of all pixels that are nearer than white, and known but farther than black."""
    size = range_.nearness.size
    nearer, farther = range_.nearness > range_.high, range_.nearness < range_.low
    return float(np.count_nonzero(nearer)) / size, float(np.count_nonzero(farther)) / size
