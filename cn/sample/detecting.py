"""`cn sample --detect KIND`: the condition of a plain photograph, by the network whose weights are here, or without."""

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from cn import conditions
from cn.detect.detector import Detector
from cn.errors import InputError
from cn.weights import catalog

if TYPE_CHECKING:
    from collections.abc import Callable

    from cn.detect.network import Network


def detect(image: NDArray[np.uint8], kind: str) -> tuple[NDArray[np.uint8], str]:
    """(map (h, w, 3) RGB, kind) of a photograph (h, w, 3) RGB.

    As `cn detect KIND` with its defaults; where the weights of the default network are not here, the method without
    weights. Raises WeightsError where there is none either, and InputError where nothing was found.
    """
    found = conditions.get(kind).kind
    (detection,) = detector(found).detect([image], ["-"])
    if detection.empty:
        raise InputError(f"--detect {kind}: nothing was found in the image")
    made = detection.map
    return np.repeat(made[..., None], 3, axis=2) if made.ndim == 2 else made, found


def detector(kind: str) -> Detector:
    """The detector for one image of this kind."""
    from cn.detect.lines.canny import CannyDetector
    from cn.detect.lines.hed import HedDetector
    from cn.detect.lines.hough import HoughDetector
    from cn.detect.lines.lineart import LineartDetector
    from cn.detect.lines.scribble import ScribbleDetector
    from cn.detect.pose.detectors import OpenPoseDetector, PifPafDetector
    from cn.detect.segmentation.detectors import Ade20kDetector, CocoDetector
    from cn.detect.surfaces.depth import DepthDetector
    from cn.detect.surfaces.normal import NormalDetector

    if kind == "canny":
        return CannyDetector()
    if kind == "scribble":
        return ScribbleDetector(HedDetector(_network("hed")))
    with_or_without: dict[str, Callable[[Network | None], Detector]] = {
        "hough": HoughDetector,
        "hed": HedDetector,
        "lineart": LineartDetector,
    }
    if kind in with_or_without:
        return with_or_without[kind](_network(kind))
    of_network: dict[str, Callable[[Network], Detector]] = {
        "depth": DepthDetector,
        "normal": NormalDetector,
        "openpose": OpenPoseDetector,
        "openpifpaf": PifPafDetector,
        "ade20k": Ade20kDetector,
        "coco": CocoDetector,
    }
    return of_network[kind](_needed("depth" if kind == "normal" else kind))


def _network(family: str) -> "Network | None":
    """The default network, where its weights are here."""
    from cn.detect import registry

    return _needed(family) if catalog.here(catalog.find(registry.default(family).weights)) is not None else None


def _needed(family: str) -> "Network":
    from cn.detect import registry
    from cn.detect.network import Running, open_network

    return open_network(family, str(catalog.locate(registry.default(family).weights)), Running.chosen())
