"""`cn sample --detect KIND`: the condition of a photograph, by the default network or, without its weights, without."""

import numpy as np
from numpy.typing import NDArray

from cn import conditions
from cn.detect.create import create_detector
from cn.errors import InputError


def detect(image: NDArray[np.uint8], kind: str) -> tuple[NDArray[np.uint8], str]:
    """(map (h, w, 3) RGB, kind) of a photograph (h, w, 3) RGB.

    As `cn detect KIND` with its defaults; where the weights of the default network are not here, the method without
    weights. Raises WeightsError where there is none either, and InputError where nothing was found.
    """
    name = conditions.get(kind).kind
    (detection,) = create_detector(name).detect([image], ["-"])
    if detection.empty:
        raise InputError(f"--detect {kind}: nothing was found in the image")
    made = detection.map
    return np.repeat(made[..., None], 3, axis=2) if made.ndim == 2 else made, name
