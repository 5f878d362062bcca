"""`cn sample --detect KIND`: the condition of a plain photograph, by the network whose weights are here, or without."""

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from cn import conditions
from cn.detect.protocol import Detector
from cn.errors import UsageError
from cn.weights import published

if TYPE_CHECKING:
    from cn.detect.loading import Network


def detect(image: NDArray[np.uint8], kind: str) -> tuple[NDArray[np.uint8], str]:
    """(map (h, w, 3) RGB, kind) of a photograph (h, w, 3) RGB.

    As `cn detect KIND` with its defaults; where the weights of the default network are not here, the method without
    weights. Raises WeightsError where there is none either, and UsageError for a kind that no detector of ours makes.
    """
    found = conditions.get(kind).kind
    (detection,) = detector(found).detect([image], ["-"])
    made = detection.map
    return np.repeat(made[..., None], 3, axis=2) if made.ndim == 2 else made, found


def detector(kind: str) -> Detector:
    """The detector for one picture of this kind."""
    from cn.detect.canny import CannyDetector
    from cn.detect.detectors import (
        DepthDetector,
        HedDetector,
        HoughDetector,
        LineartDetector,
        NormalDetector,
        ScribbleDetector,
    )

    if kind == "canny":
        return CannyDetector()
    if kind == "scribble":
        return ScribbleDetector(HedDetector(_network("hed")))
    if kind in ("depth", "normal"):
        network = _network("depth", needed=True)
        assert network is not None
        return DepthDetector(network) if kind == "depth" else NormalDetector(network)
    by_kind = {"hough": HoughDetector, "hed": HedDetector, "lineart": LineartDetector}
    if kind not in by_kind:
        raise UsageError(f"--detect {kind}: there is no detector for that yet; give a finished {kind} map")
    return by_kind[kind](_network(kind))


def _network(family: str, needed: bool = False) -> "Network | None":
    from cn.detect.loading import Running, open_network
    from cn.detect.methods import METHODS

    file = METHODS[family][0].published
    if not needed and published.here(published.find(file)) is None:
        return None
    return open_network(family, str(published.locate(file)), Running.chosen())
