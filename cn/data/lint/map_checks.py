"""What is wrong with a map by itself: the warnings of `cn.detect.checks`, and what only a dataset needs."""

import numpy as np
from numpy.typing import NDArray

from cn.conditions import ConditionInfo
from cn.data.lint import depth_checks, pose_checks
from cn.data.maps import EXACT
from cn.detect.checks import MapFacts, check_map
from cn.detect.checks.colors import LABELS, POSES
from cn.detect.checks.lines import KINDS as LINES
from cn.detect.checks.lines import SHARP
from cn.detect.checks.statistics import Statistics, share
from cn.detect.checks.surfaces import MIN_NORMALS
from cn.detect.segmentation.palettes import ADE20K, COCO_STUFF

_LIT, _FAINT = 48, 16
"""The level from which a pixel of a sharp line, and of a soft one, is counted."""
_NEAR_BLACK = 16
_FEW_LEVELS = 8
Fault = tuple[str, str]
"""(rule, message)"""


def map_fault(map: NDArray[np.uint8], kind: str | None, info: ConditionInfo | None, facts: MapFacts) -> Fault | None:
    """The rule and message of what is wrong with a map (h, w, 3), uint8; the most general fault only."""
    detected = info is not None and info.kind == kind
    for warning in check_map(map, kind, info, facts):
        if detected and warning.rule == "photograph":
            # Soft lines of a dense texture are as gray as a photograph; who drew these is written in the file.
            continue
        return warning.rule.replace(" ", "-"), warning.text
    if kind is None:
        return None
    return _near_empty(map, kind) or _own(map, kind, info, facts)


def _near_empty(map: NDArray[np.uint8], kind: str) -> Fault | None:
    """Fewer pixels than a line across an eighth of the map; for depth, a range taken up by an outlier."""
    brightest = map.max(axis=2)
    short = min(map.shape[:2])
    if kind in LINES | POSES:
        lit = int(np.count_nonzero(brightest >= (_LIT if kind in SHARP | POSES else _FAINT)))
        # The dot of a single joint has 50 pixels whatever the size of the map.
        if lit < (max(short / 8, 1) if kind in LINES else max(short / 16, 1)):
            return "near-empty", f"has {lit} bright pixels: there is next to nothing to follow; leave the pair out"
    if kind in LABELS and share(brightest == 0) > 0.98:
        return "near-empty", "has a class for less than 2 % of its pixels; leave the pair out"
    if kind == "depth":
        if share(brightest >= _NEAR_BLACK) < 0.005:
            return "near-empty", "is black but for a few pixels, which take up the range of depth; detect it again"
        low, high = np.percentile(brightest, (0.1, 99.9))
        if high - low <= _FEW_LEVELS:
            return "near-empty", "is of nearly one gray: there is next to nothing to follow; detect it again"
    return None


def _own(map: NDArray[np.uint8], kind: str, info: ConditionInfo | None, facts: MapFacts) -> Fault | None:
    if kind == "depth":
        what = depth_checks.truncation(map)
        return None if what is None else ("truncated-16-bit", f"{what}; convert the 16 bits by 1/257, or detect again")
    if kind == "openpose":
        if pose_checks.channels_are_reversed(map):
            return "reversed-channels", "its limbs have the colors of others: red and blue are swapped; swap them back"
        if (info is None or info.detector != EXACT) and pose_checks.faces_are_mirrored(map):
            return (
                "mirrored",
                "its skeletons have left and right on the wrong sides of their faces: the map was mirrored, or "
                "flipped without exchanging left and right; mirror it back",
            )
    if kind == "normal" and _faces_red(map):
        return (
            "reversed-channels",
            "its red channel is towards the viewer: red and blue are swapped; swap them back (right for the released "
            "v1.0 control alone)",
        )
    return _labels(map, kind, facts) if kind in LABELS else None


def _faces_red(map: NDArray[np.uint8]) -> bool:
    """Whether red, not blue, is positive everywhere: what is seen faces the viewer.

    `check_map` says so of maps in which much of the blue channel is negative; a floor leaves little.
    """
    normals = Statistics(map).normals
    if len(normals) < MIN_NORMALS:
        return False
    towards_red, towards_blue = (share(normals[:, channel] > -0.1) for channel in (0, 2))
    return towards_red > 0.985 and towards_blue < 0.96


def _labels(map: NDArray[np.uint8], kind: str, facts: MapFacts) -> Fault | None:
    strays = 1 - exact_share(map, kind)
    if facts.lossy is not None:
        return "smeared-colors", f"is {facts.lossy}, which smears the colors that name the classes; keep maps as PNG"
    if strays > 0.001:
        return (
            "off-palette",
            f"{100 * strays:.2g} % of its pixels have colors that are no class of {kind}; repair it: cn detect {kind} "
            "--from-labels colors",
        )
    return None


def exact_share(map: NDArray[np.uint8], kind: str) -> float:
    """The share of pixels (h, w, 3) in exactly a color of the kind's palette."""
    palette = ADE20K if kind == "ade20k" else COCO_STUFF
    colors = np.concatenate([np.array([palette.void]), palette.colors]).astype(np.int64)
    known = np.zeros(1 << 24, bool)
    known[_codes(colors)] = True
    return share(known[_codes(map.reshape(-1, 3).astype(np.int64))])


def _codes(colors: NDArray[np.int64]) -> NDArray[np.int64]:
    return np.asarray(colors[:, 0] << 16 | colors[:, 1] << 8 | colors[:, 2])
