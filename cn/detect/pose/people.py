"""The people in an image, from any network or file, and the paper's rule for images that show a person."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from cn.detect.pose import skeleton
from cn.detect.settings import PeopleSettings

PERSON_SHARE = PeopleSettings.min_keypoints
"""§3.5: the paper keeps images in which 30 % of the keypoints of a whole body are detected."""


class People(NamedTuple):
    """The people in an image, in the decoder's order."""

    keypoints: NDArray[np.float64]
    """(n, 18, 3): x and y in pixels of the image and a score, 0 for a joint that was not found."""
    scores: NDArray[np.float64]
    """(n,): the decoder's sum over joints and limbs, or the score of the person's box."""


@dataclass(frozen=True)
class ImagePoses:
    """The bodies and hands of the people in an image, and its size in pixels."""

    people: NDArray[np.float64]
    """(n, 18, 3): x and y in pixels and a score, 0 where not found."""
    hands: NDArray[np.float64]
    """(n, 2, 21, 3): left and right, zeros for a missing hand."""
    height: int
    width: int


def shows_person(people: NDArray[np.floating], size: tuple[int, int], min_keypoints: float = PERSON_SHARE) -> bool:
    """Whether at least one person shows the fraction `min_keypoints` of the 18 keypoints inside the image.

    The paper's criterion for an image with a person. `people` is (n, 18, 3), `size` (height, width).
    """
    bodies = np.asarray(people, np.float64).reshape(-1, len(skeleton.JOINTS), 3)
    places = bodies[..., :2]
    inside = ((places >= 0) & (places < np.array(size[::-1]))).all(axis=-1)
    return bool(((skeleton.detected(bodies) & inside).mean(axis=-1) >= min_keypoints).any())
