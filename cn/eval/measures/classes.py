"""Mean intersection over union of classes (`ade20k`, `coco`)."""

from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from cn.detect.segmentation.color_matching import ids_from_colors
from cn.detect.segmentation.palettes import NONE, Palette
from cn.eval.measures.comparison import Comparison, Map, Measure, check_sizes


class MeanIoU(Comparison):
    """`ade20k`, `coco`: the mean, over classes, of intersection over union, 0 … 1, of one image.

    Classes are read from the palette's colors, in the map and in what is found alike, so that classes that share a
    color count as one. Pixels to which the map gives no class are left out. The mean is over the classes that the map
    or the detection has there (Everingham et al. 2010, by image as in Csurka et al. 2013): published figures of data
    sets, which pool the pixels of all images, are not comparable. NaN for a map without classes.
    """

    measure: ClassVar[Measure] = Measure(
        "mIoU", "higher", about="overlap of the areas of each class in the map and in the image, mean over classes"
    )

    def __init__(self, palette: Palette):
        self.palette = palette

    def given(self, condition: Map) -> NDArray[np.uint8]:
        if condition.ndim != 3:
            raise ValueError("a map of classes has three channels")
        return ids_from_colors(condition, self.palette).ids

    def score(self, given: NDArray[np.uint8], found: NDArray[np.uint8]) -> float:
        check_sizes(given, found)
        known = given != NONE
        if not known.any():
            return float("nan")
        a, b = given[known], found[known]
        areas = np.bincount(a, minlength=NONE + 1), np.bincount(b, minlength=NONE + 1)
        common = np.bincount(a[a == b], minlength=NONE + 1)[:NONE]
        union = (areas[0] + areas[1])[:NONE] - common
        return float((common[union > 0] / union[union > 0]).mean())
