"""Segmentation as detectors (`cn.detect.detector`): networks for ADE20K and COCO-Stuff, and the datasets' own labels.

Maps have the colors of the palettes that existing ControlNets expect. Colors cannot always be converted back into
classes, so on request the ids (255: none) are written into a gray sidecar PNG for each map.
"""

import functools
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, cast

import numpy as np
from numpy.typing import NDArray

from cn import files
from cn.conditions import ConditionInfo
from cn.detect.detector import Detection, Images, NetworkDetector, WithoutNetwork
from cn.detect.segmentation import labels, networks
from cn.detect.segmentation.color_matching import MIN_MATCHED, ColorMatch
from cn.detect.segmentation.palettes import ADE20K, COCO_STUFF, NONE, Palette, paint
from cn.detect.segmentation.panoptic import PanopticLabels
from cn.detect.segmentation.unknown_colors import UnknownColor
from cn.detect.settings import Ade20kSettings, CocoSettings
from cn.text import percent

PALETTES = {"ade20k": ADE20K, "coco": COCO_STUFF}

NAMED_COLORS, RECORDED_COLORS = 3, 10
"""How many unknown colors of a map the warning names, and how many the record holds."""

SCATTERED = 0.002
"""From this fraction of the image on, colors that form no areas are said."""


@dataclass(frozen=True)
class Ade20kDetector(Ade20kSettings, NetworkDetector):
    """ADE20K's 150 classes by UniFormer and UPerNet."""

    kind: ClassVar[str] = "ade20k"
    sidecar_suffix: ClassVar[str] = ".png"

    def info(self, key: str) -> ConditionInfo:
        return self.condition_info(self.network.title, {"swapped_channels": True} if self.swapped_channels else {})

    def detect(self, images: Images, keys: Sequence[str]) -> list[Detection]:
        network = cast("Any", self.network.module())
        found = networks.ade20k_ids(network, images, swapped_channels=self.swapped_channels, batch=self.batch_size)
        return [colored(ids, ADE20K) for ids in found]


@dataclass(frozen=True)
class CocoDetector(CocoSettings, NetworkDetector):
    """COCO-Stuff's 171 classes by DeepLabV2."""

    kind: ClassVar[str] = "coco"
    sidecar_suffix: ClassVar[str] = ".png"

    def info(self, key: str) -> ConditionInfo:
        return self.condition_info(self.network.title, {"multi_scale": self.multi_scale})

    def detect(self, images: Images, keys: Sequence[str]) -> list[Detection]:
        network = cast("Any", self.network.module())
        found = networks.coco_ids(network, images, multi_scale=self.multi_scale, batch=self.batch_size)
        return [colored(ids, COCO_STUFF) for ids in found]


@dataclass(frozen=True)
class LabelDetector(WithoutNetwork):
    """Label maps of a dataset, colored. The subclasses `Ade20kLabels` and `CocoLabels` define the kind."""

    from_photographs: ClassVar[bool] = False
    sidecar_suffix: ClassVar[str] = ".png"
    layout: str
    """One of `labels.READERS` of the kind, "colors" (maps in the colors of the palette) or, for coco, "panoptic"."""
    panoptic: str | None = None
    """COCO's panoptic_*.json, for the layout "panoptic"."""
    nearest: bool = False
    """For the layout "colors": whether other colors become the class with the nearest color, instead of none."""
    wants_ids: bool = False
    """Whether ids are written too: only these differ between classes that share their color."""

    @property
    def uses_threads(self) -> bool:
        """COCO's annotations take gigabytes, and should be in memory once."""
        return self.layout == "panoptic"

    def read(self, path: str, part: int = 0) -> Any:
        """For colored maps, the result of `labels.read_palette_image`; else ids (h, w), 255 for none, and a warning."""
        if self.layout == "panoptic":
            assert self.panoptic is not None
            return _panoptic(self.panoptic, files.stamp(self.panoptic)).read(path), None
        if self.layout == "colors":
            return labels.read_palette_image(path, PALETTES[self.kind], self.nearest)
        ids = labels.READERS[self.kind][self.layout](path)
        return ids, labels.warning(path, self.kind, self.layout, ids)

    def info(self, key: str) -> ConditionInfo:
        settings: dict[str, Any] = {"method": "from-labels", "layout": self.layout}
        settings |= {"nearest": True} if self.nearest else {}
        settings |= {"panoptic": os.path.basename(self.panoptic)} if self.panoptic is not None else {}
        return self.condition_info("dataset labels", settings)

    def detect(self, images: Sequence[Any], keys: Sequence[str]) -> list[Detection]:
        palette = PALETTES[self.kind]
        return [
            _matched(read, palette, self.nearest, self.wants_ids)
            if isinstance(read, ColorMatch)
            else replace(colored(read[0], palette), warning=read[1])
            for read in images
        ]


class Ade20kLabels(LabelDetector):
    """Label maps of ADE20K."""

    kind: ClassVar[str] = "ade20k"


class CocoLabels(LabelDetector):
    """Label maps of COCO-Stuff, or COCO's panoptic ones."""

    kind: ClassVar[str] = "coco"


def colored(ids: NDArray[np.uint8], palette: Palette) -> Detection:
    """The detection of ids (h, w), with the fraction of the image that each class has, the largest first, and none."""
    counts = np.bincount(ids.ravel(), minlength=NONE + 1)
    order = [int(number) for number in np.argsort(-counts, kind="stable") if counts[number] and number != NONE]
    shares = {palette.name_of(number): round(counts[number] / ids.size, 4) for number in order}
    found = {"classes": shares, "none": round(counts[NONE] / ids.size, 4)}
    return Detection(paint(ids, palette), found, not order, ids)


def _matched(match: ColorMatch, palette: Palette, nearest: bool, wants_ids: bool) -> Detection:
    """The detection of a colored map, with warnings for ambiguous and unknown colors."""
    detection = colored(match.ids, palette)
    groups = [[palette.name_of(number) for number in group] for group in palette.ambiguous(match.ids)]
    shared = [f"{first} may be {' or '.join(others)}, which share a color" for first, *others in groups]
    warnings = shared if wants_ids else []
    general = list(warnings)
    if match.unknown and not nearest:
        share = percent(sum(color.share for color in match.unknown))
        named = ", ".join(_named(color, palette) for color in match.unknown[:NAMED_COLORS])
        more = len(match.unknown) - NAMED_COLORS
        others = f" and {more} more" if more > 0 else ""
        what = f"colors that are not in the palette of {palette.name}"
        warnings.append(f"{share} has {what} ({named}{others}) and became no class; --nearest takes the nearest")
        general.append(f"{what} became no class; --json names them, and --nearest takes the nearest class")
    if nearest and match.matched < MIN_MATCHED:
        what = f"has a color of the palette of {palette.name}; the nearest class of the others is a guess"
        warnings.append(f"only {percent(match.matched)} of what is not black {what}")
        general.append(f"little {what}")
    if match.scattered >= SCATTERED:
        what = f"scattered colors that are not in the palette of {palette.name}; is a part of it a photograph?"
        warnings.append(f"{percent(match.scattered)} has {what}")
        general.append(f"some have {what}")
    unknown = [
        {
            "hex": c.hex,
            "share": round(c.share, 4),
            "nearest": palette.name_of(c.nearest),
            "distance": round(c.distance, 1),
        }
        for c in match.unknown[:RECORDED_COLORS]
    ]
    found = {**detection.found, "ambiguous": groups, "recognized": round(match.matched, 4), "unknown_colors": unknown}
    return replace(detection, found=found, warning="; ".join(warnings) or None, general_warnings=tuple(general))


def _named(color: UnknownColor, palette: Palette) -> str:
    """A color as a warning names it."""
    name = "black" if color.nearest == NONE else palette.name_of(color.nearest)
    return f"{color.hex}: {percent(color.share)}, nearest {name} at {color.distance:.0f}"


@functools.lru_cache(maxsize=1)
def _panoptic(path: str, stamp: tuple[int, ...]) -> PanopticLabels:
    return PanopticLabels(path)
