"""`cn sample --detect KIND`: the condition of a plain photograph, by the network whose weights are here, or without."""

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from cn import conditions
from cn.detect.protocol import Detector
from cn.errors import InputError
from cn.weights import published

if TYPE_CHECKING:
    from collections.abc import Callable

    from cn.detect.loading import Network


def detect(image: NDArray[np.uint8], kind: str) -> tuple[NDArray[np.uint8], str]:
    """(map (h, w, 3) RGB, kind) of a photograph (h, w, 3) RGB.

    As `cn detect KIND` with its defaults; where the weights of the default network are not here, the method without
    weights. Raises WeightsError where there is none either, and InputError where nothing was found.
    """
    found = conditions.get(kind).kind
    (detection,) = detector(found).detect([image], ["-"])
    if detection.empty:
        raise InputError(f"--detect {kind}: nothing was found in the picture")
    made = detection.map
    return np.repeat(made[..., None], 3, axis=2) if made.ndim == 2 else made, found


def detector(kind: str) -> Detector:
    """The detector for one picture of this kind."""
    from cn.detect import detectors, people
    from cn.detect.canny import CannyDetector
    from cn.detect.classes import Ade20kDetector, CocoDetector

    if kind == "canny":
        return CannyDetector()
    if kind == "scribble":
        return detectors.ScribbleDetector(detectors.HedDetector(_network("hed")))
    with_or_without: dict[str, Callable[[Network | None], Detector]] = {
        "hough": detectors.HoughDetector,
        "hed": detectors.HedDetector,
        "lineart": detectors.LineartDetector,
    }
    if kind in with_or_without:
        return with_or_without[kind](_network(kind))
    of_network: dict[str, Callable[[Network], Detector]] = {
        "depth": detectors.DepthDetector,
        "normal": detectors.NormalDetector,
        "openpose": people.OpenPoseDetector,
        "openpifpaf": people.PifPafDetector,
        "ade20k": Ade20kDetector,
        "coco": CocoDetector,
    }
    return of_network[kind](_needed("depth" if kind == "normal" else kind))


def _network(family: str) -> "Network | None":
    """The default network, where its weights are here."""
    from cn.detect.methods import METHODS

    return _needed(family) if published.here(published.find(METHODS[family][0].published)) is not None else None


def _needed(family: str) -> "Network":
    from cn.detect.loading import Running, open_network
    from cn.detect.methods import METHODS

    return open_network(family, str(published.locate(METHODS[family][0].published)), Running.chosen())
