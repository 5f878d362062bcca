"""Peaks of the confidence maps: the candidates for keypoints, identical to those of the published decoders.

Sources: annotator/openpose/body.py of the release, modules/keypoints.py of Daniil-Osokin's
lightweight-human-pose-estimation.pytorch.
"""

from itertools import pairwise
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from cn.detect.pose.skeleton import JOINTS
from cn.detect.pose.upsampled_maps import Fields

HEAT = 0.1
"""Confidence that a peak must exceed."""

MAX_PEAKS = 200
"""Maximum number of candidates for a joint; the highest are kept. Bounds time and memory."""

_CHUNK = 1 << 15
"""Pixels that are checked at a time: flat maps have millions of possible maxima."""

_TOLERANCE = 1e-5
"""Possible maxima are found in single precision with this relative tolerance, then checked in double precision."""


class Peaks(NamedTuple):
    """Candidates for one joint: columns and rows (n,), and the confidence there (n,)."""

    x: NDArray[np.int64]
    y: NDArray[np.int64]
    heat: NDArray[np.float64]


def find_peaks(heat: Fields, sigma: float, strict: bool, min_distance: float) -> list[Peaks]:
    """For each joint, the local maxima (4-neighborhood) above `HEAT` of the confidence smoothed by `sigma` pixels.

    `strict`: a pixel that equals a neighbor is not a peak. Of peaks closer to each other than `min_distance` pixels,
    one is kept. Peaks are ordered by rows, or by columns with a `min_distance`.
    """
    smooth = heat.smoothed(sigma) if sigma else heat
    possible = _possible_peaks(smooth)
    chunks = [[places[i : i + _CHUNK] for places in possible] for i in range(0, len(possible[0]), _CHUNK)]
    peaks = np.concatenate([_are_peaks(smooth, strict, *chunk) for chunk in chunks] or [np.zeros(0, bool)])
    joint, y, x = (places[peaks] for places in possible)
    values = heat.at(joint, y, x)
    ends = np.searchsorted(joint, np.arange(len(JOINTS) + 1))
    return [_select(Peaks(x[a:b], y[a:b], values[a:b]), min_distance) for a, b in pairwise(ends)]


def _possible_peaks(smooth: Fields) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Joints, rows and columns of possible maxima in single precision, joint by joint."""
    cross = cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3))
    # One set of buffers for all joints: allocating costs more than filling them.
    buffers = np.empty((2, smooth.height * smooth.width), np.float32)
    per_joint: list[tuple[NDArray[np.int64], ...]] = []
    for joint, (rows, columns) in enumerate(smooth.regions_above(len(JOINTS), HEAT * (1 - _TOLERANCE))):
        values = smooth.region(joint, rows, columns, out=buffers[0])
        # Rows and columns that are not neighbors in the image may be adjacent here, but their values are too low.
        neighborhood = buffers[1][: values.size].reshape(values.shape)
        if values.size:
            neighborhood = np.asarray(cv2.dilate(values, cross, dst=neighborhood), np.float32)
        np.maximum(neighborhood, np.float32(HEAT), out=neighborhood)
        np.multiply(neighborhood, np.float32(1 - _TOLERANCE), out=neighborhood)
        possible = np.flatnonzero(values >= neighborhood)
        y, x = np.divmod(possible, max(len(columns), 1))
        per_joint.append((np.full(len(possible), joint), rows[y], columns[x]))
    joints, y, x = (np.concatenate(part) for part in zip(*per_joint, strict=True))
    return joints, y, x


def _are_peaks(
    smooth: Fields, strict: bool, joint: NDArray[np.integer], y: NDArray[np.integer], x: NDArray[np.integer]
) -> NDArray[np.bool_]:
    """Which of the possible peaks (n,) are maxima, in double precision."""
    exact = _with_neighbors(smooth, joint, y, x)
    center, highest = exact[0], exact[1:].max(axis=0, initial=0.0)
    return (center >= HEAT) & (center > highest) if strict else (center > HEAT) & (center >= highest)


def _with_neighbors(
    fields: Fields, channel: NDArray[np.integer], y: NDArray[np.integer], x: NDArray[np.integer]
) -> NDArray[np.float64]:
    """(5, points): the values at pixels of the maps and at their four neighbors; 0 outside of the maps."""
    ys = np.stack([y, y - 1, y + 1, y, y])
    xs = np.stack([x, x, x, x - 1, x + 1])
    inside = (ys >= 0) & (ys < fields.height) & (xs >= 0) & (xs < fields.width)
    values = np.zeros(ys.shape)
    values[inside] = fields.at(np.broadcast_to(channel, ys.shape)[inside], ys[inside], xs[inside])
    return values


def _select(peaks: Peaks, min_distance: float) -> Peaks:
    """The highest `MAX_PEAKS` of them, without those closer to another than `min_distance`."""
    x, y, heat = peaks
    if len(heat) > MAX_PEAKS:
        kept = np.sort(np.argsort(-heat, kind="stable")[:MAX_PEAKS])
        x, y, heat = x[kept], y[kept], heat[kept]
    if min_distance:
        separate = _separate(y, x, min_distance)
        x, y, heat = x[separate], y[separate], heat[separate]
    return Peaks(x, y, heat)


def _separate(y: NDArray[np.integer], x: NDArray[np.integer], distance: float) -> list[int]:
    """The peaks that remain, by columns from the left, when each suppresses those after it within `distance`."""
    kept: list[int] = []
    for number in np.lexsort((y, x)).tolist():
        if all((x[number] - x[k]) ** 2 + (y[number] - y[k]) ** 2 >= distance**2 for k in kept):
            kept.append(number)
    return kept
