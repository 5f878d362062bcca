"""How well the lines of samples follow a map of lines: found without weights. Imports no torch."""

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from cn.detect.lines.canny import canny
from cn.detect.lines.hough import draw_lines, lsd_lines
from cn.detect.lines.lineart import standard_lineart
from cn.detect.lines.scribble import released_scribble, scale_of
from cn.detect.lines.soft_edge_gradient import gradient_soft_edge
from cn.eval.measures.edges import EdgeF1, LineF1, LineRecall

Image = NDArray[np.uint8]


def _hough(image: Image) -> Image:
    return draw_lines(lsd_lines(image), image.shape[:2])


def _scribble(image: Image) -> Image:
    return released_scribble(gradient_soft_edge(image), scale_of(image.shape))


DETECTORS: Mapping[str, Callable[[Image], Image]] = {
    "canny": canny,
    "hough": _hough,
    "hed": gradient_soft_edge,
    "scribble": _scribble,
    "lineart": standard_lineart,
}
"""Kind of map → how its lines are found in an image (h, w, 3): those of Canny as in the map, the others differently."""
COMPARISONS: Mapping[str, EdgeF1 | LineRecall] = {
    "canny": EdgeF1(),
    "hough": LineRecall(),
    "hed": LineF1(),
    "scribble": LineF1(),
    "lineart": LineF1(),
}


def line_scores(kind: str, maps: Image, samples: Image, others: Mapping[str, Image]) -> dict[str, NDArray[np.float64]]:
    """Of `n` maps (n, h, w, 3) by name (n,): "samples", "mismatched" and those of `others` (n, h, w, 3).

    `samples` are (n + 1, h, w, 3): the last one is only for the mismatched pair of the map before it.
    """
    comparison, detect = COMPARISONS[kind], DETECTORS[kind]
    given = [comparison.given(one) for one in maps]

    def scores(found: list[NDArray[np.bool_]]) -> NDArray[np.float64]:
        return np.array([comparison.score(g, f) for g, f in zip(given, found, strict=True)], np.float64)

    found = [comparison.given(detect(image)) for image in samples]
    result = {"samples": scores(found[:-1]), "mismatched": scores(found[1:])}
    for name, images in others.items():
        result[name] = scores([comparison.given(detect(image)) for image in images])
    return result
