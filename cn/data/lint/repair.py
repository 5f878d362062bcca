"""What `--fix` makes of a map, where that needs no guess: the new file, checked again by the rules."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cn import images
from cn.data.lint.finding import Finding
from cn.data.lint.map_checks import exact_share, map_fault
from cn.data.lint.rules import RULES, Repair
from cn.data.map_warnings import map_info
from cn.detect.checks import MapFacts
from cn.detect.checks.colors import LABELS
from cn.detect.checks.lines import KINDS as LINES
from cn.detect.segmentation.color_matching import ids_from_colors
from cn.detect.segmentation.palettes import ADE20K, COCO_STUFF, paint
from cn.errors import InputError

Pixels = NDArray[np.uint8]
_SCATTERED = 0.02
"""The share of pixels without a class of their own from which a label map is left as it is."""


def repair_of(finding: Finding) -> Repair | None:
    """What repairs a fault; None where nothing does without a guess."""
    repair = RULES[finding.rule].repair
    if repair == "invert" and finding.kind not in LINES:
        # The white ground of a skeleton cannot simply be inverted: its colors would be, too.
        return None
    if repair == "snap" and finding.kind not in LABELS:
        return None
    return repair


def repaired(path: Path, kind: str, repair: Repair) -> bytes:
    """The map of a file, repaired, as PNG with the text that it had. Raises InputError where it is not right then."""
    change: dict[str, Callable[[Pixels], Pixels]] = {"invert": _inverted, "swap": _swapped}
    map = images.read_map(path, kind)
    new = _snapped(map, kind) if repair == "snap" else change[repair](map)
    if (fault := map_fault(new, kind, map_info(path), MapFacts())) is not None:
        raise InputError(f"cannot be repaired safely: then it {fault[1]}", path=path)
    gray = bool((new == new[..., :1]).all())
    return images.encode(np.ascontiguousarray(new[..., 0] if gray else new), "PNG", images.read_info(path))


def _inverted(map: Pixels) -> Pixels:
    return 255 - map


def _swapped(map: Pixels) -> Pixels:
    return map[..., ::-1]


def _snapped(map: Pixels, kind: str) -> Pixels:
    palette = ADE20K if kind == "ade20k" else COCO_STUFF
    match = ids_from_colors(map, palette)
    if match.unknown or match.scattered > _SCATTERED:
        raise InputError("has colors that are no class, which cannot be repaired without a guess")
    new = paint(match.ids, palette)
    if exact_share(new, kind) < 1:
        raise InputError("cannot be repaired without a guess")
    return new
