"""`check_map`: what is wrong with a condition map."""

import numpy as np
from numpy.typing import NDArray

from cn.conditions import ConditionInfo
from cn.detect.checks import colors, lines, surfaces
from cn.detect.checks.facts import MapFacts
from cn.detect.checks.statistics import Statistics
from cn.detect.checks.warning import MapWarning

DARK = 32
"""The maximum of 8 bits up to which a map shows nothing: 12-bit values in 16 bits reach 16, class numbers 150."""

_WANTED = {"inverted": "invert", "reversed channels": "bgr"}
"""Rule → the parameter of a detector with which such a map is what was asked for."""


def check_map(
    image: NDArray[np.uint8], kind: str | None, info: ConditionInfo | None = None, facts: MapFacts | None = None
) -> list[MapWarning]:
    """What cannot be right about a map, uint8 (h, w, 3) RGB or (h, w), for a control or a training that expects `kind`.

    `info` is what its PNG states (`ConditionInfo.from_text`), `facts` what its file is (`file_facts`). Without a kind
    only what holds for each kind is said. At most one warning for each map: the most general one. Names of kinds are
    canonical ("openpose", not "pose"); unknown ones count as None.
    """
    facts = facts or MapFacts()
    map = Statistics(image)
    found = _check_blank(kind, map, facts) or _check_dark(kind, map, facts)
    if found is None and kind is not None and info is not None and info.kind != kind:
        found = MapWarning("other kind", f"states that it is a map of {info.kind}, not of {kind}")
    if found is None and kind is not None:
        # Also what cn wrote: programs that invert or convert an image may keep its text.
        found = _check_kind(kind, map, facts)
        if found is not None and info is not None and info.params.get(_WANTED.get(found.rule, "")):
            return []
    return [] if found is None else [found]


def _check_blank(kind: str | None, map: Statistics, facts: MapFacts) -> MapWarning | None:
    color = map.color
    if color is None or (kind in colors.LABELS and any(color)):
        # A map of one class is right.
        return None
    if not any(color) and facts.bits == 16:
        # Values below 128 of 65535: also those of an 8-bit map that was stored in 16 bits without scaling.
        return MapWarning(
            "blank", "is entirely black in 8 bits: there is nothing to follow; if its values are small, stretch them"
        )
    if not any(color):
        return MapWarning("blank", "is entirely black: there is nothing to follow")
    if color == (255, 255, 255):
        return MapWarning("blank", "is entirely white: there is nothing to follow (was there an alpha channel?)")
    return MapWarning("blank", "has one color only: there is nothing to follow")


def _check_dark(kind: str | None, map: Statistics, facts: MapFacts) -> MapWarning | None:
    if map.maximum > DARK or kind in colors.LABELS:
        return None
    if facts.bits == 16:
        advice = "its values use few of the 16 bits; stretch them"
        if kind in (None, "depth"):
            advice += ", or, if they are measured depth, cn detect depth --from-depth"
    else:
        advice = "stretch its values, or detect the map again"
    return MapWarning("dark", f"is nearly black; {advice}")


def _check_kind(kind: str, map: Statistics, facts: MapFacts) -> MapWarning | None:
    found = _check_other(kind, map)
    if found is not None:
        return found
    if kind in lines.KINDS:
        return lines.check_inverted(kind, map) or lines.check_photograph(kind, map)
    if kind in colors.POSES:
        return colors.check_pose(kind, map, facts)
    if kind in colors.LABELS:
        return colors.check_labels(kind, map, facts)
    if kind == "depth":
        return surfaces.check_depth(kind, map)
    return surfaces.check_normals(kind, map) if kind == "normal" else None


def _check_other(kind: str, map: Statistics) -> MapWarning | None:
    """A map of another kind, or a photograph in color, where a map is gray."""
    if kind in colors.LABELS and colors.lit_share(kind, map) > 0.5:
        return None
    if kind not in lines.KINDS and lines.are_thin_edges(map):
        return MapWarning("other kind", f"shows thin white lines on black: edges, not {kind}")
    gray = kind in lines.KINDS or kind == "depth"
    if gray and map.colored <= (0.1 if kind != "depth" else 0.001) and not colors.are_skeletons(map):
        return None
    other = guess(map)
    if other is not None and other != kind and not {other, kind} <= colors.POSES:
        return MapWarning("other kind", f"looks like a map of {other}, not of {kind}")
    return lines.photograph(kind) if kind in lines.KINDS and map.colored > 0.3 else None


def guess(map: Statistics) -> str | None:
    """The kind of a map whose colors leave no doubt."""
    if map.color is not None:
        return None
    if colors.are_skeletons(map):
        return "openpose"
    for kind in sorted(colors.LABELS):
        if map.colored > 0.1 and colors.are_labels(kind, map):
            return kind
    if len(map.normals) and map.unit_length > 0.97 and (map.normals[:, 2] > -0.1).mean() > 0.97:
        return "normal"
    return None
