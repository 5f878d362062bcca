"""The exact boundaries of a view, from its labels, and the contrast of its image.

A boundary lies between two neighboring pixels, so that its strength is known at (h, w - 1) places between columns and
at (h - 1, w) between rows.
"""

import weakref
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import cv2
import numpy as np
from numpy.typing import NDArray

from cn.detect.lines.canny import steepest_gradients

if TYPE_CHECKING:
    from cn.scenes.render import View

Floats = NDArray[np.float32]

JUMP = (0.02, 0.08)
"""A step of inverse depth, as a share of the larger one: from here it begins to be an occlusion, and is one."""

BEND = (0.06, 0.5)
"""1 - cosine of the angle between two normals: from here it begins to be a crease (20°), and is a clear one (60°)."""

CONTRAST_SIGMA = 0.8
"""Standard deviation, in pixels, of the blur before the contrast of the image is measured."""

FULL_CONTRAST = 60.0
"""The step of one channel, of 0..255, whose contrast counts as 0.5."""

TEXTURE_SIDE = 31
"""The side, in pixels, of the surroundings whose mean contrast marks texture."""


@dataclass(frozen=True)
class Boundaries:
    """Strengths of 0..1. Steps and bends are measured beyond what the neighbors on one side have, so that surfaces that
    are steep or curved all over have no boundaries of their own."""

    between_columns: tuple[Floats, Floats]
    """Occlusions and creases (h, w - 1)."""
    between_rows: tuple[Floats, Floats]
    """Occlusions and creases (h - 1, w)."""
    rgb: NDArray[np.uint8]

    @cached_property
    def occlusions(self) -> Floats:
        """Where one thing ends and another begins, (h, w): two pixels wide, one on either side."""
        return _on_pixels(self.between_columns[0], self.between_rows[0])

    @cached_property
    def creases(self) -> Floats:
        """Where the surface of a thing bends, (h, w): two pixels wide."""
        return _on_pixels(self.between_columns[1], self.between_rows[1])

    @cached_property
    def contrast(self) -> Floats:
        """How much the color of the image changes, (h, w)."""
        smooth = cv2.GaussianBlur(self.rgb, (0, 0), CONTRAST_SIGMA)
        dx, dy = steepest_gradients(np.asarray(smooth, np.uint8))
        # A step of s levels has a Sobel response of 4s, of which the blur leaves about half.
        step = cv2.magnitude(dx.astype(np.float32), dy.astype(np.float32)) / 2
        return np.asarray(step / (step + FULL_CONTRAST), np.float32)

    @cached_property
    def details(self) -> Floats:
        """The contrast without texture, (h, w): relative to that of the surroundings."""
        around = cv2.blur(self.contrast, (TEXTURE_SIDE, TEXTURE_SIDE))
        return np.asarray(
            np.maximum(self.contrast - around, 0) * self.contrast / (0.6 * (self.contrast + around) + 0.06)
        )

    def doubled(self, creases: float = 1.0) -> Floats:
        """Occlusions and `creases` times the creases at twice the size (2h, 2w), two of its pixels wide."""
        (columns, bent_columns), (rows, bent_rows) = self.between_columns, self.between_rows
        height, width = self.rgb.shape[:2]
        canvas = np.zeros((2 * height, 2 * width), np.float32)
        for strength, top, left in (
            (np.maximum(columns, creases * bent_columns), 0, 1),
            (np.maximum(rows, creases * bent_rows), 1, 0),
        ):
            for y in (top, top + 1):
                for x in (left, left + 1):
                    part = canvas[y : y + 2 * strength.shape[0] : 2, x : x + 2 * strength.shape[1] : 2]
                    np.maximum(part, strength, out=part)
        return canvas


def boundaries_of(view: "View") -> Boundaries:
    """The boundaries of a view. Those of the last view are kept, because several maps need them."""
    global _last
    known, found = _last
    if known() is view and found is not None:
        return found
    made = _find(view)
    _last = (weakref.ref(view), made)
    return made


_last: tuple["weakref.ref[View]", Boundaries | None] = (lambda: None, None)  # type: ignore[assignment]


def _find(view: "View") -> Boundaries:
    near = np.zeros(view.depth.shape, np.float32)
    np.divide(1, view.depth, out=near, where=np.isfinite(view.depth) & (view.depth > 0))
    sides = []
    for turned in (False, True):
        axes = (1, 0) if turned else (0, 1)
        inverse, classes = near.transpose(axes), view.classes.transpose(axes)
        planes = [np.ascontiguousarray(view.normals[..., axis].transpose(axes)) for axis in range(3)]
        pair = _occlusions(np.ascontiguousarray(inverse), np.ascontiguousarray(classes)), _creases(planes)
        sides.append((pair[0].transpose(axes), pair[1].transpose(axes)))
    return Boundaries(sides[0], sides[1], view.rgb)


def _occlusions(near: Floats, classes: NDArray[np.uint8]) -> Floats:
    """Between columns: steps of inverse depth, which is linear on planes, and other classes."""
    step = np.abs(np.diff(near, axis=1))
    larger = np.maximum(near[:, 1:], near[:, :-1])
    relative = np.asarray(_beyond_neighbors(step) / np.maximum(larger, 1e-6), np.float32)
    other = classes[:, 1:] != classes[:, :-1]
    return np.where(other, np.float32(1), _ramp(relative, JUMP))


def _creases(normals: list[Floats]) -> Floats:
    """Between columns: bends of the normals, x, y and z of (h, w) each, but where the sky begins, which has none."""
    x, y, z = normals
    cosine = x[:, 1:] * x[:, :-1] + y[:, 1:] * y[:, :-1] + z[:, 1:] * z[:, :-1]
    known = (x != 0) | (y != 0) | (z != 0)
    bend = np.asarray((1 - cosine) * (known[:, 1:] & known[:, :-1]), np.float32)
    return _ramp(_beyond_neighbors(bend), BEND)


def _beyond_neighbors(steps: Floats) -> Floats:
    """Steps (h, n) less the smaller of their neighbors in the row."""
    padded = np.pad(steps, ((0, 0), (1, 1)), mode="edge")
    return np.maximum(steps - np.minimum(padded[:, 2:], padded[:, :-2]), 0)


def _ramp(values: Floats, limits: tuple[float, float]) -> Floats:
    """0 up to the first limit, 1 from the second on."""
    low, high = limits
    return np.asarray(((values - low) / (high - low)).clip(0, 1), np.float32)


def _on_pixels(columns: Floats, rows: Floats) -> Floats:
    """Strengths between pixels on both pixels of each pair."""
    made = np.zeros((columns.shape[0], rows.shape[1]), np.float32)
    for part, strength in (
        (made[:, 1:], columns),
        (made[:, :-1], columns),
        (made[1:], rows),
        (made[:-1], rows),
    ):
        np.maximum(part, strength, out=part)
    return made
