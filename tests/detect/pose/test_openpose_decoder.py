"""From maps to people: properties for any maps, matching of limbs, assembly of people."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cn.detect.pose.limbs import LINKS, Connection, find_connections
from cn.detect.pose.openpose_decoder import LIGHT, OPENPOSE, assemble_openpose, decode
from cn.detect.pose.peaks import MAX_PEAKS, Peaks, find_peaks
from cn.detect.pose.upsampled_maps import Fields, ScaledMaps, cubic_matrix
from tests.helpers.model_helpers import uniform
from tests.helpers.pose_fields import maps_of, placed


def peaks_in(fields):
    """With OpenPose's settings."""
    return find_peaks(fields, sigma=3.0, strict=False, min_distance=0.0)


def decoded(maps, stride=4):
    """People in maps (19 and 38, h, w), upsampled by `stride`."""
    heat, affinities = maps
    down, across = (cubic_matrix(cells, cells * stride) for cells in heat.shape[1:])
    return decode(Fields([ScaledMaps(heat, down, across)]), Fields([ScaledMaps(affinities, down, across)]), OPENPOSE)


def some_people(seed, count=3):
    rng = np.random.default_rng(seed)
    places = [(20 + 90 * n + rng.uniform(-8, 8), rng.uniform(15, 60), rng.uniform(80, 130)) for n in range(count)]
    return np.array([placed(int(rng.integers(12)), *place) for place in places])


def sorted_people(people):
    return people[np.lexsort(people[:, :, 0].T)]


@settings(max_examples=12, deadline=None)
@given(st.integers(0, 1000), st.integers(0, 5), st.integers(0, 5))
def test_shifted_maps_give_shifted_people(seed, down, right):
    maps = maps_of(some_people(seed), (50, 80), 4)
    # Zeros near the border, where cubic interpolation replicates the last cell.
    before = [np.pad(m * (np.abs(m) > 1e-3), ((0, 0), (4, 9), (4, 9))) for m in maps]
    after = [np.roll(m, (down, right), axis=(1, 2)) for m in before]
    (people, scores), (moved, same_scores) = decoded(before), decoded(after)
    assert len(people)
    there = people[..., 2:] > 0
    assert np.allclose(moved, people + there * np.array([4 * right, 4 * down, 0]), atol=1e-9)
    assert np.allclose(scores, same_scores)


@settings(max_examples=12, deadline=None)
@given(st.integers(0, 1000), st.permutations(range(4)))
def test_the_order_of_people_does_not_matter(seed, order):
    people = some_people(seed, count=4)
    first, second = (decoded(maps_of(p, (50, 100), 4))[0] for p in (people, people[order]))
    assert len(first)
    assert np.allclose(sorted_people(first), sorted_people(second), atol=1e-5)


def test_mirrored_maps_give_mirrored_peaks():
    heat, _ = maps_of(some_people(3), (50, 80), 4)
    eye = np.eye(50), np.eye(80)
    plain, mirrored = (peaks_in(Fields([ScaledMaps(h, *eye)])) for h in (heat, heat[:, :, ::-1]))
    for one, other in zip(plain, mirrored, strict=True):
        assert sorted(zip(one.y, one.x, strict=True)) == sorted(zip(other.y, 79 - other.x, strict=True))


def test_noise_is_bounded():
    noise = np.abs(uniform("noise", (19, 120, 120)).numpy())
    maps = (noise, uniform("flow", (38, 120, 120)).numpy())
    fields = Fields([ScaledMaps(noise, np.eye(120), np.eye(120))])
    peaks = peaks_in(fields)
    assert max(len(found.x) for found in peaks) <= MAX_PEAKS
    people, scores = decoded(maps, stride=1)
    assert people.shape == (len(scores), 18, 3)
    assert np.isfinite(people).all()


def test_the_highest_of_too_many_peaks_are_kept(monkeypatch):
    heat = np.zeros((18, 40, 60))
    for number in range(5):
        heat[0, 20, 6 + 12 * number] = 10 + number
    fields = Fields([ScaledMaps(heat, np.eye(40), np.eye(60))])
    assert peaks_in(fields)[0].x.tolist() == [6, 18, 30, 42, 54]
    monkeypatch.setattr("cn.detect.pose.peaks.MAX_PEAKS", 3)
    found = peaks_in(fields)
    assert found[0].x.tolist() == [30, 42, 54]
    assert found[0].heat.tolist() == [12, 13, 14]
    assert len(found[1].x) == 0


@pytest.mark.parametrize(("decoder", "kept", "lost"), [(OPENPOSE, 0.24, 0.16), (LIGHT, 0.13, 0.11)])
def test_people_with_a_low_score_are_dropped(decoder, kept, lost):
    """Confidence and affinity together must reach 0.4 per joint, or 0.2; both have the same strength here."""
    heat, affinities = maps_of(some_people(1, count=1), (50, 40), 4)
    eye = np.eye(50), np.eye(40)
    for strength, count in ((kept, 1), (lost, 0)):
        maps = (strength * heat, strength * affinities)
        people, _ = decode(*(Fields([ScaledMaps(m, *eye)]) for m in maps), replace(decoder, sigma=0.0))
        assert len(people) == count


def test_equal_neighbors_are_both_peaks_as_published():
    heat = np.zeros((18, 30, 30))
    heat[2, 15, 14:16] = 20
    assert peaks_in(Fields([ScaledMaps(heat, np.eye(30), np.eye(30))]))[2].x.tolist() == [14, 15]


def paf_along(*segments, size=60):
    """Part affinity field of right shoulder to right elbow: to the right, along each ((y, x0, x1), strength)."""
    maps = np.zeros((38, size, size))
    for (y, x0, x1), strength in segments:
        maps[14, y, x0 : x1 + 1] = strength
    return Fields([ScaledMaps(maps, np.eye(size), np.eye(size))])


def candidates(starts, ends):
    """Peaks (y, x) of right shoulder and right elbow only."""
    nothing = Peaks(np.array([], int), np.array([], int), np.array([]))
    places = {2: np.array(starts), 3: np.array(ends)}
    return [
        Peaks(places[joint][:, 1], places[joint][:, 0], np.ones(len(places[joint]))) if joint in places else nothing
        for joint in range(18)
    ]


def test_limbs_are_matched_greedily_with_each_end_used_once():
    # The first elbow lies between shoulder and second elbow: all three limbs there would be valid.
    fields = paf_along(((20, 10, 40), 0.9), ((30, 10, 22), 0.3))
    found = find_connections(fields, candidates([(20, 10), (30, 10)], [(20, 22), (20, 40), (30, 22)]), False)
    assert [len(some) for some in found] == [0, 0, 2] + [0] * 16
    assert [(limb.start, limb.end) for limb in found[2]] == [(0, 0), (1, 2)], "the first of equal ones"
    assert [limb.score for limb in found[2]] == pytest.approx([0.9, 0.3])


@pytest.mark.parametrize("gap", range(10))
def test_one_of_ten_points_may_fail_but_not_two(gap):
    """Points are 3 pixels apart. With any one of them failing it is a limb; if the next fails too it is not."""
    for gaps, count in (((gap,), 1), ((gap, (gap + 1) % 10), 0)):
        fields = paf_along(((20, 10, 37), 1.0))
        for number in gaps:
            fields.layers[0].maps[14, 20, 10 + 3 * number] = 0
        assert len(find_connections(fields, candidates([(20, 10)], [(20, 37)]), False)[2]) == count


def test_nothing_is_found_without_candidates():
    assert find_connections(paf_along(), candidates(np.zeros((0, 2), int), [(20, 22)]), False) == [[]] * 19


def connections(**found):
    """Connections by the indices of their links: l3=[(start, end)], each with score 1."""
    listed = [[] for _ in LINKS]
    for name, pairs in found.items():
        listed[int(name[1:])] = [Connection(a, b, 1.0) for a, b in pairs]
    return listed


def two_peaks():
    return [Peaks(np.zeros(3, int), np.zeros(3, int), np.full(3, 0.5)) for _ in range(18)]


def test_a_limb_merges_two_people_without_common_joints():
    # Neck to right shoulder, left elbow to left wrist; then neck to left shoulder and, between both, shoulder to elbow.
    poses = assemble_openpose(two_peaks(), connections(l0=[(0, 0)], l5=[(0, 0)], l1=[(0, 0)], l4=[(0, 0)]))
    assert len(poses) == 1
    assert [joint for joint, number in enumerate(poses[0].joints) if number == 0] == [1, 2, 5, 6, 7]
    # Five joints of 0.5 and four limbs of 1, but the limb that merges two people adds no joint.
    assert poses[0].count == 5
    assert poses[0].total == pytest.approx(5 * 0.5 + 4)


def test_a_limb_between_people_with_common_joints_extends_the_first():
    poses = assemble_openpose(two_peaks(), connections(l0=[(0, 0), (1, 1)], l2=[(0, 0), (1, 1)], l17=[(0, 2)]))
    assert [pose.joints[2] for pose in poses] == [0, 1]
    assert [pose.joints[16] for pose in poses] == [2, -1]
    # Links to the ears start no person.
    assert assemble_openpose(two_peaks(), connections(l17=[(0, 0)], l18=[(1, 1)])) == []
