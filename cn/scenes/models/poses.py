"""Poses of people, as directions of their bones.

Directions are (outward, up, forward) in the body's frame; outward is away from the body on either side, so that one
pair serves both arms.
"""

from dataclasses import dataclass

from cn.scenes.geometry import Vec


@dataclass(frozen=True)
class Pose:
    """Bone directions: right and left (upper arm, forearm), right and left (thigh, shin)."""

    right_arm: tuple[Vec, Vec]
    left_arm: tuple[Vec, Vec]
    right_leg: tuple[Vec, Vec]
    left_leg: tuple[Vec, Vec]
    lean: float = 0.0
    lift: float = 0.0
    view: str = "front"
    """The view from which the pose is clearest: front, side or any."""


REST: tuple[Vec, Vec] = ((0.30, -1, 0.0), (0.12, -1, 0.18))
PLANT: tuple[Vec, Vec] = ((0.08, -1, 0.0), (0.03, -1, 0.0))
WIDE: tuple[Vec, Vec] = ((0.24, -1, 0.0), (0.14, -1, 0.0))
HIPS: tuple[Vec, Vec] = ((0.85, -0.75, -0.15), (-0.85, -0.45, 0.45))

POSES: dict[str, Pose] = {
    "standing": Pose(REST, REST, PLANT, PLANT, view="any"),
    "hips": Pose(HIPS, HIPS, WIDE, WIDE),
    "waving": Pose(((0.95, 0.45, 0.1), (0.30, 1, 0.1)), REST, PLANT, PLANT),
    "walking": Pose(
        ((0.2, -1, -0.55), (0.05, -1, 0.05)),
        ((0.2, -1, 0.55), (0.0, -0.75, 0.7)),
        ((0.03, -1, 0.5), (0, -1, 0.08)),
        ((0.03, -1, -0.36), (0, -1, -0.55)),
        lean=0.05,
        view="side",
    ),
    "running": Pose(
        ((0.2, -0.8, -0.8), (0.0, -0.55, 0.8)),
        ((0.2, -0.75, 0.75), (-0.1, 0.5, 0.9)),
        ((0.03, -0.7, 0.9), (0, -1, -0.3)),
        ((0.03, -1, -0.55), (0, -0.25, -1)),
        lean=0.22,
        lift=0.06,
        view="side",
    ),
    "dancing": Pose(
        ((0.9, 0.75, 0.0), (0.1, 1, 0.0)),
        ((1, 0.0, 0.1), (0.7, -0.45, 0.3)),
        PLANT,
        ((0.85, -0.7, 0.3), (-0.1, -1, -0.3)),
    ),
    "twirling": Pose(
        ((0.75, 0.8, 0.0), (-0.55, 0.9, 0.0)),
        ((0.75, 0.8, 0.0), (-0.55, 0.9, 0.0)),
        PLANT,
        ((0.75, -0.6, 0.3), (-0.85, -0.75, -0.1)),
    ),
    "jumping": Pose(
        ((0.75, 0.8, 0.1), (0.35, 1, 0.0)),
        ((0.75, 0.8, 0.1), (0.35, 1, 0.0)),
        ((0.4, -0.8, 0.45), (0.05, -0.75, -0.7)),
        ((0.4, -0.8, 0.45), (0.05, -0.75, -0.7)),
        lift=0.30,
    ),
    "leaping": Pose(
        ((1, 0.4, 0.0), (0.9, 0.5, 0.0)),
        ((1, 0.4, 0.0), (0.9, 0.5, 0.0)),
        ((0.75, -0.75, 0.1), (0.5, -0.9, 0.0)),
        ((0.75, -0.75, 0.1), (0.5, -0.9, 0.0)),
        lift=0.26,
    ),
    "cheering": Pose(((0.55, 1, 0.05), (0.22, 1, 0.05)), ((0.55, 1, 0.05), (0.22, 1, 0.05)), WIDE, WIDE),
    "pointing": Pose(((1, 0.18, 0.25), (1, 0.22, 0.25)), HIPS, WIDE, PLANT),
    "sitting": Pose(
        ((0.25, -1, 0.25), (-0.15, -0.45, 0.8)),
        ((0.25, -1, 0.25), (-0.15, -0.45, 0.8)),
        ((0.16, -0.05, 1), (0.02, -1, 0.08)),
        ((0.16, -0.05, 1), (0.02, -1, 0.08)),
    ),
    "holding": Pose(((0.40, -0.9, 0.40), (-0.30, 0.0, 1)), ((0.40, -0.9, 0.40), (-0.30, 0.0, 1)), WIDE, WIDE),
    "balloon": Pose(((0.75, -0.65, 0.35), (0.35, 0.9, 0.3)), REST, PLANT, PLANT),
}
