"""A detector and the measure that compares what it finds in images with their condition maps."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from cn import conditions
from cn.conditions import ConditionInfo
from cn.detect.create import create_detector
from cn.detect.detector import Detector
from cn.detect.network import ComputeSettings
from cn.detect.segmentation.palettes import ADE20K, COCO_STUFF
from cn.errors import WeightsError
from cn.eval.measures.classes import MeanIoU
from cn.eval.measures.comparison import Comparison, Measure
from cn.eval.measures.edges import EdgeF1, ImageEdgeF1, LineF1, LineRecall
from cn.eval.measures.keypoints import PCK, CocoPCK
from cn.eval.measures.surfaces import DepthRMSE, NormalAngle

Images = Sequence[NDArray[np.uint8]]

COMPARISONS: dict[str, Comparison] = {
    "canny": EdgeF1(),
    "hough": LineRecall(),
    "hed": LineF1(),
    "scribble": LineF1(),
    "openpose": PCK(),
    "openpifpaf": CocoPCK(),
    "ade20k": MeanIoU(ADE20K),
    "coco": MeanIoU(COCO_STUFF),
    "depth": DepthRMSE(),
    "normal": NormalAngle(),
    "lineart": LineF1(),
}
"""Kind → how its maps are compared; the definitions are in the docstrings."""


@dataclass(frozen=True)
class Measurement:
    """The measure of one kind of condition, with the detector that finds the condition again."""

    kind: str
    against: Literal["map", "image"]
    """What images are compared with: their condition maps, or the edges of the true images."""
    detector: Detector
    comparison: Comparison

    @property
    def measure(self) -> Measure:
        return self.comparison.measure

    @property
    def name(self) -> str:
        """How reports call the figure: "depth RMSE", "edge F1 with the image"."""
        return self.measure.name

    @property
    def info(self) -> ConditionInfo:
        """The detector: its name, its parameters and the SHA-256 of its weights."""
        return self.detector.info("")

    def given(self, conditions: Images) -> list[Any]:
        """What the conditions say, once for each: maps (h, w, 3), or true images where `against` is "image"."""
        if self.against == "image":
            return self.detect(conditions)
        return [self.comparison.given(condition) for condition in conditions]

    def detect(self, images: Images) -> list[Any]:
        """What is found in images, uint8 (h, w, 3) RGB each: edges, depth, people …, for `compare`."""
        keys = [str(number) for number in range(len(images))]
        return [self.comparison.found(detection) for detection in self.detector.detect(images, keys)]

    def compare(self, given: Sequence[Any], found: Sequence[Any]) -> NDArray[np.float64]:
        """The figure of each image, (n,); NaN where it is not defined, as for a pose map without a person."""
        return np.array([self.comparison.score(g, f) for g, f in zip(given, found, strict=True)], np.float64)

    def scores(self, conditions: Images, images: Images) -> NDArray[np.float64]:
        """`compare` of the conditions and of what is detected in the images, which have the same sizes."""
        return self.compare(self.given(conditions), self.detect(images))


def measurement(
    kind: str,
    *,
    device: str = "auto",
    precision: str = "auto",
    batch_size: int | None = None,
    method: str | None = None,
    weights: str | os.PathLike[str] | None = None,
    **settings: Any,
) -> Measurement:
    """The measure of a kind, with the detector that `cn detect KIND` uses, or the one of `method` and `weights`.

    `settings` are the detector's own: `low` and `high` for canny. Where the default network's weights are not here, a
    kind that has a method without weights uses that. Raises WeightsError, which says which file is missing and how to
    get it, for the others; UsageError for an unknown kind, method or setting.
    """
    kind = conditions.get(kind).kind
    compute = ComputeSettings.from_options(device, precision, batch_size)
    detector = create_detector(kind, method=method, weights=weights, compute=compute, **settings)
    return Measurement(kind, "map", detector, COMPARISONS[kind])


def image_edges(kind: str) -> Measurement:
    """Edge F1 of the images with their true images, for controls of any kind: it needs no weights.

    In place of condition maps, `Measurement.scores` takes the true images. Edges are those of Canny with the default
    thresholds, in both. It tells whether the layout of the true image is there, not whether the condition is followed.
    """
    return Measurement(conditions.get(kind).kind, "image", create_detector("canny"), ImageEdgeF1())


def measurement_or_image_edges(
    kind: str, *, device: str = "auto", precision: str = "auto", batch_size: int | None = None
) -> tuple[Measurement, WeightsError | None]:
    """`measurement`, or `image_edges` where weights are missing, with the error that says which file it needs."""
    try:
        return measurement(kind, device=device, precision=precision, batch_size=batch_size), None
    except WeightsError as error:
        return image_edges(kind), error
