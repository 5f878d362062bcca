"""`cn sample --detect KIND`: the condition of a photograph, by the default network or, without its weights, without."""

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from cn import conditions
from cn.detect import published, registry
from cn.detect.detector import Detector, detector_class
from cn.errors import InputError
from cn.weights import catalog

if TYPE_CHECKING:
    from cn.detect.network import Network


def detect(image: NDArray[np.uint8], kind: str) -> tuple[NDArray[np.uint8], str]:
    """(map (h, w, 3) RGB, kind) of a photograph (h, w, 3) RGB.

    As `cn detect KIND` with its defaults; where the weights of the default network are not here, the method without
    weights. Raises WeightsError where there is none either, and InputError where nothing was found.
    """
    name = conditions.get(kind).kind
    (detection,) = detector(name).detect([image], ["-"])
    if detection.empty:
        raise InputError(f"--detect {kind}: nothing was found in the image")
    made = detection.map
    return np.repeat(made[..., None], 3, axis=2) if made.ndim == 2 else made, name


def detector(kind: str) -> Detector:
    """The detector for one image of this kind."""
    family = registry.kind_spec(kind).family
    return detector_class(kind).default(None if family is None else _network(family))


def _network(family: str) -> "Network | None":
    """The default network; None where its weights are not here and a method needs none."""
    from cn.detect.network import ComputeSettings, open_network

    weights = registry.default(family).weights
    if registry.has_weight_free_method(family) and catalog.here(catalog.find(weights)) is None:
        return None
    return open_network(family, str(published.locate(weights)), ComputeSettings.from_options())
