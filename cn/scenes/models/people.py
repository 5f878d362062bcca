"""People: the body and the OpenPose keypoints both come from the same skeleton; clothes are built around it."""

import numpy as np

from cn.scenes.builder import CLOTH_CHECKS, CLOTH_DOTS, CLOTH_STRIPES, PLAIN, UNIT_CLOTH, Builder
from cn.scenes.geometry import Array, unit
from cn.scenes.models.faces import build_head
from cn.scenes.models.outfits import build_outfit
from cn.scenes.models.skeleton import CHEST, Person, Skeleton, skeleton

PATTERNS = {"plain": PLAIN, "stripes": CLOTH_STRIPES, "dots": CLOTH_DOTS, "checks": CLOTH_CHECKS}
SHORT_SLEEVES = ("dress", "shirt", "skirt", "shorts")
LONG_SKIRTS = {"coat": (0.30, 0.225), "dress": (0.44, 0.31), "robe": (0.62, 0.30), "skirt": (0.34, 0.27)}
"""Garment → how far its skirt reaches below the pelvis and the radius of its hem, meters."""


def build_person(build: Builder, person: Person) -> Array:
    """Add the person to `build`; returns the keypoints (18, 3) in world coordinates."""
    bones = skeleton(person)
    _legs(build, person, bones)
    _trunk(build, person, bones)
    if person.garment in LONG_SKIRTS and person.role != "ballerina":
        _skirt(build, person, bones)
    _arms(build, person, bones)
    build_outfit(build, person, bones)
    build_head(build, person, bones)
    return build.world(bones.joints)


def cloth(person: Person, frustum: bool = False) -> int:
    """The pattern of the top; that of frustums has a number of its own."""
    pattern = PATTERNS[person.pattern]
    return pattern + UNIT_CLOTH if frustum and pattern != PLAIN else pattern


def _legs(build: Builder, person: Person, bones: Skeleton) -> None:
    """Legs and shoes."""
    bare = person.garment in ("dress", "skirt")
    thigh = person.skin if bare else person.top if person.garment == "robe" else person.legs
    shin_color = person.skin if bare or person.garment == "shorts" else thigh
    ahead = bones.body[:, 2]
    for hip, knee, ankle in (bones.joints[8:11], bones.joints[11:14]):
        if person.garment == "shorts":
            middle = hip + (knee - hip) * 0.72
            build.capsule(hip, knee, 0.080, 0.068, person.skin, "person")
            build.capsule(hip, middle, 0.096, 0.094, thigh, "person")
        else:
            build.capsule(hip, knee, 0.088, 0.072, thigh, "person")
        build.capsule(knee, ankle, 0.070, 0.055, shin_color, "person")
        shin = unit(ankle - knee)
        toe = unit(ahead - shin * (shin @ ahead) * 0.9)
        sole = shin * 0.012
        build.capsule(ankle - toe * 0.02, ankle + toe * 0.115 + sole, 0.064, 0.057, person.shoes, "person")


def _trunk(build: Builder, person: Person, bones: Skeleton) -> None:
    """Torso, shoulders and neck."""
    pelvis, torso, top = bones.pelvis, bones.torso, person.top
    neck = pelvis + torso @ (0, CHEST, 0)
    facing, pattern = tuple(torso[:, 2]), cloth(person)
    seat, chest = pelvis + torso @ (0, 0.01, 0), neck - torso @ (0, 0.13, 0)
    build.capsule(seat, chest, 0.145, 0.158, top, "person", flat=0.84, facing=facing, pattern=pattern)
    right, left = (neck + torso @ (side * 0.120, -0.070, 0) for side in (-1, 1))
    build.capsule(right, left, 0.096, 0.096, top, "person", flat=0.95, facing=facing)
    build.capsule(neck - torso @ (0, 0.03, 0), neck + torso @ (0, 0.08, 0.005), 0.062, 0.058, person.skin, "person")
    build.ellipsoid(neck - torso @ (0, 0.045, 0), (0.125, 0.068, 0.088), top, "person", rotation=torso)
    if person.garment not in LONG_SKIRTS:
        below = 0.0 if person.garment in ("shirt", "shorts") else 0.07
        hem, waist = pelvis - bones.body @ (0, below + 0.01, 0), pelvis + torso @ (0, 0.09, 0)
        build.ellipsoid(pelvis, (0.153, 0.120, 0.128), person.legs, "person", rotation=bones.body)
        build.frustum(hem, waist, 0.160, 0.150, top, "person", flat=0.86, facing=facing, pattern=cloth(person, True))
    if person.garment in ("coat", "jacket") and person.accessory not in ("apron", "scarf"):
        light = "dark" if top in ("white", "yellow", "pink", "grey") else "cream"
        for height in (0.05, 0.16, 0.27):
            build.ellipsoid(pelvis + torso @ (0, height, 0.130), 0.021, light, "person")
    if person.garment in ("coat", "jacket", "robe"):
        build.capsule(neck + torso @ (-0.05, 0.0, 0.03), neck + torso @ (0.05, 0.0, 0.03), 0.062, 0.062, top, "person")


def _skirt(build: Builder, person: Person, bones: Skeleton) -> None:
    """The lower part of a coat, dress, robe or skirt; it follows thighs that are raised."""
    pelvis, torso, joints = bones.pelvis, bones.torso, bones.joints
    color = person.legs if person.garment == "skirt" else person.top
    pattern = PLAIN if person.garment == "skirt" else cloth(person, True)
    drop, wide = LONG_SKIRTS[person.garment]
    waist = pelvis + torso @ (0, 0.10, 0)
    down = -bones.body[:, 1]
    thighs = [unit(joints[j + 1] - joints[j]) for j in (8, 11)]
    if person.seat or min(float(t @ down) for t in thighs) < 0.62:
        share = min(1.0, drop / 0.36)
        for hip, knee in ((joints[8], joints[9]), (joints[11], joints[12])):
            end = hip + (knee - hip) * share
            build.capsule(hip, end, 0.115, 0.102, color, "person", pattern=PLAIN if pattern == PLAIN else cloth(person))
        return
    legs = (joints[9] + joints[12]) / 2 - pelvis
    if person.garment == "robe":
        legs = (joints[10] + joints[13]) / 2 - pelvis
    hem = pelvis + unit(legs) * drop
    facing = tuple(torso[:, 2])
    spread = wide + 0.25 * max(0.0, float(np.linalg.norm(joints[9] - joints[12])) - 0.25)
    build.frustum(hem, waist, spread, 0.150, color, "person", flat=0.88, facing=facing, pattern=pattern)


def _arms(build: Builder, person: Person, bones: Skeleton) -> None:
    """Sleeves, forearms and hands."""
    short = person.garment in SHORT_SLEEVES
    lower = person.skin if short else person.top
    glove = {"astronaut": person.top, "knight": "steel", "clown": "eye_white"}.get(person.role, person.skin)
    r0, r1 = (0.054, 0.044) if short else (0.060, 0.056)
    pattern = cloth(person)
    for shoulder, elbow, wrist in (bones.joints[2:5], bones.joints[5:8]):
        build.capsule(shoulder, elbow, 0.072, 0.058, person.top, "person", pattern=pattern)
        build.capsule(elbow, wrist, r0, r1, lower, "person", pattern=PLAIN if short else pattern)
        along = unit(wrist - elbow)
        build.ellipsoid(wrist + along * 0.035, 0.056, glove, "person")
        inward = np.cross(along, bones.torso[:, 1])
        thumb = unit(bones.torso[:, 2] + 0.4 * inward)
        build.capsule(wrist + along * 0.03, wrist + along * 0.055 + thumb * 0.055, 0.022, 0.018, glove, "person")
