"""Solids with a color and a class, and the builder that places them in the coordinates of the current thing."""

from dataclasses import dataclass

import numpy as np

from cn.scenes.classes import CLASSES, COCO
from cn.scenes.colors import LINEAR
from cn.scenes.geometry import Array, Vec, frame_along, turn
from cn.scenes.primitives import BOX, FRUSTUM, ROUND_CONE, SPHERE

Point = Array | Vec
PartColors = dict[str, str]
"""Part of a thing → its color name."""

PLAIN, BANDS, SNOWCAP, PLANKS, FADE = range(5)
BRICKS, GORES, RINGS, PATCHES = range(5, 9)
"""Surface patterns; `shading` draws them. Their sizes are those of the unit solids: not for capsules."""
CLOTH_STRIPES, CLOTH_DOTS, CLOTH_CHECKS = range(100, 103)
"""Patterns of cloth, in meters on capsules and ellipsoids."""
UNIT_CLOTH = 10
"""Added to a pattern of cloth on a frustum, whose object space is not in meters."""


@dataclass(frozen=True, slots=True)
class Solid:
    """A primitive under an affine map, with everything that shading and labels need."""

    kind: int
    size: tuple[float, float, float]
    matrix: Array
    """Object space → world, (3, 4)."""
    color: Array
    """Linear RGB (3,)."""
    class_id: int
    """ADE20K id, 1 to 150."""
    coco_id: int
    """COCO-Stuff index, 0 to 170, or `classes.NONE`."""
    glow: float
    """0: lit by the light only; 1: emits its own color."""
    pattern: int
    owner: int
    """Index of the scene's item that it belongs to, for the visibility of keypoints; -1 for none."""
    shadow: bool


class Builder:
    """Collects solids. Positions and sizes are in the current thing's coordinates (meters before its scale)."""

    def __init__(self) -> None:
        self.solids: list[Solid] = []
        self.place((0.0, 0.0, 0.0))

    def place(self, position: Vec, heading: float = 0.0, scale: float = 1.0, owner: int = -1) -> None:
        """Start a thing at `position`, turned by `heading` (radians) and `scale` times as large."""
        self.basis = turn(heading) * scale
        self.position = np.asarray(position, np.float64)
        self.owner = owner
        self.shadow = True

    def world(self, points: Point) -> Array:
        """The thing's coordinates (..., 3) → world."""
        return np.asarray(points, np.float64) @ self.basis.T + self.position

    def _add(
        self, kind: int, size: Vec, columns: Array, center: Point, color: str, label: str, glow: float, pattern: int
    ) -> None:
        """Put one solid into the world."""
        matrix = np.empty((3, 4))
        matrix[:, :3] = self.basis @ columns
        matrix[:, 3] = self.world(center)
        classes = CLASSES[label], COCO[label]
        self.solids.append(Solid(kind, size, matrix, LINEAR[color], *classes, glow, pattern, self.owner, self.shadow))

    def ellipsoid(
        self,
        center: Point,
        radii: float | Vec,
        color: str,
        label: str,
        *,
        rotation: Array | None = None,
        glow: float = 0.0,
        pattern: int = PLAIN,
    ) -> None:
        """A sphere or ellipsoid."""
        spread = np.diag(np.broadcast_to(np.asarray(radii, np.float64), 3))
        columns = spread if rotation is None else rotation @ spread
        self._add(SPHERE, (0.0, 0.0, 0.0), columns, center, color, label, glow, pattern)

    def box(
        self,
        center: Point,
        half: Vec,
        color: str,
        label: str,
        *,
        rotation: Array | None = None,
        columns: Array | None = None,
        glow: float = 0.0,
        pattern: int = PLAIN,
    ) -> None:
        """A box of half extents `half`; `columns` (3, 3) gives the half axes directly, for slanted boxes."""
        if columns is None:
            columns = np.diag(half) if rotation is None else rotation @ np.diag(half)
        self._add(BOX, (0.0, 0.0, 0.0), columns, center, color, label, glow, pattern)

    def frustum(
        self,
        foot: Point,
        top: Point,
        r0: float,
        r1: float,
        color: str,
        label: str,
        *,
        flat: float = 1.0,
        facing: Vec = (0.0, 0.0, 1.0),
        glow: float = 0.0,
        pattern: int = PLAIN,
    ) -> None:
        """A cylinder or frustum from `foot` (radius `r0` > 0) to `top` (`r1`), `flat` times as deep."""
        a, b = np.asarray(foot, np.float64), np.asarray(top, np.float64)
        length = float(np.linalg.norm(b - a))
        columns = frame_along(b - a, facing) @ np.diag([r0, length / 2, r0 * flat])
        self._add(FRUSTUM, (r1 / r0, 0.0, 0.0), columns, (a + b) / 2, color, label, glow, pattern)

    def capsule(
        self,
        start: Point,
        end: Point,
        r0: float,
        r1: float,
        color: str,
        label: str,
        *,
        flat: float = 1.0,
        facing: Vec = (0.0, 0.0, 1.0),
        glow: float = 0.0,
        pattern: int = PLAIN,
    ) -> None:
        """A rounded bar between two points; `flat` squeezes it along `facing`."""
        a, b = np.asarray(start, np.float64), np.asarray(end, np.float64)
        length = max(float(np.linalg.norm(b - a)), abs(r0 - r1) * 1.02 + 1e-4)
        columns = frame_along(b - a, facing) @ np.diag([1.0, 1.0, flat])
        self._add(ROUND_CONE, (length, r0, r1), columns, a, color, label, glow, pattern)
