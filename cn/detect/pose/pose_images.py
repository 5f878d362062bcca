"""One image of a file of poses, whatever wrote the file: from its raw people to `ImagePoses`."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from cn.detect.pose.json_numbers import check_size
from cn.detect.pose.keypoint_orders import Person
from cn.detect.pose.people import ImagePoses
from cn.detect.pose.skeleton import FACE_POINTS, FOOT_POINTS, HAND_POINTS, JOINTS, detected
from cn.errors import InputError

MAX_PEOPLE = 2000
"""Images with more people are refused: in no crowd are the joints of so many distinguishable."""

MAX_FRACTION = 2.0
"""Coordinates are fractions of the canvas if most points of an image do not exceed this value."""

MAX_NEGATIVE = 0.25
"""If a larger fraction of such points is negative, they are OpenPose's -1..1, not 0..1."""

MAX_OUTSIDE = 0.5
"""If more of the points are outside of the canvas, its size is doubted."""

Unit = Literal["pixels", "fractions", "guess"]


class Limits(NamedTuple):
    """The scores below which a tool does not draw the points that it writes."""

    body: float = 0.0
    hand: float = 0.0
    face: float = 0.0


NO_LIMITS = Limits()


@dataclass(frozen=True)
class PoseImage:
    """One image of a file. Its people are parsed when it is drawn, so an invalid one does not affect the others."""

    people: Sequence[Any]
    person: Callable[[Any, str], Person]
    """A person from an element of `people` and the field that errors name."""
    field: str = "people"
    size: tuple[int, int] | None = None
    """(height, width), where the file has it."""
    name: str | None = None
    """The file name of the image that the poses are of."""
    ids: tuple[str, ...] = ()
    """What the image is called in the file."""
    limits: Limits = NO_LIMITS
    unit: Unit = "guess"
    animals: int = 0
    """How many animals the file has besides: they are not drawn."""

    def poses(self, size: tuple[int, int] | None, min_score: float | None, given: str = "--canvas") -> ImagePoses:
        """The people; `size` (height, width) is that of the option `given`, for images without one.

        Points with a score below `min_score` (default: `limits`) count as not found.
        Raises InputError, without a path, that names the invalid field.
        """
        if len(self.people) > MAX_PEOPLE:
            raise InputError(f"has {len(self.people)} people, at most {MAX_PEOPLE} can be drawn")
        if self.size is None and size is None:
            raise InputError("has no canvas size (canvas_width, canvas_height); give it with --canvas or --images")
        height, width = check_size(*(self.size or size or (0, 0)))
        limits = self.limits if min_score is None else Limits(min_score, min_score, min_score)
        found = [_limited(self.person(one, f"{self.field}[{k}]"), limits) for k, one in enumerate(self.people)]
        kept = [person for person in found if any((part[..., 2] > 0).any() for part in person)]
        shapes = ((len(JOINTS), 3), (2, HAND_POINTS, 3), (FACE_POINTS, 3), (FOOT_POINTS, 3))
        parts = [np.array([person[k] for person in kept]).reshape(-1, *shape) for k, shape in enumerate(shapes)]
        for points in parts:
            _to_pixels(points, height, width, self.unit)
        warnings = []
        if self.size is not None and size is not None and self.size != size:
            what = f"the file's own size of the canvas is used, not that of {given}"
            warnings.append((f"{what}: {width}×{height}", what))
        if outside := _outside(parts, height, width):
            what = "points are outside of the canvas; is it the size of the image?"
            warnings.append((f"{outside} {what}", f"most {what}"))
        if self.animals:
            what = "animals are not drawn"
            warnings.append(("1 animal is not drawn" if self.animals == 1 else f"{self.animals} {what}", what))
        people, hands, faces, feet = parts
        return ImagePoses(people, hands, height, width, faces, feet, len(found) - len(kept), tuple(warnings))


def _limited(person: Person, limits: Limits) -> Person:
    """The person with zeros for points that were not found."""
    for part, limit in zip(person, (limits.body, limits.hand, limits.face, limits.body), strict=True):
        part[~(detected(part) & (part[..., 2] >= limit))] = 0
    return person


def _to_pixels(points: NDArray[np.float64], height: int, width: int, unit: Unit) -> None:
    """Convert points (…, 3) in fractions of the canvas to pixels, in place."""
    places = points[points[..., 2] > 0][:, :2]
    if unit == "pixels" or not places.size:
        return
    if unit == "guess":
        if not np.median(np.abs(places).max(axis=1)) <= MAX_FRACTION < max(height, width):
            return
        if (places < 0).any(axis=1).mean() > MAX_NEGATIVE:
            raise InputError("its coordinates go from -1 to 1; give pixels, or fractions of the canvas from 0 to 1")
    points[..., :2] *= (width, height)


def _outside(parts: Sequence[NDArray[np.float64]], height: int, width: int) -> str | None:
    """ "12 of 18", where most points are outside of the canvas."""
    places = np.concatenate([points[points[..., 2] > 0][:, :2] for points in parts])
    outside = int(np.count_nonzero(((places < 0) | (places >= (width, height))).any(axis=1)))
    return f"{outside} of {len(places)}" if outside > MAX_OUTSIDE * len(places) else None
