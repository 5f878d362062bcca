"""Peaks of the maps of key points: the candidates that people are made of, to the pixel and the last bit.

Sources: annotator/openpose/body.py of the release, modules/keypoints.py of Daniil-Osokin's
lightweight-human-pose-estimation.pytorch.
"""

from itertools import pairwise
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from cn.detect.pose.enlarged_maps import Fields
from cn.detect.pose.skeleton import JOINTS

HEAT = 0.1
"""What a peak must exceed."""

MOST_PEAKS = 200
"""Of a joint's candidates, more than anybody's crowd has: the highest are kept. Bounds time and memory for noise."""

_AT_ONCE = 1 << 15
"""Places that are looked at together: where maps are flat, there are millions."""

_SLACK = 1e-5
"""Single precision finds where maxima may be; which of them are is decided in double precision."""


class Peaks(NamedTuple):
    """Candidates for one joint: columns and rows (n,), and the heat there (n,)."""

    x: NDArray[np.int64]
    y: NDArray[np.int64]
    heat: NDArray[np.float64]


def find_peaks(heat: Fields, sigma: float, strict: bool, apart: float) -> list[Peaks]:
    """For each joint, where the heat, smoothed by `sigma` pixels, exceeds `HEAT` and its four neighbors.

    `strict`: a peak that only equals a neighbor is none. Of peaks nearer to each other than `apart` pixels, one stays.
    Row by row, or by columns where peaks are kept apart.
    """
    smooth = heat.smoothed(sigma) if sigma else heat
    near = _near_peaks(smooth)
    parts = [[places[i : i + _AT_ONCE] for places in near] for i in range(0, len(near[0]), _AT_ONCE)]
    good = np.concatenate([_are_peaks(smooth, strict, *part) for part in parts] or [np.zeros(0, bool)])
    joint, y, x = (places[good] for places in near)
    values = heat.at(joint, y, x)
    ends = np.searchsorted(joint, np.arange(len(JOINTS) + 1))
    return [_limited(Peaks(x[a:b], y[a:b], values[a:b]), apart) for a, b in pairwise(ends)]


def _near_peaks(smooth: Fields) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Joints, rows and columns where maxima may be, as far as single precision tells; joint after joint."""
    cross = cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3))
    # One set of arrays for all joints: asking for new ones costs more than filling them.
    rooms = np.empty((2, smooth.height * smooth.width), np.float32)
    found: list[tuple[NDArray[np.int64], ...]] = []
    for joint, (rows, columns) in enumerate(smooth.above(len(JOINTS), HEAT * (1 - _SLACK))):
        values = smooth.part(joint, rows, columns, rooms[0])
        # Rows and columns that are no neighbors may meet here, but only such as are too low themselves.
        around = rooms[1][: values.size].reshape(values.shape)
        if values.size:
            around = np.asarray(cv2.dilate(values, cross, dst=around), np.float32)
        np.maximum(around, np.float32(HEAT), out=around)
        np.multiply(around, np.float32(1 - _SLACK), out=around)
        near = np.flatnonzero(values >= around)
        y, x = np.divmod(near, max(len(columns), 1))
        found.append((np.full(len(near), joint), rows[y], columns[x]))
    joints, y, x = (np.concatenate(part) for part in zip(*found, strict=True))
    return joints, y, x


def _are_peaks(
    smooth: Fields, strict: bool, joint: NDArray[np.integer], y: NDArray[np.integer], x: NDArray[np.integer]
) -> NDArray[np.bool_]:
    """Which of some places (n,) are maxima indeed."""
    exact = _with_neighbors(smooth, joint, y, x)
    center, highest = exact[0], exact[1:].max(axis=0, initial=0.0)
    return (center >= HEAT) & (center > highest) if strict else (center > HEAT) & (center >= highest)


def _with_neighbors(
    fields: Fields, channel: NDArray[np.integer], y: NDArray[np.integer], x: NDArray[np.integer]
) -> NDArray[np.float64]:
    """(5, points): the values at some pixels of maps and at their four neighbors; outside is 0."""
    ys = np.stack([y, y - 1, y + 1, y, y])
    xs = np.stack([x, x, x, x - 1, x + 1])
    inside = (ys >= 0) & (ys < fields.height) & (xs >= 0) & (xs < fields.width)
    values = np.zeros(ys.shape)
    values[inside] = fields.at(np.broadcast_to(channel, ys.shape)[inside], ys[inside], xs[inside])
    return values


def _limited(peaks: Peaks, apart: float) -> Peaks:
    """At most `MOST_PEAKS` of them, none nearer to another than `apart`."""
    x, y, heat = peaks
    if len(heat) > MOST_PEAKS:
        kept = np.sort(np.argsort(-heat, kind="stable")[:MOST_PEAKS])
        x, y, heat = x[kept], y[kept], heat[kept]
    if apart:
        lasting = _apart(y, x, apart)
        x, y, heat = x[lasting], y[lasting], heat[lasting]
    return Peaks(x, y, heat)


def _apart(y: NDArray[np.integer], x: NDArray[np.integer], distance: float) -> list[int]:
    """The peaks that stay, by columns from the left: each takes away those after it that are too near."""
    kept: list[int] = []
    for number in np.lexsort((y, x)).tolist():
        if all((x[number] - x[k]) ** 2 + (y[number] - y[k]) ** 2 >= distance**2 for k in kept):
            kept.append(number)
    return kept
