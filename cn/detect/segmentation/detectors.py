"""Segmentation as detectors (`cn.detect.detector`): networks for ADE20K and COCO-Stuff, and the data sets' own labels.

Maps are painted in the palettes that existing ControlNets expect. Those cannot be turned back into classes, so the ids
(255: none) go into a gray PNG beside each map on request.
"""

import functools
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, cast

import numpy as np
from numpy.typing import NDArray

from cn import images
from cn.conditions import ConditionInfo
from cn.detect.detector import Detection, Detector, WithoutNetwork
from cn.detect.network import Network
from cn.detect.segmentation import labels, networks
from cn.detect.segmentation.color_matching import Snapped
from cn.detect.segmentation.palettes import ADE20K, COCO_STUFF, NONE, Palette, paint
from cn.detect.segmentation.panoptic import PanopticLabels

Images = Sequence[NDArray[np.uint8]]
PALETTES = {"ade20k": ADE20K, "coco": COCO_STUFF}

LAYOUTS = {"ade20k": (*labels.READERS["ade20k"], "colors"), "coco": (*labels.READERS["coco"], "panoptic", "colors")}
"""How label files of each kind may be laid out; "colors" are maps painted in the palette."""

RECOGNIZED = 0.9
"""Painted maps of which less than this share has a color of the palette are doubted."""


@dataclass(frozen=True)
class Ade20kDetector(Detector):
    """ADE20K's 150 classes by UniFormer and UPerNet."""

    kind: ClassVar[str] = "ade20k"
    beside: ClassVar[str] = ".png"
    network: Network
    swapped: bool = False
    """Whether the network gets red and blue the wrong way round, as in the released annotator."""

    def info(self, key: str) -> ConditionInfo:
        return self.stated(self.network.title, {"swapped_channels": True} if self.swapped else {})

    def detect(self, images: Images, keys: Sequence[str]) -> list[Detection]:
        network = cast("Any", self.network.ready())
        found = networks.ade20k_ids(network, images, swapped_channels=self.swapped, batch=self.batch_size)
        return [painted(ids, ADE20K) for ids in found]


@dataclass(frozen=True)
class CocoDetector(Detector):
    """COCO-Stuff's 171 classes by DeepLabV2."""

    kind: ClassVar[str] = "coco"
    beside: ClassVar[str] = ".png"
    network: Network
    multi_scale: bool = False

    def info(self, key: str) -> ConditionInfo:
        return self.stated(self.network.title, {"multi_scale": self.multi_scale})

    def detect(self, images: Images, keys: Sequence[str]) -> list[Detection]:
        network = cast("Any", self.network.ready())
        found = networks.coco_ids(network, images, multi_scale=self.multi_scale, batch=self.batch_size)
        return [painted(ids, COCO_STUFF) for ids in found]


@dataclass(frozen=True)
class LabelDetector(WithoutNetwork):
    """Label maps of a data set, painted. Of a `kind` of its own: see `Ade20kLabels` and `CocoLabels`."""

    from_photographs: ClassVar[bool] = False
    beside: ClassVar[str] = ".png"
    layout: str
    """One of `LAYOUTS` of the kind."""
    panoptic: str | None = None
    """COCO's panoptic_*.json, for that layout."""

    @property
    def in_threads(self) -> bool:
        """COCO's annotations fill gigabytes, and are in memory once."""
        return self.layout == "panoptic"

    def read(self, path: str, part: int = 0) -> Any:
        """Ids (h, w), 255 for none; of painted maps, what `labels.read_painted` gives."""
        if self.layout == "panoptic":
            assert self.panoptic is not None
            return _panoptic(self.panoptic).read(path)
        if self.layout == "colors":
            return labels.read_painted(path, PALETTES[self.kind])
        return labels.READERS[self.kind][self.layout](path)

    def info(self, key: str) -> ConditionInfo:
        settings = {"method": "from-labels", "layout": self.layout}
        settings |= {"panoptic": os.path.basename(self.panoptic)} if self.panoptic is not None else {}
        return self.stated("labels of the data set", settings)

    def detect(self, images: Sequence[Any], keys: Sequence[str]) -> list[Detection]:
        palette = PALETTES[self.kind]
        return [_snapped(read, palette) if isinstance(read, Snapped) else painted(read, palette) for read in images]


def label_endings(layout: str) -> frozenset[str]:
    """What names of label files of a layout end with (lower case)."""
    return images.SUFFIXES if layout == "colors" else frozenset({".png", ".npy"})


class Ade20kLabels(LabelDetector):
    """Label maps of ADE20K."""

    kind: ClassVar[str] = "ade20k"


class CocoLabels(LabelDetector):
    """Label maps of COCO-Stuff, or COCO's panoptic ones."""

    kind: ClassVar[str] = "coco"


def painted(ids: NDArray[np.uint8], palette: Palette) -> Detection:
    """The detection of ids (h, w): how much of the image each class has, the largest first."""
    counts = np.bincount(ids.ravel(), minlength=NONE + 1)
    order = [int(number) for number in np.argsort(-counts, kind="stable") if counts[number] and number != NONE]
    shares = {palette.name_of(number): round(counts[number] / ids.size, 4) for number in order}
    return Detection(paint(ids, palette), {"classes": shares}, not order, ids)


def _snapped(read: Snapped, palette: Palette) -> Detection:
    """The detection of a painted map, with what its colors leave open."""
    made = painted(read.ids, palette)
    groups = [[palette.name_of(number) for number in group] for group in palette.ambiguous(read.ids)]
    doubts = [f"{first} may be {' or '.join(others)}, which share a color" for first, *others in groups]
    if read.sure < RECOGNIZED:
        doubts.append(f"{100 * (1 - read.sure):.0f} % of what is painted has no color of {palette.name}")
    found = {**made.found, "ambiguous": groups, "recognized": round(read.sure, 4)}
    return replace(made, found=found, doubt="; ".join(doubts) or None)


@functools.lru_cache(maxsize=1)
def _panoptic(path: str) -> PanopticLabels:
    return PanopticLabels(path)
