"""The skeleton of a person: joints that follow from the directions of the bones, and arms that reach for a point.

A person stands on y = 0 facing +z, so that the person's own left is +x.
"""

from dataclasses import dataclass, replace

import numpy as np

from cn.scenes.geometry import Array, Vec, roll, tilt, turn, unit

# Lengths in meters.
CHEST, HEAD = 0.46, 0.250
"""Pelvis to neck; neck to the middle of the head."""
SHOULDER, PELVIS = 0.180, 0.085
SHOULDER_DROP = 0.035
UPPER_ARM, FOREARM, THIGH, SHIN = 0.245, 0.235, 0.365, 0.365
HEAD_RADIUS = 0.190
SEAT_HEIGHT = 0.46
BONES = 24
"""Numbers of `Person.bones`."""


@dataclass(frozen=True)
class Person:
    """What a person looks like; colors are names from `colors`."""

    who: str
    pose: str
    bones: tuple[float, ...]
    """Directions (x, y, z) of upper arm and forearm (right, left), thigh and shin (right, left): 24 numbers.

    Arms are given in the frame of the torso, legs in that of the pelvis. Any length but zero.
    """
    garment: str
    top: str
    legs: str
    hair: str
    hair_style: str
    skin: str
    hat: str
    hat_color: str
    head_turn: float
    mirrored: bool = False
    """Whether the pose is the mirror image of the one that its table shows."""
    lean: float = 0.0
    """Of the torso, forward, radians."""
    pitch: float = 0.0
    """Of the whole body, forward, radians: π/2 lies face down, π stands on the head."""
    roll: float = 0.0
    """Of the whole body, to the person's right, radians."""
    lift: float = 0.0
    """Height of a jump, meters."""
    head_nod: float = 0.0
    """Downward, radians."""
    prop: str = ""
    """What is held or played with, a key of `props.PROPS`."""
    prop_color: str = ""
    seat: str = ""
    seat_color: str = ""
    role: str = ""
    pattern: str = "plain"
    """Of the top: plain, stripes, dots or checks."""
    accessory: str = ""
    """scarf, apron, cape, tie or bow tie."""
    accessory_color: str = ""
    shoes: str = "dark"
    mouth: str = "smile"
    """smile, open or neutral."""
    beard: str = ""
    """beard or moustache."""
    glasses: str = ""
    """Color of the glasses."""
    eyes: str = "iris_brown"


@dataclass(frozen=True)
class Skeleton:
    """Joints (18, 3) in OpenPose order and the frames (3, 3) of body, torso and head, in the person's coordinates."""

    joints: Array
    pelvis: Array
    body: Array
    torso: Array
    head_center: Array
    head: Array


def skeleton(person: Person) -> Skeleton:
    """Bones laid end to end; the lowest part of the body touches the ground (or the pelvis rests on the seat)."""
    rows = np.array(person.bones, np.float64).reshape(4, 2, 3)
    rows = rows / np.linalg.norm(rows, axis=2, keepdims=True)
    body = roll(person.roll) @ tilt(person.pitch)
    torso = body @ tilt(person.lean)
    neck = torso @ (0, CHEST, 0)
    shoulders = [neck + torso @ (side * SHOULDER, -SHOULDER_DROP, 0) for side in (-1, 1)]
    arms = [_chain(shoulders[i], torso @ rows[i].T, UPPER_ARM, FOREARM) for i in (0, 1)]
    hips = [body @ (side * PELVIS, -0.02, 0.0) for side in (-1, 1)]
    legs = [_chain(hips[i], body @ rows[2 + i].T, THIGH, SHIN) for i in (0, 1)]

    head = torso @ turn(person.head_turn) @ tilt(person.head_nod)
    center = neck + torso @ (0, HEAD, 0.01)
    face = [
        center + head @ p
        for p in ((0, -0.02, 0.190), (-0.067, 0.027, 0.172), (0.067, 0.027, 0.172), (-0.187, 0, 0), (0.187, 0, 0))
    ]
    joints = np.stack([face[0], neck - torso @ (0, 0.035, 0), *arms[0], *arms[1], *legs[0], *legs[1], *face[1:]])
    rise = SEAT_HEIGHT + 0.11 if person.seat else _rise(joints, center) + person.lift
    up = np.array((0.0, rise, 0.0))
    return Skeleton(joints + up, up, body, torso, center + up, head)


def _rise(joints: Array, head_center: Array) -> float:
    """How far to lift the body so that its lowest part, given its thickness, touches the ground."""
    thickness = ((10, 0.07), (13, 0.07), (9, 0.075), (12, 0.075), (4, 0.06), (7, 0.06), (3, 0.06), (6, 0.06))
    lowest = [float(joints[j][1]) - thick for j, thick in thickness]
    return -min(*lowest, float(head_center[1]) - HEAD_RADIUS, -0.125, float(joints[1][1]) - 0.13)


def _chain(start: Array, directions: Array, first: float, second: float) -> list[Array]:
    """Three joints: `start`, then along both columns of `directions` (3, 2)."""
    middle = start + first * directions[:, 0]
    return [start, middle, middle + second * directions[:, 1]]


def bend(target: Array | Vec, first: float, second: float, hint: Array | Vec) -> tuple[Array, Array]:
    """Directions (3,) of two bones from the origin whose end is at `target`, bent towards `hint`.

    A target out of reach is pointed at with straight bones. Lengths `first` and `second` in meters.
    """
    vector = np.asarray(target, np.float64)
    straight = unit(vector)
    distance = float(np.clip(np.linalg.norm(vector), abs(first - second) + 1e-3, first + second - 1e-4))
    along = (distance**2 + first**2 - second**2) / (2 * distance)
    aside = np.asarray(hint, np.float64) - straight * (straight @ np.asarray(hint, np.float64))
    middle = straight * along + unit(aside) * np.sqrt(max(first**2 - along**2, 0.0))
    return unit(middle), unit(straight * distance - middle)


def reach(person: Person, arm: int, target: Array | Vec, elbow: Vec = (0.5, -1.0, -0.2)) -> Person:
    """`person` with the wrist of `arm` (0: right, 1: left) at `target`, in the person's coordinates.

    `elbow` is (outward, up, forward), where the elbow goes. The wrist is as near as the arm is long.
    """
    bones = skeleton(person)
    outward = (-1, 1)[arm]
    goal = bones.torso.T @ (np.asarray(target, np.float64) - bones.joints[(2, 5)[arm]])
    rows = np.array(person.bones).reshape(4, 2, 3)
    rows[arm] = bend(goal, UPPER_ARM, FOREARM, (outward * elbow[0], elbow[1], elbow[2]))
    return replace(person, bones=tuple(float(v) for v in rows.ravel()))
