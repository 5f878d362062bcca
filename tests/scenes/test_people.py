"""People: their joints are inside of their bodies, every pose stands on the ground, and hands of groups meet."""

from dataclasses import replace

import numpy as np
import pytest

from cn.scenes import describe, render
from cn.scenes.builder import Builder
from cn.scenes.choose_people import dress, random_pose, take_pose
from cn.scenes.geometry import turn
from cn.scenes.groups import GROUPS
from cn.scenes.models.people import build_person
from cn.scenes.models.poses import POSES
from cn.scenes.models.props import build_prop
from cn.scenes.models.skeleton import FOREARM, UPPER_ARM, Person, reach, skeleton
from cn.scenes.palette import Palette
from cn.scenes.primitives import BOX, FRUSTUM, SPHERE
from cn.scenes.roles import ROLES

RIGHT_WRIST, LEFT_WRIST = 4, 7
ANKLES = [10, 13]


def someone(seed: int = 0, who: str = "woman", role: str = "") -> Person:
    rng = np.random.default_rng(seed)
    return dress(rng, Palette(rng, ""), who, role)


def posed(name: str, seed: int) -> Person:
    rng = np.random.default_rng(seed)
    return take_pose(rng, someone(seed), name, Palette(rng, ""))


def outside(builder: Builder, point: np.ndarray) -> float:
    """How far outside of all solids a point is, in their own object space; 0 inside."""
    distances = []
    for solid in builder.solids:
        local = np.linalg.solve(solid.matrix[:, :3], point - solid.matrix[:, 3])
        if solid.kind == SPHERE:
            distances.append(np.linalg.norm(local) - 1)
        elif solid.kind == BOX:
            distances.append(np.abs(local).max() - 1)
        elif solid.kind == FRUSTUM:
            radius = (1 + solid.size[0]) / 2 + (solid.size[0] - 1) / 2 * local[1]
            distances.append(max(np.hypot(local[0], local[2]) - radius, abs(local[1]) - 1))
        else:
            length, r0, r1 = solid.size
            along = np.clip(local[1] / length, 0, 1)
            distances.append(np.linalg.norm(local - (0, along * length, 0)) - (r0 + (r1 - r0) * along))
    return float(max(0.0, min(distances)))


@pytest.mark.parametrize("name", POSES)
def test_every_pose_has_its_joints_inside_and_stands_on_the_ground(name: str):
    for seed in range(2):
        person = posed(name, seed)
        build = Builder()
        joints = build_person(build, person)
        build_prop(build, person)
        assert joints.shape == (18, 3)
        for joint in range(14):  # eyes and ears lie on the surface
            assert outside(build, joints[joint]) < 0.05, (name, joint)
        lowest = min(float(s.matrix[1, 3]) for s in build.solids)
        assert lowest > -0.15
        if not person.seat and not person.lift:
            assert joints[:, 1].min() < 0.26, "something touches the ground"


def test_poses_vary_from_person_to_person():
    joints = np.stack([skeleton(posed("dancing", seed)).joints for seed in range(12)])
    assert joints[:, [RIGHT_WRIST, LEFT_WRIST]].std(axis=0).max() > 0.1


def test_random_poses_are_plausible_and_fill_the_space():
    rng = np.random.default_rng(0)
    skeletons = [skeleton(random_pose(rng, someone(3))) for _ in range(60)]
    joints = np.stack([s.joints for s in skeletons])
    assert joints[:, ANKLES, 1].min() == pytest.approx(0.07), "a foot stands on the ground"
    assert (joints[:, ANKLES, 1].min(axis=1) < 0.6).all()
    assert (joints[:, 0, 1] > joints[:, [8, 11], 1].max(axis=1)).all(), "the head is above the hips"
    assert np.ptp(joints[:, RIGHT_WRIST], axis=0).min() > 0.5


def test_a_hand_reaches_for_a_point():
    person = someone()
    for arm, wrist in ((0, RIGHT_WRIST), (1, LEFT_WRIST)):
        near = skeleton(person).joints[(2, 5)[arm]] + (0.05, -0.2, 0.25)
        np.testing.assert_allclose(skeleton(reach(person, arm, near)).joints[wrist], near, atol=1e-6)
        far = skeleton(reach(person, arm, np.add(near, (0, 0, 9)))).joints
        assert np.linalg.norm(far[wrist] - far[wrist - 2]) == pytest.approx(UPPER_ARM + FOREARM, abs=1e-3)


@pytest.mark.parametrize(
    "name", ["shaking hands", "high five", "holding hands", "dancing together", "circle", "family"]
)
def test_hands_of_groups_meet(name: str):
    for seed in range(4):
        rng = np.random.default_rng(seed)
        members = GROUPS[name][1](rng, Palette(rng, ""))
        hands = []
        for m in members:
            bones = skeleton(m.person).joints
            for wrist in (RIGHT_WRIST, LEFT_WRIST):
                along = bones[wrist] - bones[wrist - 1]
                hand = bones[wrist] + along / np.linalg.norm(along) * 0.05
                hands.append(np.array(m.offset) + turn(m.heading) @ hand * m.scale)
        others = [[b for k, b in enumerate(hands) if k // 2 != i // 2] for i in range(len(hands))]
        met = [min(np.linalg.norm(a - b) for b in rest) < 0.13 for a, rest in zip(hands, others, strict=True)]
        expected = {"circle": 2 * len(members), "dancing together": 4}.get(name, 2 * (len(members) - 1))
        assert sum(met) >= expected


@pytest.mark.parametrize("role", ROLES)
def test_every_role_can_be_drawn(role: str):
    spec = ROLES[role]
    for who in spec.who:
        person = someone(1, who, role)
        assert person.who == who
        assert person.top in spec.top
        own = shapes(person) - shapes(replace(person, role="", hat="none", accessory=""))
        assert bool(own) == (role != "football player"), "a football player has shirt and shorts only"


def shapes(person: Person) -> set[tuple[bytes, bytes]]:
    """Places and colors of all solids of a person."""
    build = Builder()
    build_person(build, person)
    return {(solid.matrix.tobytes(), solid.color.tobytes()) for solid in build.solids}


def test_people_are_large_and_groups_complete():
    groups = closeups = scenes = 0
    for index in range(260):
        scene = describe(8, index)
        people = [i for i in scene.items if i.person]
        if not people:
            continue
        scenes += 1
        groups += scene.group != ""
        closeups += scene.framing != "whole"
        assert 2 <= len(people) <= 5 or not scene.group
        if index % 4:
            continue
        points = render(scene, 64).keypoints
        if scene.framing == "whole":
            assert (points[..., 2] > 0).mean() > 0.97, "all joints are in the image"
        else:
            assert np.ptp(points[0, [16, 17], 0]) > 10 or abs(people[0].person.head_turn) > 0.2
    assert groups / scenes > 0.27
    assert 0.1 < closeups / scenes < 0.3
