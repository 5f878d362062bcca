"""`check_photograph`: whether a detector is given what it makes, instead of a photograph."""

from collections.abc import Mapping
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from cn.conditions import ConditionInfo
from cn.detect.checks.colors import LABELS, exact_share
from cn.detect.checks.lines import are_thin_edges
from cn.detect.checks.maps import guess
from cn.detect.checks.statistics import Statistics
from cn.detect.checks.warning import MapWarning
from cn.errors import InputError

COARSE = 64
"""The side of a sample that is enough to recognize most photographs."""


def check_photograph(image: NDArray[np.uint8], text: Mapping[str, str] = MappingProxyType({})) -> list[MapWarning]:
    """What cannot be right about an image, uint8 (h, w, 3) RGB, that a detector of photographs gets.

    `text` are the text chunks of its PNG. Drawings and logos are right: only thin lines of edge detectors, colors of a
    palette and skeletons are recognized.
    """
    try:
        info = ConditionInfo.from_text(text)
    except InputError:
        # What is damaged matters only where it is used.
        info = None
    if info is not None:
        return [_a_map(f"is a map of {info.kind} already, as its PNG says")]
    if _is_plainly_a_photograph(Statistics(image, COARSE)):
        return []
    map = Statistics(image)
    if are_thin_edges(map):
        return [_a_map("looks like a map of edges already")]
    other = guess(map)
    return [] if other is None else [_a_map(f"looks like a map of {other} already")]


def _is_plainly_a_photograph(coarse: Statistics) -> bool:
    """Whether a few thousand pixels show already that this is no map, as for nearly all images."""
    if coarse.colored == 0 and coarse.middle < 0.02:
        return False
    if coarse.black > 0.6 or coarse.unit_length > 0.9:
        return False
    return all(exact_share(kind, coarse) < 0.9 for kind in LABELS)


def _a_map(what: str) -> MapWarning:
    return MapWarning("map of a map", f"{what}, but a photograph is expected; give the map itself to cn sample --cond")
