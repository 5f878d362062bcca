"""The figures of an evaluation that are means over images: how each is taken, one interface for all."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from cn.data.examples import Example
from cn.eval.measures import Measure, Measurement

Images = Sequence[NDArray[np.uint8]]


class Scorer(Protocol):
    """Scores images (h, w, 3) against the pairs that they were sampled for."""

    @property
    def name(self) -> str: ...

    @property
    def measure(self) -> Measure: ...

    def description(self) -> dict[str, Any]:
        """For the protocol: detector, parameters, hash of its weights."""
        ...

    def given(self, examples: Sequence[Example]) -> Sequence[Any]:
        """What is asked for."""
        ...

    def found(self, images: Images) -> Sequence[Any]:
        """What is in images."""
        ...

    def compare(self, given: Sequence[Any], found: Sequence[Any]) -> NDArray[np.float64]:
        """The figure of each image; NaN where it is not defined."""
        ...


@dataclass(frozen=True)
class ConditionScorer:
    """The condition is detected again: `cn.eval.measures`."""

    measurement: Measurement

    @property
    def name(self) -> str:
        return self.measurement.name

    @property
    def measure(self) -> Measure:
        return self.measurement.measure

    def description(self) -> dict[str, Any]:
        info = self.measurement.info
        # What maps of this kind look like is said there for people, and may be said in other words.
        params: Mapping[str, Any] = {name: value for name, value in info.params.items() if name != "convention"}
        return {
            "against": self.measurement.against,
            "detector": info.detector,
            "params": dict(params),
            "weights_sha256": info.weights_sha256,
            **self.measurement.comparison.parameters,
        }

    def given(self, examples: Sequence[Example]) -> list[Any]:
        against_map = self.measurement.against == "map"
        return self.measurement.given([e.condition if against_map else e.target for e in examples])

    def found(self, images: Images) -> list[Any]:
        return self.measurement.detect(images)

    def compare(self, given: Sequence[Any], found: Sequence[Any]) -> NDArray[np.float64]:
        return self.measurement.compare(given, found)


@dataclass(frozen=True)
class Scores:
    """The figures of the same images, in order: of the images as they are, and as if each were its neighbor's."""

    own: NDArray[np.float64]
    mismatched: NDArray[np.float64]
    """Image i + 1 against pair i, the first against the last: no image against its own pair."""


def score(scorer: Scorer, examples: Sequence[Example], images: Images, chunk: int = 8) -> Scores:
    """The scores of images that were sampled for these pairs. Both are read piece by piece: they may be many."""
    own, mismatched = list[float](), list[float]()
    first: Any = None
    last: Any = None
    for start in range(0, len(examples), chunk):
        numbers = range(start, min(start + chunk, len(examples)))
        given = list(scorer.given([examples[n] for n in numbers]))
        found = list(scorer.found([images[n] for n in numbers]))
        own += scorer.compare(given, found).tolist()
        before = given if last is None else [last, *given]
        after = found[1:] if last is None else found
        mismatched += scorer.compare(before[: len(after)], after).tolist()
        first, last = found[0] if first is None else first, given[-1]
    mismatched += scorer.compare([last], [first]).tolist()
    return Scores(np.array(own), np.array(mismatched))
