"""Keypoints of people that the built-in scenes showed in version 0.1, kept because golden values were made of them.

The first 160 scenes of two seeds: (n, 18, 3) OpenPose keypoints of each, in pixels of a small square image.
"""

from functools import cache

import numpy as np
from numpy.typing import NDArray

from tests.helpers.model_helpers import GOLDEN

SIDES = {"openpose": 48, "pifpaf": 96}
"""Pixels of a side of the images, by the decoder that they are for (seeds 11 and 17)."""


@cache
def people_of_scenes(decoder: str) -> list[NDArray[np.float64]]:
    """The people of each scene, in order. Cached: never change them."""
    with np.load(GOLDEN / "people_of_scenes.npz") as file:
        counts, people = file[f"{decoder}_counts"], file[f"{decoder}_people"].astype(np.float64)
    return np.split(people, np.cumsum(counts)[:-1])
