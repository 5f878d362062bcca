"""A pose of a person as directions of the bones, and the limbs that many poses share.

Directions are (outward, up, forward) in the body's frame; outward is away from the body on either side, so that one
pair serves both arms.
"""

from dataclasses import dataclass

from cn.scenes.geometry import Vec
from cn.scenes.models.skeleton import FOREARM, SHOULDER, SHOULDER_DROP, UPPER_ARM, bend

Limb = tuple[Vec, Vec]


@dataclass(frozen=True)
class Pose:
    """Bone directions: right and left (upper arm, forearm), right and left (thigh, shin)."""

    right_arm: Limb
    left_arm: Limb
    right_leg: Limb
    left_leg: Limb
    lean: float = 0.0
    lift: float = 0.0
    view: str = "front"
    """The view from which the pose is clearest: front, side or any."""
    pitch: float = 0.0
    roll: float = 0.0
    """Of the whole body (see `Person`)."""
    nod: float = 0.0
    prop: str = ""
    loose: float = 1.0
    """How freely the joints vary; small where a hand has to stay at its place."""
    width: float = 0.52
    """Half the width that a grown-up takes, meters."""
    weight: float = 0.8
    """Relative frequency."""
    upper: bool = False
    """Whether the pose shows in a half figure."""


def hand_at(outward: float, up: float, forward: float, elbow: Vec = (0.7, -1.0, -0.2)) -> Limb:
    """An arm whose wrist is at a place of the torso's frame, measured from the middle of the neck's base."""
    goal = (outward - SHOULDER, up + SHOULDER_DROP, forward)
    first, second = bend(goal, UPPER_ARM, FOREARM, elbow)
    return (float(first[0]), float(first[1]), float(first[2])), (float(second[0]), float(second[1]), float(second[2]))


REST: Limb = ((0.30, -1, 0.0), (0.12, -1, 0.18))
PLANT: Limb = ((0.08, -1, 0.0), (0.03, -1, 0.0))
WIDE: Limb = ((0.24, -1, 0.0), (0.14, -1, 0.0))
HIPS: Limb = ((0.85, -0.75, -0.15), (-0.85, -0.45, 0.45))
OUT: Limb = ((1, 0.05, 0.05), (1, 0.08, 0.05))
UP: Limb = ((0.35, 1, 0.05), (0.10, 1, 0.05))
SEATED: Limb = ((0.16, -0.05, 1), (0.02, -1, 0.08))
KNEES: Limb = hand_at(0.12, -0.40, 0.28)
HOLD: Limb = ((0.40, -0.9, 0.40), (-0.30, 0.0, 1))
