"""Normal maps that renderers and games write, in the colors that normal ControlNets expect.

A map holds a unit vector per pixel as (n + 1) / 2, in 8 or 16 bits or as floating point, or as it is. What the colors
of a sphere show, seen from the front:

| convention | red is full | green is full | blue is full |
|---|---|---|---|
| `opengl` (Blender, Unity, Maya, most exporters) | right | top | center |
| `directx` (Unreal, 3ds Max, many games) | right | bottom | center |
| `camera` (as `cn` itself and ControlNet's annotators write) | left | top | center |
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray

from cn import errors
from cn.conditions import ConditionInfo
from cn.detect.detector import Detection
from cn.detect.surfaces.normal_files import NormalFiles
from cn.detect.surfaces.settings import NORMAL_MAP_SUFFIXES, ChannelSettings, NormalsAre
from cn.detect.surfaces.shares import over, share
from cn.errors import InputError
from cn.images import pixel_values

SIGNS: dict[NormalsAre, tuple[float, float, float]] = {
    "opengl": (1.0, 1.0, 1.0),
    "directx": (1.0, -1.0, 1.0),
    "camera": (-1.0, 1.0, 1.0),
}
"""From a map's vectors to camera space: right (x), up (y), towards the viewer (z)."""

TOLERANCE = 0.15
"""Lengths that differ from 1 by less may come from rounding and smooth edges."""
SUSPICIOUS, MAX_WRONG = 0.1, 0.5
"""Above these fractions of vectors of another length, there is a warning, or the file is refused."""
MAX_AWAY = 0.2
"""Above this fraction of vectors that point away from the viewer, there is a warning: visible surfaces face it."""


class Normals(NamedTuple):
    """What a file holds."""

    vectors: NDArray[np.float64]
    """(h, w, 3) in camera space, of length 1, or 0 where unknown."""
    doubt: str | None


@dataclass(frozen=True)
class NormalMaps(ChannelSettings, NormalFiles):
    """Normal maps from files, with the axes of `convention`."""

    suffixes: ClassVar[frozenset[str]] = NORMAL_MAP_SUFFIXES
    convention: NormalsAre = field(kw_only=True)

    def read(self, path: str, part: int = 0) -> Normals:  # type: ignore[override]
        return read_normals(path, self.convention, self.channel)

    def info(self, key: str) -> ConditionInfo:
        settings = {"method": "from-normals", "axes": self.convention, "invalid": self.invalid, "bgr": self.bgr}
        settings |= {} if self.channel is None else {"channel": self.channel}
        return self.condition_info("normal maps", settings, self.order)

    def detect(self, images: Sequence[Normals], keys: Sequence[str]) -> list[Detection]:  # type: ignore[override]
        return [self.detection(normals.vectors, normals.doubt, rounded=True) for normals in images]


def read_normals(path: str, convention: NormalsAre, channel: str | None = None) -> Normals:
    """The normals of an image or array (`pixel_values.read_vectors`), and what looks wrong with them.

    Unknown are pixels that are transparent, black, white or gray (a vector of length 0), or not finite. Raises
    InputError, with the path, for gray images and where most of the vectors are not of length 1.
    """
    stored = pixel_values.read_vectors(path, channel)
    with errors.about(path):
        vectors, known = _decoded(stored[..., :3])
        _check_packed(vectors[known])
        if stored.shape[2] == 4:
            known &= stored[..., 3].astype(np.float64) > _white(stored.dtype) / 2
        if known.any() and share(np.ptp(vectors, axis=-1)[known] < 1e-3) > 0.99:
            raise InputError("is gray, so it holds no normals; of depth, make them with --from-depth --focal PIXELS")
        length = np.linalg.norm(vectors, axis=-1)
        known &= length > TOLERANCE
        wrong = share(np.abs(length[known] - 1) > TOLERANCE)
        if wrong > MAX_WRONG:
            raise InputError(f"{wrong:.0%} of its vectors are not of length 1, so it is no normal map")
    unit = np.divide(vectors, length[..., None], out=np.zeros_like(vectors), where=known[..., None])
    return Normals(unit * SIGNS[convention], _doubt(wrong, share(unit[..., 2][known] < -0.1)))


def _check_packed(vectors: NDArray[np.float64]) -> None:
    """InputError for maps (n, 3) that leave out a component, of two channels (BC5, DXT5nm) for games' own formats."""
    if not vectors.size:
        return
    empty = [bool((np.abs(np.abs(component) - 1) < 1e-2).all() and not np.ptp(component)) for component in vectors.T]
    # Of a flat map, blue is full, too, but then the others are 0.
    lengths = np.abs(np.linalg.norm(vectors, axis=-1) - 1)
    if not any(empty) or share(lengths > TOLERANCE) <= SUSPICIOUS:
        return
    color = ("red", "green", "blue")[empty.index(True)]
    raise InputError(
        f"its {color} channel is the same everywhere: it may be packed for a game engine, with x and y in other "
        "channels; export all three components"
    )


def _doubt(wrong: float, away: float) -> str | None:
    if away > MAX_AWAY:
        return (
            f"{over(away)} of its normals point away from the viewer: these may be normals of world "
            "space, or z may point into the scene; write them in camera space, with z towards the viewer"
        )
    if wrong > SUSPICIOUS:
        return f"{over(wrong)} of its vectors are not of length 1; was the map resized or edited?"
    return None


def _decoded(stored: NDArray[np.generic]) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Vectors (h, w, 3) of numbers as stored, and where they may be vectors."""
    values = stored.astype(np.float64)
    if stored.dtype in (np.uint8, np.uint16):
        full = _white(stored.dtype)
        blank = (values == 0).all(axis=-1) | (values == full).all(axis=-1)
        return values * (2 / full) - 1, ~blank
    if stored.dtype.kind != "f":
        raise InputError(f"holds {stored.dtype}; normals are 8 or 16 bits without sign, or floating point")
    known = np.isfinite(values).all(axis=-1) & (values != 0).any(axis=-1) & (values != 1).any(axis=-1)
    values[~known] = 0
    scaled = values * 2 - 1
    scaled[~known] = 0
    # Stored as they are, or as (n + 1) / 2: the reading of which more are unit vectors.
    return (values, known) if _unit(values, known) >= _unit(scaled, known) else (scaled, known)


def _white(dtype: "np.dtype[Any]") -> float:
    return {"uint8": 255.0, "uint16": 65535.0}.get(dtype.name, 1.0)


def _unit(vectors: NDArray[np.float64], known: NDArray[np.bool_]) -> float:
    return share(np.abs(np.linalg.norm(vectors[known], axis=-1) - 1) < TOLERANCE)
