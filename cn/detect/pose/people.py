"""Who is in an image, whichever network found them, and the paper's rule for images that show a person."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from cn.detect.pose import skeleton
from cn.detect.settings import PeopleSettings

PERSON_SHARE = PeopleSettings.min_keypoints
"""§3.5: the paper keeps pictures in which 30 % of the key points of a whole body are found."""


class People(NamedTuple):
    """Who was found in a picture, in the decoder's order."""

    keypoints: NDArray[np.float64]
    """(n, 18, 3): x, y, score."""
    scores: NDArray[np.float64]
    """(n,): what the decoder adds up for joints and limbs, or the score of the person's box."""


def shows_person(people: NDArray[np.floating], size: tuple[int, int], share: float = PERSON_SHARE) -> bool:
    """Whether at least `share` of somebody's 18 key points lie in a picture of `size` = (height, width).

    The paper's rule for what counts as a picture with a person. `people` is (n, 18, 3), whichever way they were found.
    """
    bodies = np.asarray(people, np.float64).reshape(-1, len(skeleton.JOINTS), 3)
    places = bodies[..., :2]
    inside = ((places >= 0) & (places < np.array(size[::-1]))).all(axis=-1)
    return bool(((skeleton.found(bodies) & inside).mean(axis=-1) >= share).any())
