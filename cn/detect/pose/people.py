"""The people in an image, from any network or file, and the paper's rule for images that show a person."""

from dataclasses import dataclass, field, replace
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
    """The bodies, hands, faces and feet of the people in an image, and its size in pixels."""

    people: NDArray[np.float64]
    """(n, 18, 3): x and y in pixels and a score, 0 where not found."""
    hands: NDArray[np.float64]
    """(n, 2, 21, 3): left and right, zeros for a missing hand."""
    height: int
    width: int
    faces: NDArray[np.float64] = field(default_factory=lambda: np.zeros((0, skeleton.FACE_POINTS, 3)))
    """(n, 70, 3), zeros for a missing face; by default all are missing."""
    feet: NDArray[np.float64] = field(default_factory=lambda: np.zeros((0, skeleton.FOOT_POINTS, 3)))
    """(n, 6, 3): big toe, small toe and heel, left and right; by default all are missing."""
    not_found: int = 0
    """How many further people a file lists, without a single point."""
    warnings: tuple[tuple[str, str], ...] = ()
    """What may be wrong with them, and the same without what holds for this image only."""

    def __post_init__(self) -> None:
        for name in ("faces", "feet"):
            points = getattr(self, name)
            if len(points) != len(self.people):
                object.__setattr__(self, name, np.zeros((len(self.people), *points.shape[1:])))

    def scaled(self, height: int, width: int) -> "ImagePoses":
        """The same poses on a canvas of another size."""
        factor = np.array([width / self.width, height / self.height, 1.0])
        parts = {name: getattr(self, name) * factor for name in ("people", "hands", "faces", "feet")}
        return replace(self, height=height, width=width, **parts)


def shows_person(people: NDArray[np.floating], size: tuple[int, int], min_keypoints: float = PERSON_SHARE) -> bool:
    """Whether at least one person shows the fraction `min_keypoints` of the 18 keypoints inside the image.

    The paper's criterion for an image with a person. `people` is (n, 18, 3), `size` (height, width).
    """
    bodies = np.asarray(people, np.float64).reshape(-1, len(skeleton.JOINTS), 3)
    places = bodies[..., :2]
    inside = ((places >= 0) & (places < np.array(size[::-1]))).all(axis=-1)
    return bool(((skeleton.detected(bodies) & inside).mean(axis=-1) >= min_keypoints).any())
