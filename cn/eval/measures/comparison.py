"""What a measure is: a figure, and how a condition map and a detection are compared."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from cn.detect.detector import Detection

Map = NDArray[np.uint8]
"""A condition map, uint8 (h, w) or (h, w, 3) RGB."""


@dataclass(frozen=True)
class Measure:
    """One figure of one kind of condition."""

    name: str
    better: Literal["higher", "lower"]
    unit: str = ""
    """ "" for a share of 0 … 1."""
    about: str = ""
    """What it is, for a person who reads a report."""


class Comparison(ABC):
    """How much of a condition map is found again in an image."""

    measure: ClassVar[Measure]
    parameters: ClassVar[Mapping[str, float]] = {}
    """What else decides the figure, for the protocol: a tolerance, a share."""

    @abstractmethod
    def given(self, condition: Map) -> Any:
        """What a condition map says, in the form in which it is compared."""

    def found(self, detection: Detection) -> Any:
        """The same of what was detected in an image."""
        return self.given(detection.map)

    @abstractmethod
    def score(self, given: Any, found: Any) -> float:
        """The figure of one image; NaN where it is not defined. ValueError where the sizes differ."""


def check_sizes(given: NDArray[Any], found: NDArray[Any]) -> None:
    """ValueError unless both have the same height and width."""
    if given.shape[:2] != found.shape[:2]:
        raise ValueError(f"maps of {given.shape[:2]} and {found.shape[:2]} cannot be compared")
