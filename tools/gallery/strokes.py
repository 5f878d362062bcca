"""Drawings by a hand that trembles: polylines in units of the sheet, x to the right and y down, both 0 to 1."""

import zlib

import cv2
import numpy as np
from numpy.typing import NDArray

Point = tuple[float, float]
Stroke = tuple[Point, ...]


def _ellipse(x: float, y: float, rx: float, ry: float, turn: float = 1.06) -> Stroke:
    """Points around an ellipse; a hand goes on a little after the circle is closed (`turn` above 1)."""
    angles = np.linspace(-0.5 * np.pi, (2 * turn - 0.5) * np.pi, 28)
    return tuple((float(x + rx * np.cos(a)), float(y + ry * np.sin(a))) for a in angles)


HOUSE: tuple[Stroke, ...] = (
    ((0.16, 0.50), (0.16, 0.82), (0.57, 0.82), (0.57, 0.49)),
    ((0.11, 0.52), (0.36, 0.25), (0.63, 0.52), (0.12, 0.51)),
    ((0.31, 0.82), (0.31, 0.63), (0.42, 0.63), (0.42, 0.82)),
    ((0.20, 0.58), (0.28, 0.58), (0.28, 0.67), (0.20, 0.67), (0.20, 0.57)),
    ((0.46, 0.58), (0.53, 0.58), (0.53, 0.67), (0.46, 0.67), (0.46, 0.57)),
)
TREE: tuple[Stroke, ...] = (
    ((0.785, 0.83), (0.79, 0.62)),
    ((0.83, 0.83), (0.825, 0.62)),
    _ellipse(0.805, 0.48, 0.13, 0.16),
)
CAR: tuple[Stroke, ...] = (
    ((0.12, 0.66), (0.13, 0.54), (0.30, 0.51), (0.40, 0.38), (0.66, 0.38), (0.75, 0.52), (0.89, 0.55), (0.90, 0.67)),
    ((0.11, 0.67), (0.22, 0.67)),
    ((0.37, 0.67), (0.65, 0.67)),
    ((0.80, 0.67), (0.91, 0.67)),
    _ellipse(0.295, 0.68, 0.075, 0.08),
    _ellipse(0.725, 0.68, 0.075, 0.08),
    ((0.35, 0.51), (0.42, 0.42), (0.52, 0.42), (0.52, 0.51), (0.34, 0.51)),
    ((0.56, 0.51), (0.56, 0.42), (0.64, 0.42), (0.69, 0.51), (0.55, 0.51)),
)
PERSON: tuple[Stroke, ...] = (
    _ellipse(0.50, 0.20, 0.065, 0.08),
    ((0.49, 0.28), (0.42, 0.31), (0.40, 0.36), (0.42, 0.58), (0.58, 0.58), (0.60, 0.36), (0.58, 0.31), (0.51, 0.28)),
    ((0.41, 0.33), (0.30, 0.45), (0.24, 0.38)),
    ((0.59, 0.33), (0.68, 0.46), (0.70, 0.57)),
    ((0.44, 0.58), (0.43, 0.86), (0.38, 0.87)),
    ((0.50, 0.59), (0.50, 0.84)),
    ((0.56, 0.58), (0.57, 0.86), (0.63, 0.87)),
)
DRAWINGS = {"house": (*HOUSE, *TREE), "car": CAR, "person": PERSON, "tree": TREE}


def drawing(lines: tuple[Stroke, ...], side: int) -> NDArray[np.uint8]:
    """The lines as pencil strokes on paper, dark on white, uint8 (side, side, 3); the same lines, the same drawing."""
    rng = np.random.default_rng(zlib.crc32(repr(lines).encode()))
    paper = np.full((side, side, 3), 255, np.uint8)
    for line in lines:
        points = _shaken(np.array(line), rng) * side
        ink, width = int(rng.integers(10, 60)), max(2, round(side / 85 * rng.uniform(0.8, 1.3)))
        # Fractions of a pixel, as OpenCV takes them: eight bits after the point.
        fixed = np.round(points * 256).astype(np.int32)[:, None]
        cv2.polylines(paper, [fixed], False, (ink, ink, ink), width, cv2.LINE_AA, shift=8)
    return paper


def _shaken(corners: NDArray[np.float64], rng: np.random.Generator) -> NDArray[np.float64]:
    """Points along the line through the corners, off it by a slow drift and a fast tremble."""
    lengths = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(corners, axis=0), axis=1))])
    corners = corners + rng.normal(0, 0.006, corners.shape)
    along = np.linspace(0, lengths[-1], max(8, int(lengths[-1] * 120)))
    points = np.column_stack([np.interp(along, lengths, corners[:, axis]) for axis in (0, 1)])
    return points + _noise(len(along), 24, 0.012, rng) + _noise(len(along), 5, 0.004, rng)


def _noise(count: int, length: int, size: float, rng: np.random.Generator) -> NDArray[np.float64]:
    """Smooth random offsets (count, 2) that change every `length` points; their standard deviation is about `size`."""
    knots = count // length + 3
    at = np.arange(count) / length
    return np.column_stack([np.interp(at, np.arange(knots), rng.normal(0, size, knots)) for _ in range(2)])
