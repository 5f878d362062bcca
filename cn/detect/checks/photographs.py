"""`check_photograph`: whether a detector is given what it makes, instead of a photograph."""

import numpy as np
from numpy.typing import NDArray

from cn.conditions import ConditionInfo
from cn.detect.checks.lines import are_thin_edges
from cn.detect.checks.maps import guess
from cn.detect.checks.statistics import Statistics
from cn.detect.checks.warning import MapWarning


def check_photograph(image: NDArray[np.uint8], info: ConditionInfo | None = None) -> list[MapWarning]:
    """What cannot be right about an image, uint8 (h, w, 3) RGB, that a detector of photographs gets.

    `info` is what its PNG states. Drawings and logos are right: only thin lines of edge detectors, colors of a palette
    and skeletons are recognized.
    """
    if info is not None:
        return [_a_map(f"is a map of {info.kind} (its PNG says so)")]
    map = Statistics(image)
    if are_thin_edges(map):
        return [_a_map("looks like a map of edges")]
    other = guess(map)
    return [] if other is None else [_a_map(f"looks like a map of {other}")]


def _a_map(what: str) -> MapWarning:
    return MapWarning("map of a map", f"{what}, not like a photograph; use it with cn sample --cond as it is")
