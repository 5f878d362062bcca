"""What people hold or play with, placed by their hands and feet (in the person's coordinates)."""

from collections.abc import Callable

import numpy as np

from cn.scenes.builder import BANDS, Builder
from cn.scenes.geometry import Array, frame_along, unit
from cn.scenes.models.skeleton import Person, Skeleton, skeleton
from cn.scenes.models.small_objects import balloon_body

_RIGHT_WRIST, _LEFT_WRIST, _RIGHT_ANKLE, _LEFT_ANKLE = 4, 7, 10, 13


def build_prop(build: Builder, person: Person) -> None:
    """Add the person's prop, if there is one, to `build`."""
    if person.prop:
        PROPS[person.prop](build, person, skeleton(person))


def _hand(person: Person, bones: Skeleton) -> tuple[Array, Array]:
    """The middle of the hand that the pose uses (3,) and the direction of its forearm (3,)."""
    wrist = _LEFT_WRIST if person.mirrored else _RIGHT_WRIST
    along = unit(bones.joints[wrist] - bones.joints[wrist - 1])
    return bones.joints[wrist] + along * 0.04, along


def _between(bones: Skeleton) -> Array:
    """The middle between both wrists (3,)."""
    return (bones.joints[_RIGHT_WRIST] + bones.joints[_LEFT_WRIST]) / 2


def _ball(build: Builder, person: Person, bones: Skeleton) -> None:
    build.ellipsoid(np.add(_between(bones), (0, 0.10, 0.10)), 0.19, person.prop_color, "ball", pattern=BANDS)


def _balloon(build: Builder, person: Person, bones: Skeleton) -> None:
    hand, _ = _hand(person, bones)
    build.capsule(hand, np.add(hand, (0, 0.50, 0.0)), 0.011, 0.011, "paper", "ball")
    balloon_body(build, (float(hand[0]), float(hand[1]) + 0.80, float(hand[2])), person.prop_color)


def _football(build: Builder, person: Person, bones: Skeleton) -> None:
    ankle = bones.joints[_LEFT_ANKLE if person.mirrored else _RIGHT_ANKLE]
    build.ellipsoid(
        (float(ankle[0]), max(0.15, float(ankle[1]) - 0.02), float(ankle[2]) + 0.40), 0.15, person.prop_color, "ball"
    )


def _handball(build: Builder, person: Person, bones: Skeleton) -> None:
    hand, along = _hand(person, bones)
    build.ellipsoid(hand + along * 0.13, 0.13, person.prop_color, "ball")


def _flying_ball(build: Builder, person: Person, bones: Skeleton) -> None:
    hand, _ = _hand(person, bones)
    build.ellipsoid(np.add(hand, (0, 0.10, 0.62)), 0.14, person.prop_color, "ball")


def _book(build: Builder, person: Person, bones: Skeleton) -> None:
    """Two open covers with pages, tilted towards the face."""
    middle = _between(bones) + bones.torso @ (0, 0.055, 0.03)
    back = unit(bones.torso @ (0, -0.35, 1.0))
    for side in (-1, 1):
        frame = frame_along(bones.torso[:, 1] + 0.35 * bones.torso[:, 2], back + side * 0.25 * bones.torso[:, 0])
        center = middle + bones.torso @ (side * 0.085, 0, 0)
        build.box(center, (0.088, 0.125, 0.010), person.prop_color, "book", rotation=frame)
        build.box(center - frame[:, 2] * 0.014, (0.078, 0.112, 0.010), "paper", "book", rotation=frame)


def _guitar(build: Builder, person: Person, bones: Skeleton) -> None:
    """The body at the waist; the neck towards the other hand."""
    left = bones.joints[_RIGHT_WRIST if person.mirrored else _LEFT_WRIST]
    side = -1 if person.mirrored else 1
    body = bones.pelvis + bones.torso @ (-side * 0.05, 0.12, 0.20)
    along = unit(left + bones.torso @ (0, 0.02, 0.0) - body)
    frame = frame_along(along, bones.torso[:, 2])
    for shift, radius in ((-0.09, 0.155), (0.09, 0.118)):
        build.ellipsoid(body + along * shift, (radius, radius, 0.045), person.prop_color, "plaything", rotation=frame)
    build.ellipsoid(
        body + frame[:, 2] * 0.03 + along * 0.04, (0.045, 0.045, 0.018), "dark", "plaything", rotation=frame
    )
    build.capsule(body + along * 0.14, body + along * 0.58, 0.022, 0.020, "wood_dark", "plaything")
    build.box(body + along * 0.63, (0.035, 0.06, 0.014), "wood_dark", "plaything", rotation=frame)


def _umbrella(build: Builder, person: Person, bones: Skeleton) -> None:
    """A stick with a roof above the head."""
    hand, _ = _hand(person, bones)
    lean = -0.20 if hand[0] > 0 else 0.20
    top = np.add(hand, (lean, 1.02, -0.04))
    build.capsule(hand - (0, 0.10, 0), top, 0.014, 0.014, "wood_dark", "plaything")
    build.frustum(top - (0, 0.24, 0), top - (0, 0.09, 0), 0.56, 0.34, person.prop_color, "plaything")
    build.frustum(top - (0, 0.09, 0), top, 0.34, 0.02, person.prop_color, "plaything")


def _flower(build: Builder, person: Person, bones: Skeleton) -> None:
    """A bunch of flowers."""
    hand = _between(bones) + bones.torso @ (0, 0.03, 0.04)
    build.frustum(hand - (0, 0.10, 0), np.add(hand, (0, 0.12, 0)), 0.035, 0.075, "stalk", "flower")
    for x, y, z in ((0, 0.22, 0.02), (-0.08, 0.17, 0.02), (0.08, 0.17, 0.02), (0, 0.16, 0.08)):
        build.ellipsoid(np.add(hand, (x, y, z)), 0.058, person.prop_color, "flower")
        build.ellipsoid(np.add(hand, (x, y + 0.01, z + 0.045)), 0.022, "bulb", "flower")


def _box(build: Builder, person: Person, bones: Skeleton) -> None:
    top = np.add(bones.head_center, (0, 0.36, 0))
    build.box(top, (0.27, 0.15, 0.20), person.prop_color, "box")


def _parcel(build: Builder, person: Person, bones: Skeleton) -> None:
    build.box(
        _between(bones) + bones.torso @ (0, 0.09, 0.10),
        (0.19, 0.15, 0.15),
        person.prop_color,
        "box",
        rotation=bones.torso,
    )


def _sword(build: Builder, person: Person, bones: Skeleton) -> None:
    hand, along = _hand(person, bones)
    tip = unit(np.add(along, (0, 0.35, 0)))
    build.capsule(hand - tip * 0.05, hand + tip * 0.07, 0.024, 0.024, "trunk", "plaything")
    build.ellipsoid(
        hand + tip * 0.07, (0.07, 0.07, 0.025), person.prop_color, "plaything", rotation=frame_along(tip)[:, [0, 2, 1]]
    )
    build.capsule(hand + tip * 0.07, hand + tip * 0.72, 0.019, 0.010, "steel", "plaything")


def _microphone(build: Builder, person: Person, bones: Skeleton) -> None:
    hand, _ = _hand(person, bones)
    up = unit(bones.torso @ (0, 1, -0.35))
    build.capsule(hand - up * 0.05, hand + up * 0.10, 0.024, 0.028, person.prop_color, "plaything")
    build.ellipsoid(hand + up * 0.13, 0.043, "steel", "plaything")


def _telescope(build: Builder, person: Person, bones: Skeleton) -> None:
    eye = bones.head_center + bones.head @ (0.0, 0.03, 0.20)
    ahead = bones.head[:, 2]
    build.capsule(eye, eye + ahead * 0.22, 0.036, 0.036, "wood_dark", "plaything")
    build.frustum(eye + ahead * 0.18, eye + ahead * 0.42, 0.048, 0.060, person.prop_color, "plaything")


PROPS: dict[str, Callable[[Builder, Person, Skeleton], None]] = {
    "ball": _ball,
    "balloon": _balloon,
    "football": _football,
    "handball": _handball,
    "flying ball": _flying_ball,
    "book": _book,
    "guitar": _guitar,
    "umbrella": _umbrella,
    "flower": _flower,
    "box": _box,
    "parcel": _parcel,
    "sword": _sword,
    "microphone": _microphone,
    "telescope": _telescope,
}
"""Name → builder."""
