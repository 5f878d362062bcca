"""People: a skeleton posed by the directions of its bones; the body and the OpenPose keypoints both come from it.

A person stands on y = 0 facing +z, so that the person's own left is +x.
"""

from dataclasses import dataclass

import numpy as np

from cn.scenes.builder import Builder
from cn.scenes.geometry import Array, tilt, turn, unit
from cn.scenes.models.poses import POSES

# Lengths in meters.
CHEST, HEAD = 0.46, 0.250
"""Pelvis to neck; neck to the middle of the head."""
SHOULDER, PELVIS = 0.180, 0.085
UPPER_ARM, FOREARM, THIGH, SHIN = 0.245, 0.235, 0.365, 0.365
HEAD_RADIUS = 0.190
SEAT_HEIGHT = 0.46


@dataclass(frozen=True)
class Person:
    """What a person looks like; colors are names from `colors`."""

    who: str
    pose: str
    garment: str
    top: str
    legs: str
    hair: str
    long_hair: bool
    skin: str
    hat: str
    """none, beanie or brim"""
    hat_color: str
    mirrored: bool
    head_turn: float
    prop_color: str = ""
    seat: str = ""
    seat_color: str = ""
    wobble: tuple[float, ...] = ()
    """Small offsets for the 24 numbers of the bone directions."""


@dataclass(frozen=True)
class Skeleton:
    """Joints (18, 3) in OpenPose order and the frames of torso and head, in the person's coordinates."""

    joints: Array
    pelvis: Array
    torso: Array
    head_center: Array
    head: Array


def skeleton(person: Person) -> Skeleton:
    """Bones laid end to end; the lower foot touches the ground (or the pelvis rests on the seat)."""
    pose = POSES[person.pose]
    rows = np.array([pose.right_arm, pose.left_arm, pose.right_leg, pose.left_leg], np.float64)
    if person.mirrored:
        rows = rows[[1, 0, 3, 2]]
    if person.wobble:
        rows = rows + np.array(person.wobble).reshape(4, 2, 3)
    rows[[0, 2], :, 0] *= -1  # outward is -x on the right
    rows /= np.linalg.norm(rows, axis=2, keepdims=True)

    torso = tilt(pose.lean)
    neck = torso @ (0, CHEST, 0)
    shoulders = [neck + torso @ (side * SHOULDER, -0.035, 0) for side in (-1, 1)]
    arms = [_chain(shoulders[i], torso @ rows[i].T, UPPER_ARM, FOREARM) for i in (0, 1)]
    hips = [np.array((side * PELVIS, -0.02, 0.0)) for side in (-1, 1)]
    legs = [_chain(hips[i], rows[2 + i].T, THIGH, SHIN) for i in (0, 1)]

    head = torso @ turn(person.head_turn)
    center = neck + torso @ (0, HEAD, 0.01)
    face = [
        center + head @ p
        for p in ((0, -0.02, 0.190), (-0.067, 0.027, 0.172), (0.067, 0.027, 0.172), (-0.187, 0, 0), (0.187, 0, 0))
    ]
    joints = np.stack([face[0], neck - torso @ (0, 0.035, 0), *arms[0], *arms[1], *legs[0], *legs[1], *face[1:]])
    if pose.lift == 0 and person.seat:
        rise = SEAT_HEIGHT + 0.11
    else:
        rise = 0.07 - min(float(legs[0][2][1]), float(legs[1][2][1])) + pose.lift
    up = np.array((0.0, rise, 0.0))
    return Skeleton(joints + up, up, torso, center + up, head)


def _chain(start: Array, directions: Array, first: float, second: float) -> list[Array]:
    """Three joints: `start`, then along both columns of `directions` (3, 2)."""
    middle = start + first * directions[:, 0]
    return [start, middle, middle + second * directions[:, 1]]


def build_person(build: Builder, person: Person) -> Array:
    """Add the person to `build`; returns the keypoints (18, 3) in world coordinates."""
    bones = skeleton(person)
    _legs(build, person, bones)
    _trunk(build, person, bones)
    _arms(build, person, bones)
    _head(build, person, bones)
    return build.world(bones.joints)


def _legs(build: Builder, person: Person, bones: Skeleton) -> None:
    """Legs and shoes."""
    bare = person.garment == "dress"
    cloth = person.skin if bare else person.legs
    for hip, knee, ankle in (bones.joints[8:11], bones.joints[11:14]):
        build.capsule(hip, knee, 0.088, 0.072, cloth, "person")
        build.capsule(knee, ankle, 0.070, 0.055, cloth, "person")
        shin = unit(ankle - knee)
        toe = unit(np.array((0, 0, 1.0)) - shin * shin[2] * 0.9)
        build.capsule(ankle - toe * 0.02, ankle + toe * 0.115 - (0, 0.012, 0), 0.062, 0.055, "dark", "person")


def _trunk(build: Builder, person: Person, bones: Skeleton) -> None:
    """Torso, shoulders, neck, and the skirt of a coat or dress."""
    pelvis, torso, top = bones.pelvis, bones.torso, person.top
    neck = pelvis + torso @ (0, CHEST, 0)
    facing = tuple(torso[:, 2])
    seat, chest = np.add(pelvis, (0, 0.01, 0)), neck - torso @ (0, 0.13, 0)
    build.capsule(seat, chest, 0.145, 0.158, top, "person", flat=0.84, facing=facing)
    right, left = (neck + torso @ (side * 0.120, -0.070, 0) for side in (-1, 1))
    build.capsule(right, left, 0.096, 0.096, top, "person", flat=0.95, facing=facing)
    build.capsule(neck - torso @ (0, 0.03, 0), neck + torso @ (0, 0.08, 0.005), 0.062, 0.058, person.skin, "person")
    sitting = bool(person.seat)
    if person.garment in ("coat", "dress"):
        drop, wide = (0.30, 0.225) if person.garment == "coat" else (0.44, 0.31)
        waist = pelvis + torso @ (0, 0.10, 0)
        if sitting:
            for hip, knee in ((bones.joints[8], bones.joints[9]), (bones.joints[11], bones.joints[12])):
                build.capsule(hip, np.add(knee, (0, -0.01, 0.02)), 0.115, 0.098, top, "person")
        else:
            legs = (bones.joints[9] + bones.joints[12]) / 2 - pelvis
            hem = pelvis + unit(legs * (0.6, 1, 0.5)) * drop
            build.frustum(hem, waist, wide, 0.150, top, "person", flat=0.88)
    else:
        build.frustum(pelvis - (0, 0.085, 0), np.add(pelvis, (0, 0.05, 0)), 0.152, 0.150, top, "person", flat=0.84)
    front = 0.150 * 0.84
    if person.garment in ("coat", "jacket"):
        light = "dark" if person.top in ("white", "yellow", "pink", "grey") else "cream"
        for height in (0.05, 0.16, 0.27):
            build.ellipsoid(pelvis + torso @ (0, height, front + 0.004), 0.021, light, "person")
        build.capsule(neck + torso @ (-0.05, 0.0, 0.03), neck + torso @ (0.05, 0.0, 0.03), 0.062, 0.062, top, "person")


def _arms(build: Builder, person: Person, bones: Skeleton) -> None:
    """Sleeves, forearms and hands."""
    short = person.garment in ("dress", "shirt")
    for shoulder, elbow, wrist in (bones.joints[2:5], bones.joints[5:8]):
        build.capsule(shoulder, elbow, 0.072, 0.058, person.top, "person")
        build.capsule(
            elbow,
            wrist,
            0.054 if short else 0.060,
            0.044 if short else 0.056,
            person.skin if short else person.top,
            "person",
        )
        build.ellipsoid(wrist + unit(wrist - elbow) * 0.035, 0.056, person.skin, "person")


def _head(build: Builder, person: Person, bones: Skeleton) -> None:
    """Head, face, hair and hat."""
    center, head, r = bones.head_center, bones.head, HEAD_RADIUS

    def at(x: float, y: float, z: float) -> Array:
        """A place in the head's own frame."""
        return center + head @ (x, y, z)

    build.ellipsoid(center, (r * 0.97, r, r * 0.95), person.skin, "person", rotation=head)
    for side in (-1, 1):
        build.ellipsoid(at(side * 0.067, 0.024, 0.164), (0.024, 0.033, 0.014), "eye", "person", rotation=head)
        build.ellipsoid(at(side * 0.106, -0.048, 0.140), (0.034, 0.025, 0.012), "cheek", "person", rotation=head)
        build.ellipsoid(at(side * 0.184, -0.01, 0.0), (0.027, 0.045, 0.038), person.skin, "person", rotation=head)
    build.ellipsoid(at(0, -0.02, 0.182), 0.026, person.skin, "person")
    build.ellipsoid(at(0, -0.084, 0.158), (0.042, 0.013, 0.014), "mouth", "person", rotation=head)
    build.ellipsoid(at(0, 0.046, -0.043), (r * 1.05, r * 1.0, r * 0.98), person.hair, "person", rotation=head)
    if person.long_hair:
        build.ellipsoid(at(0, -0.10, -0.092), (0.168, 0.20, 0.105), person.hair, "person", rotation=head)
    if person.hat == "beanie":
        build.ellipsoid(at(0, 0.100, -0.013), (r * 1.08, 0.136, r * 1.06), person.hat_color, "person", rotation=head)
        build.ellipsoid(at(0, 0.255, -0.013), 0.056, "cream", "person")
    elif person.hat == "brim":
        up = head[:, 1]
        base = at(0, 0.106, -0.01)
        build.frustum(base, base + up * 0.030, 0.300, 0.288, person.hat_color, "person")
        build.frustum(base, base + up * 0.180, 0.188, 0.152, person.hat_color, "person")
    elif not person.long_hair:
        build.ellipsoid(at(0.03, 0.158, 0.055), (0.12, 0.06, 0.10), person.hair, "person", rotation=head)
