"""Rules for maps of lines, white on black: canny, hough, hed, scribble, lineart."""

import numpy as np
from numpy.typing import NDArray

from cn import conditions
from cn.detect.checks.statistics import Statistics, share
from cn.detect.checks.warning import MapWarning

KINDS = frozenset({"canny", "hough", "hed", "scribble", "lineart"})

SHARP = frozenset({"canny", "hough"})
"""Kinds without gray levels, other than those of a map that was resized."""


def check_inverted(kind: str, map: Statistics) -> MapWarning | None:
    """More white than any map of lines has (Canny's thin lines cannot fill more than half), also along the border."""
    if map.white < 0.6 or map.white_border < 0.6 or map.colored > 0.1:
        return None
    # A photograph in gray that is bright has many levels; a drawing is white with few.
    if share(map.gray >= 232) < 0.35:
        return None
    return MapWarning(
        "inverted",
        f"is mostly white, but {kind} maps are {conditions.get(kind).convention.split(' (')[0]}; "
        "invert it (cn sample: --invert)",
    )


def check_photograph(kind: str, map: Statistics) -> MapWarning | None:
    """Gray levels where a map of lines has its black ground."""
    gray = map.middle > 0.5 and map.black < 0.3 if kind in SHARP else map.middle > 0.65 and share(map.gray < 40) < 0.3
    return photograph(kind) if gray else None


def photograph(kind: str) -> MapWarning:
    """The warning for a photograph in place of a map."""
    return MapWarning(
        "photograph",
        f"looks like a photograph, not like a map of {kind}; detect the map first: cn detect {kind}, or "
        f"cn sample --detect {kind}",
    )


def are_thin_edges(map: Statistics) -> bool:
    """Whether these are white lines one or two pixels wide on black, without gray: what an edge detector writes."""
    if map.colored > 0 or map.middle > 0.001:
        return False
    gray = np.ascontiguousarray(map.crop[..., 0])
    if share((gray > 0) & (gray < 255)) > 0.001:
        return False
    white = gray == 255
    if not 0.002 < share(white) < 0.5 or min(white.shape) < 16:
        return False
    # What is left where a whole block of 3 × 3 pixels is white.
    rows = white[:-2] & white[1:-1] & white[2:]
    solid = rows[:, :-2] & rows[:, 1:-1] & rows[:, 2:]
    return share(solid) < 0.002 * share(white) and _are_chains(white)


def _are_chains(white: NDArray[np.bool_]) -> bool:
    """Whether white pixels mostly have one to three neighbors, as in lines: not so stars, and photographs dithered."""
    inner = np.pad(white, 1).astype(np.int8)
    rows = inner[:-2] + inner[1:-1] + inner[2:]
    near = (rows[:, :-2] + rows[:, 1:-1] + rows[:, 2:])[white] - 1
    return share(near == 0) <= 0.1 and share(near > 3) <= 0.4
