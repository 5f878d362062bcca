"""Depth and normals: RMSE after scale and shift, and the mean angle."""

from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from cn.eval.measures.comparison import Comparison, Map, Measure, check_sizes

LENGTHS = (0.5, 1.5)
"""Colors that decode to a shorter or a longer vector stand for no normal: black, gray, text."""


class DepthRMSE(Comparison):
    """`depth`: the root of the mean squared difference, in levels of the map (0 … 255), after scale and shift.

    With the map m and the depth d that is found, scale a ≥ 0 and shift b minimize Σ (a · d + b − m)² over all pixels
    of the image, because inverse depth from one view has no scale and shift of its own (Ranftl et al. 2020, MiDaS,
    eq. 4; a < 0 would exchange near and far). ControlNet++ (Li et al. 2024) measures depth controls by RMSE. The worst
    value is the standard deviation of the map: what a constant depth would have. NaN for a constant map.
    """

    measure: ClassVar[Measure] = Measure(
        "depth RMSE",
        "lower",
        "levels",
        "difference of the depth that is found from the map, after scale and shift, of 255",
    )

    def given(self, condition: Map) -> NDArray[np.float64]:
        return (condition if condition.ndim == 2 else condition[..., 0]).astype(np.float64)

    def score(self, given: NDArray[np.float64], found: NDArray[np.float64]) -> float:
        check_sizes(given, found)
        m, d = given - given.mean(), found - found.mean()
        if not m.any():
            return float("nan")
        scale = max(0.0, float((m * d).sum() / (d * d).sum())) if d.any() else 0.0
        return float(np.sqrt(((scale * d - m) ** 2).mean()))


class NormalAngle(Comparison):
    """`normal`: the mean angle in degrees, 0 … 180, between the normals of the map and those that are found.

    The usual measure of normal estimation (Fouhey, Gupta and Hebert 2013). Pixels count where both colors decode to a
    vector of length 0.5 … 1.5, so that black and gray areas without a normal are left out; NaN where there are none.
    """

    measure: ClassVar[Measure] = Measure(
        "normal angle", "lower", "degrees", "mean angle between the normals of the map and those that are found"
    )

    def given(self, condition: Map) -> NDArray[np.float64]:
        if condition.ndim != 3:
            raise ValueError("a map of normals has three channels")
        vectors = condition.astype(np.float64) / 127.5 - 1
        length = np.linalg.norm(vectors, axis=-1, keepdims=True)
        known = (length >= LENGTHS[0]) & (length <= LENGTHS[1])
        return np.where(known, vectors / np.where(known, length, 1), np.nan)

    def score(self, given: NDArray[np.float64], found: NDArray[np.float64]) -> float:
        check_sizes(given, found)
        cosine = (given * found).sum(axis=-1)
        known = np.isfinite(cosine)
        return float(np.degrees(np.arccos(cosine[known].clip(-1, 1))).mean()) if known.any() else float("nan")
