"""Whether a map lies on its image: measured from the map's edges and the image's gradients.

The score of a shift is the mean rank (0..1) that the image's gradients have, among all gradients of the image, under
the map's edges: the area under the ROC curve of "gradient tells edge". It does not depend on the image's contrast or
brightness. 0.5 is what a map of another image has; the scores of all shifts up to an eighth of the side come from one
correlation. Maps with few edges are not judged.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cn import images
from cn.detect.checks.colors import POSES
from cn.detect.checks.lines import KINDS as LINES

MAX_SIDE = 512
"""Larger pairs are reduced to this long side; pixels of shifts are those of the image itself."""
MAX_SHIFT = 32
MIN_SHIFT = 2
"""In pixels of the reduced image."""

_LEVELS = 4096
_BRIGHT = 64
"""The gray level from which a line counts."""

_SHADED = frozenset({"lineart"})
"""Kinds whose lines may be dark areas that end at an edge (method `standard`): they are brightest beside it."""

_Plane = NDArray[np.float32]

TURNS = {
    "mirrored": lambda map: map[:, ::-1],
    "upside down": lambda map: map[::-1],
    "turned by 180°": lambda map: map[::-1, ::-1],
    "turned by 90° clockwise": lambda map: np.rot90(map, 1),
    "turned by 90° counterclockwise": lambda map: np.rot90(map, -1),
}
"""What was done to a map → what undoes it."""


@dataclass(frozen=True)
class Fit:
    """How well a map lies on its image."""

    edges: float
    """The number of its edge pixels, effectively: (Σw)² / Σw² of their weights."""
    score: float
    """The best score within a pixel of no shift."""
    best: float
    """The best score of all shifts."""
    shift: tuple[int, int]
    """(x, y) of the map against the image with the best score, in pixels of the image."""
    far: int
    """The larger coordinate of that shift, in pixels of the reduced image."""
    isolation: float
    """How much the best score exceeds those of all shifts that are 3 pixels or more from it."""
    turned: str
    """What the map looks like that fits best when it is undone: a key of `TURNS`."""
    turned_score: float
    """The score without shift of the map with that undone."""


def measure(map: NDArray[np.uint8], image: NDArray[np.uint8], kind: str | None) -> Fit | None:
    """Compare a map (h, w, 3) and an image (h', w', 3), uint8, of the same frame; None without any edges."""
    height, width = _common_size(map, image)
    strength = _ranks(_gradient(images.resize(image, (height, width))))
    map, scale = images.resize(map, (height, width)), image.shape[1] / width
    fit = _fit(_edges(map, kind), strength, scale)
    outlined = _fit(_edges(map, None), strength, scale) if kind in _SHADED else None
    return max((one for one in (fit, outlined) if one is not None), key=lambda one: one.score, default=None)


def _fit(edges: _Plane, strength: _Plane, scale: float) -> Fit | None:
    """How edges (h, w) lie on the ranks of an image's gradients (h, w), reduced by `scale`; None without any edges."""
    import cv2

    height, width = edges.shape
    reach = max(MIN_SHIFT, min(MAX_SHIFT, min(height, width) // 8))
    if min(height, width) <= 2 * reach:
        return None
    inner = np.ascontiguousarray(edges[reach:-reach, reach:-reach])
    total = float(inner.sum())
    if total <= 0:
        return None
    scores = cv2.matchTemplate(strength, inner, cv2.TM_CCORR) / total
    down, across = (int(place) for place in np.unravel_index(int(scores.argmax()), scores.shape))
    best = float(scores[down, across])
    near = float(scores[reach - 1 : reach + 2, reach - 1 : reach + 2].max())
    ys, xs = np.mgrid[: scores.shape[0], : scores.shape[1]]
    around = scores[np.maximum(abs(ys - down), abs(xs - across)) >= 3]
    # Where the image's gradients are found, seen from the map, is where the map would have to go.
    shift = (round((reach - across) * scale), round((reach - down) * scale))
    turned, turned_score = _best_turn(edges, strength)
    return Fit(
        total**2 / float((inner**2).sum()),
        near,
        best,
        shift,
        max(abs(reach - across), abs(reach - down)),
        best - float(around.max()) if around.size else 0.0,
        turned,
        turned_score,
    )


def score_of_turn(map: NDArray[np.uint8], image: NDArray[np.uint8], kind: str | None) -> float:
    """The score without shift of a map that was turned already, resized to the image."""
    height, width = _common_size(image, image)
    edges = _edges(images.resize(map, (height, width)), kind)
    return _score(edges, _ranks(_gradient(images.resize(image, (height, width)))))


def _common_size(map: NDArray[np.uint8], image: NDArray[np.uint8]) -> tuple[int, int]:
    """The smaller one's (height, width), at most `MAX_SIDE`."""
    height, width = min(map.shape[:2], image.shape[:2])
    factor = min(1.0, MAX_SIDE / max(height, width))
    return max(1, round(height * factor)), max(1, round(width * factor))


def _best_turn(edges: _Plane, strength: _Plane) -> tuple[str, float]:
    scores = {}
    for name, undo in TURNS.items():
        undone = undo(edges)
        if undone.shape == strength.shape:
            scores[name] = _score(undone, strength)
    best = max(scores, key=lambda name: scores[name])
    return best, scores[best]


def _score(edges: _Plane, strength: _Plane) -> float:
    return float((edges * strength).sum() / max(float(edges.sum()), 1e-9))


def _gradient(image: NDArray[np.uint8]) -> _Plane:
    """The length of the gradient over all channels of CIELAB, at the scale of a pixel: (h, w)."""
    import cv2

    lab: NDArray[Any] = cv2.cvtColor(image.astype(np.float32) / 255, cv2.COLOR_RGB2LAB)
    lab = cv2.GaussianBlur(lab, (0, 0), 0.8)
    across, down = cv2.Sobel(lab, cv2.CV_32F, 1, 0, ksize=3), cv2.Sobel(lab, cv2.CV_32F, 0, 1, ksize=3)
    return np.sqrt((across * across + down * down).sum(axis=2)).astype(np.float32)


def _ranks(values: _Plane) -> _Plane:
    """The share of all values that are smaller, ties halved, of each: by a histogram over their roots."""
    root = np.sqrt(values)
    steps = (root * ((_LEVELS - 1) / max(float(root.max()), 1e-6))).astype(np.int32)
    counts = np.bincount(steps.ravel(), minlength=_LEVELS)
    return ((counts.cumsum() - counts / 2) / values.size).astype(np.float32)[steps]


def _edges(map: NDArray[np.uint8], kind: str | None) -> _Plane:
    """The weight (h, w) of each pixel of a map as an edge: lines themselves, else strong gradients."""
    if kind in LINES:
        gray = map.max(axis=2).astype(np.float32)
        return np.where(gray >= _BRIGHT, gray, np.float32(0))
    steep = _gradient(map)
    least = max(float(np.quantile(steep, 0.9)), 0.15 * float(steep.max()), 1e-6)
    return np.where(steep >= least, np.minimum(steep, np.float32(3 * least)), np.float32(0))


@dataclass(frozen=True)
class Misfit:
    """What is wrong with how a map lies: the rule and its message."""

    rule: str
    text: str
    shift: tuple[int, int] | None = None


_UNMEASURED = POSES | {"scribble", None}
"""People draw scribbles beside the edges, skeletons lie inside of bodies, and unknown maps need not have edges."""
_SOFT = frozenset({"hed", "lineart"})
_DETECTED = _SOFT | {"canny"}
"""Kinds whose lines are the image's own edges."""

_MIN_SIDE = 96
"""Pixels of the short side below which a map has too few edges to be told from that of another image."""
_MIN_EDGES = 64
_MARGIN = {"lines": 0.004, "other": 0.01}
"""How much better the best shift must be than none. Edges of networks' depth lie beside those of the image."""
_MARGIN_PER_PIXEL = {"lines": 0.001, "other": 0.004}
"""The same, for each pixel of the shift: what repeats in an image fits far away by chance."""
_UNLIKE = 0.65
"""The best score of a map of soft edges below which it belongs to another image; right ones have 0.8."""
_CLEAR = 0.02
"""The isolation of a peak at no shift that shows the map to be of its image, as dense as its lines may be."""
_SHARP = 0.004
"""The isolation of a peak that gives a shift in pixels."""
TURN_MARGIN = 0.02
"""How much better a map must fit once it is turned."""
GOOD = 0.7
"""The score of a turned map from which it is said to fit."""


def misfit(fit: Fit, kind: str | None, side: int) -> Misfit | None:
    """Judge a fit of a pair whose short side is `side`; None where it may be right, or the map has few edges."""
    if side < _MIN_SIDE or kind in _UNMEASURED or fit.edges < max(_MIN_EDGES, 0.5 * min(side, MAX_SIDE)):
        return None
    if fit.turned_score >= GOOD and fit.turned_score - fit.best >= TURN_MARGIN:
        return _turned(fit.turned)
    clear = fit.far < MIN_SHIFT and fit.isolation >= _CLEAR
    if kind in _SOFT and fit.best < _UNLIKE and not clear:
        return Misfit("misregistered", _OF_ANOTHER)
    group = "lines" if kind in LINES else "other"
    if fit.far < MIN_SHIFT or fit.best - fit.score < max(_MARGIN[group], _MARGIN_PER_PIXEL[group] * fit.far):
        return None
    if fit.isolation >= _SHARP and fit.best >= GOOD - 0.1 * (group == "lines"):
        text = f"is shifted by {_direction(*fit.shift)} against its image; detect the map again from this image"
        return Misfit("misregistered", text, fit.shift)
    return Misfit("misregistered", _OF_ANOTHER) if kind in _DETECTED else None


_OF_ANOTHER = (
    "its edges are not where the image has edges: it is the map of another image, or of another crop; detect the map "
    "again from this image"
)


def _turned(how: str) -> Misfit:
    if how == "mirrored":
        return Misfit("mirrored", "fits its image only when it is mirrored left to right; mirror the map back")
    return Misfit("turned", f"is {how} against its image; turn the map back")


def _direction(x: int, y: int) -> str:
    """ "3 pixels to the right and 2 down"."""
    parts = [f"{abs(x)} to the {'right' if x > 0 else 'left'}"] if x else []
    parts += [f"{abs(y)} {'down' if y > 0 else 'up'}"] if y else []
    first, *rest = parts
    number, words = first.split(" ", 1)
    unit = "pixel" if number == "1" else "pixels"
    return " and ".join([f"{number} {unit} {words}", *rest])
