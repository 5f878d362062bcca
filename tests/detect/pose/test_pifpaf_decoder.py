"""OpenPifPaf's decoder: its parts against plain rewritings, the whole against the original and against known people."""

import itertools
import math
import time

import numpy as np
import pytest

from cn.detect.pose.coco_skeleton import LIMBS
from cn.detect.pose.pifpaf_decoder import _connect, _follow, _Occupied, decode
from cn.detect.pose.pifpaf_fields import Connections, JointMap, find_connections, find_seeds
from tests.golden.make_detectors_pifpaf import DECODED, FILE, people
from tests.helpers.pifpaf_fields import apart, bodies, crowd, fields, placed, scene_people, scenes_with

EMPTY = np.zeros((0, 17, 3))


def inside(truth, height=513, width=513):
    """Which joints (n, 17) lie in the picture."""
    x, y = truth[..., 0], truth[..., 1]
    return (truth[..., 2] > 0) & (x >= 0) & (y >= 0) & (x <= width - 1) & (y <= height - 1)


def recovered(truth, found, seen):
    """How many of the `seen` joints of `truth` were found within 4 pixels, each person being taken for one only."""
    best = 0
    for order in itertools.permutations(range(len(found)), min(len(found), len(truth))) if len(found) < 4 else [None]:
        pairs = enumerate(order) if order is not None else enumerate(_nearest(truth, found))
        hits = sum(int((_close(truth[i], found[j]) & seen[i]).sum()) for i, j in pairs if j is not None)
        best = max(best, hits)
    return best


def hanging_together(seen):
    """The most of the `seen` joints (17,) that limbs join to each other."""
    best = np.zeros(17, bool)
    for start in np.flatnonzero(seen):
        reached = np.arange(17) == start
        for _ in range(17):
            for a, b in LIMBS:
                if seen[a] and seen[b] and (reached[a] or reached[b]):
                    reached[[a, b]] = True
        best = max(best, reached, key=np.sum)
    return best


def _close(truth, person):
    return (person[:, 2] > 0) & (np.hypot(*(person[:, :2] - truth[:, :2]).T) <= 4)


def _nearest(truth, found):
    """For each true person the one of those found that shares most of its joints; nobody twice."""
    left = set(range(len(found)))
    for body in truth:
        best = max(left, key=lambda j: _close(body, found[j]).sum(), default=None)
        left.discard(best)
        yield best


# The original


def golden(name):
    with np.load(FILE) as file:
        return file[name]


@pytest.mark.parametrize("name", DECODED)
def test_people_are_those_of_the_original_decoder(name):
    size, noise = DECODED[name]
    known = golden(f"decoded/{name}/known").astype(np.float64)
    ours, theirs = decode(*fields(known, *size, noise=noise)), golden(f"decoded/{name}")
    assert ours.people.shape == theirs.shape
    assert np.array_equal(ours.people[..., 2] > 0, theirs[..., 2] > 0)
    assert np.abs(np.where(theirs[..., 2:] > 0, ours.people - theirs, 0)).max(initial=0) < 1e-3
    assert np.abs(ours.scores - golden(f"decoded/{name}/scores")).max(initial=0) < 1e-4


def test_the_people_of_those_cases_are_still_the_same():
    for name in DECODED:
        assert np.allclose(people(name), golden(f"decoded/{name}/known"), atol=1e-3), name


# Known people


@pytest.mark.parametrize("noise", [0.0, 0.06])
def test_the_people_of_scenes_are_recovered(noise):
    hits = total = 0
    for number in [*scenes_with(12, people=1), *scenes_with(8, people=2)]:
        truth = scene_people(number)
        found = decode(*fields(truth, noise=noise, seed=number))
        assert len(found.people) == len(truth), number
        seen = inside(truth)
        hits, total = hits + recovered(truth, found.people, seen), total + int(seen.sum())
    assert total > 400
    assert hits >= 0.99 * total


@pytest.mark.parametrize("noise", [0.0, 0.06])
def test_ten_people_are_recovered(noise):
    truth = crowd()
    found = decode(*fields(truth, noise=noise))
    assert len(found.people) == 10
    seen = inside(truth)
    assert seen.sum() > 160
    assert apart(truth) > 1
    assert recovered(truth, found.people, seen) >= 0.99 * seen.sum()


def test_people_who_overlap_are_told_apart():
    # Somebody in front of somebody: limbs cross, and most joints of the one lie within the body of the other.
    hits = total = 0
    for number, (a, b) in enumerate(itertools.permutations(bodies(10), 2)):
        truth = np.array([placed(a, 120, 60, 380), placed(b, 180, 75, 380)])
        if number % 3 or apart(truth) < 1.25:
            continue
        found = decode(*fields(truth, noise=0.05))
        assert len(found.people) == 2
        hits, total = hits + recovered(truth, found.people, inside(truth)), total + int(inside(truth).sum())
    assert total > 500
    assert hits >= 0.99 * total


@pytest.mark.parametrize(("x", "y"), [(-50, 40), (100, -80), (180, 60), (90, 130)])
def test_what_is_cut_off_is_left_out_and_the_rest_found(x, y):
    truth = placed(bodies(1)[0], x, y, 240)[None]
    seen = inside(truth, 257, 257)
    assert 5 <= seen.sum() < 17
    # An arm whose shoulder is cut off hangs on nothing.
    reachable = hanging_together(seen[0])[None]
    assert reachable.sum() >= 5
    found = decode(*fields(truth, 257, 257, noise=0.03))
    assert len(found.people) == 1
    assert recovered(truth, found.people, reachable) == reachable.sum()
    far = np.abs(truth[0, :, :2] - 128).max(axis=1) > 128 + 40
    assert not found.people[0, far & ~seen[0], 2].any(), "what is far outside cannot be seen"


@pytest.mark.parametrize("noise", [0.0, 0.3])
def test_where_nobody_is_nobody_is_found(noise):
    found = decode(*fields(EMPTY, 257, 513, noise=noise))
    assert found.people.shape == (0, 17, 3)
    assert found.scores.shape == (0,)


def test_a_joint_that_is_hidden_is_not_invented():
    truth = placed(bodies(1)[0], 100, 60, 300)[None].copy()
    truth[0, [9, 16], 2] = 0
    found = decode(*fields(truth))
    assert (found.people[0, :, 2] > 0).tolist() == (truth[0, :, 2] > 0).tolist()
    assert not found.people[0, [9, 16]].any()


# Properties


@pytest.mark.parametrize(("cells_x", "cells_y"), [(0, 6), (5, 0), (7, 9)])
def test_shifted_fields_give_shifted_people(cells_x, cells_y):
    cif, caf = fields(np.array([placed(body, 30 + 120 * i, 20, 200) for i, body in enumerate(bodies(2))]), 385, 385)
    before = decode(cif, caf)
    moved = []
    for field, places in ((cif, 1), (caf, 2)):
        field = np.roll(field, (cells_y, cells_x), axis=(2, 3))
        for place in range(places):
            field[:, 2 + 2 * place] += cells_x
            field[:, 3 + 2 * place] += cells_y
        moved.append(field)
    after = decode(*moved)
    assert len(before.people) == 2
    assert np.allclose(after.people, before.people + np.array([8 * cells_x, 8 * cells_y, 0]), atol=1e-2)
    assert np.allclose(after.scores, before.scores, atol=1e-5)


@pytest.mark.parametrize("seed", range(3))
def test_the_order_of_people_does_not_matter(seed):
    truth = crowd()
    mixed = truth[np.random.default_rng(seed).permutation(10)]
    one, other = decode(*fields(truth)), decode(*fields(mixed))
    assert np.allclose(one.people, other.people, atol=1e-3)


def test_people_come_by_their_scores_and_those_by_their_joints():
    truth = crowd()
    truth[3, 7:, 2] = 0
    found = decode(*fields(truth, noise=0.05))
    assert (np.diff(found.scores) <= 0).all()
    for person, score in zip(found.people, found.scores, strict=True):
        ranked = sorted(person[:, 2], reverse=True)
        assert score == pytest.approx((3 * sum(ranked[:3]) + sum(ranked[3:])) / 23)
    assert ((found.people[..., 2] >= 0) & (found.people[..., 2] <= 1)).all()


def test_fewer_than_three_sure_joints_are_nobody():
    truth = placed(bodies(1)[0], 100, 60, 300)[None].copy()
    truth[0, [j for j in range(17) if j not in (5, 6)], 2] = 0
    assert len(decode(*fields(truth)).people) == 0
    truth[0, [7, 8, 11], 2] = 1
    assert len(decode(*fields(truth)).people) == 1


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 3e38, -3e38, 1e4])
@pytest.mark.parametrize("channel", [2, 3, 4, 5, 6, 7])
def test_numbers_that_make_no_sense_do_no_harm(channel, value):
    truth = placed(bodies(1)[0], 60, 30, 200)[None]
    cif, caf = fields(truth, 257, 257)
    rng = np.random.default_rng(channel)
    for field in (cif, caf):
        if channel < field.shape[1]:
            spoilt = (rng.random(field[:, 1].shape) < 0.002) & (field[:, 1] < 0.1)
            assert spoilt.any()
            field[:, channel][spoilt] = value
            field[:, 1][spoilt] = 0.9
    found = decode(cif, caf)
    assert recovered(truth, found.people[:1], inside(truth, 257, 257)) >= 16
    assert np.isfinite(found.people).all()


def test_fields_of_one_cell_are_fields():
    assert len(decode(np.ones((17, 5, 1, 1), np.float32), np.ones((19, 8, 1, 1), np.float32)).people) <= 1


# The parts


def cif_of(*cells, height=6, width=7):
    """CIF with (joint, row, column, confidence, x, y, size) in it and zeros elsewhere."""
    cif = np.zeros((17, 5, height, width), np.float32)
    for joint, row, column, *values in cells:
        cif[joint, 1:, row, column] = values
    return cif


def plain_map(cif, stride):
    """The joints' map, pixel by pixel."""
    height, width = ((side - 1) * stride + 1 for side in cif.shape[2:])
    values = np.zeros((17, height, width))
    for joint, row, column in np.argwhere(cif[:, 1] >= 0.3):
        confidence, x, y, size = (float(v) for v in cif[joint, 1:, row, column])
        x, y, sigma = x * stride, y * stride, max(1.0, 0.5 * size * stride)
        for j in range(height):
            for i in range(width):
                square = (i - x) ** 2 + (j - y) ** 2
                if square <= sigma**2:
                    nearest = abs(i - x) < 0.5 and abs(j - y) < 0.5
                    gauss = 1 if nearest else (1 - 0.5 * square / sigma**2 / 8) ** 8
                    assert nearest or abs(gauss - math.exp(-0.5 * square / sigma**2)) < 0.02
                    values[joint, j, i] += confidence / 16 * gauss
    return np.minimum(values, 1)


def test_the_map_adds_bumps_up_as_a_plain_loop_does():
    rng = np.random.default_rng(1)
    cif = rng.random((17, 5, 6, 7)).astype(np.float32)
    cif[:, 1] = cif[:, 1] ** 3
    cif[:, 2] = cif[:, 2] * 9 - 1.5
    cif[:, 3] = cif[:, 3] * 8 - 1.5
    cif[:, 4] *= 2.2
    # Many at one place: the map ends at 1.
    cif[0, 1:, :5, :5] = np.array([0.9, 3.13, 2.2, 1.0])[:, None, None]
    expected = plain_map(cif, 8)
    joints = JointMap(cif, 8)
    ours = np.minimum(joints.values.reshape(17, joints.height, joints.width), 1)
    assert ours.shape == expected.shape
    assert np.abs(ours - expected).max() < 1e-4
    assert expected[0].max() == 1
    assert 0.01 < (expected > 0).mean() < 0.9


def test_the_map_is_read_at_the_nearest_pixel():
    corners = [(2, 5, i, 0.8, 6.0 * (i % 2), 5.0 * (i // 2), 0.01) for i in range(4)]
    joints = JointMap(cif_of((2, 0, 0, 0.8, 3.0, 2.0, 0.01), *corners), 8)
    at = [
        float(joints.at(np.array([joint]), np.float32([x]), np.float32([y]))[0])
        for joint, x, y in [
            (2, 24, 16), (2, 24.4, 15.6), (2, 24.6, 16), (3, 24, 16),
            (2, -0.4, 0), (2, -0.6, 0), (2, 48.4, 40.4), (2, 48.6, 40), (2, 48, 40.6), (2, np.nan, 0),
        ]
    ]  # fmt: skip
    assert at[:2] == pytest.approx([0.05, 0.05])
    assert 0.025 < at[2] < 0.035, "one pixel off is one deviation off"
    assert at[3:] == pytest.approx([0, 0.05, 0, 0.05, 0, 0, 0])
    joints.values[:] = 7
    assert joints.at(np.array([3]), np.float32([1]), np.float32([1])).tolist() == [1], "no surer than sure"


def test_seeds_need_a_sure_cell_in_a_sure_place():
    sure = [(4, j, i, 0.9, 3.0, 2.0, 1.0) for j in range(4) for i in range(4)]
    cif = cif_of(*sure, (4, 5, 0, 0.21, 3.0, 2.0, 1.5), (4, 5, 1, 0.19, 3.0, 2.0, 1.0), (6, 0, 0, 0.9, 1.0, 1.0, 1.0))
    seeds = find_seeds(cif, JointMap(cif, 8), 8)
    # One alone is not enough: 0.9 · 0.9 / 16 + 0.1 · 0.9 is less than 0.2.
    assert seeds.joint.tolist() == [4] * 17
    assert seeds.score[:16] == pytest.approx(0.9 * 0.9 + 0.1 * 0.9)
    assert seeds.score[16] == pytest.approx(0.9 * 0.9 + 0.1 * 0.21)
    assert (seeds.x.tolist(), seeds.y.tolist()) == ([24.0] * 17, [16.0] * 17)
    assert seeds.size.tolist() == [8.0] * 16 + [12.0]


def test_connections_count_as_much_as_their_ends():
    first, second = LIMBS[8]
    cif = cif_of(*((second, j, i, 1.0, 5.0, 4.0, 1.0) for j in range(4) for i in range(4)))
    caf = np.zeros((19, 8, 6, 7), np.float32)
    caf[8, 1:, 2, 3] = 0.8, 1.0, 1.5, 5.0, 4.0, 0.5, 0.75
    caf[8, 1:, 2, 4] = 0.29, 1.0, 1.0, 5.0, 4.0, 0.5, 0.5
    caf[8, 1:, 0, 0] = 0.9, 0.5, 1.0, 5.0, 4.0, 0.5, 0.5
    forwards, backwards = find_connections(caf, JointMap(cif, 8), 8)
    assert first != second
    assert [len(way.x) for way in forwards] == [2 if limb == 8 else 0 for limb in range(19)]
    assert not any(len(way.x) for way in backwards), "nothing says that the other end is there"
    way = forwards[8]
    assert way.sorted_x == way.x.tolist() == [4.0, 8.0]
    assert way.y.tolist() == [8.0, 12.0]
    assert way.score == pytest.approx([0.9, 0.8])
    assert way.ends.tolist() == [[40.0, 32.0, 4.0], [40.0, 32.0, 6.0]]


def connections(*cells):
    """Connections of (x, y, score, end's x, y, size)."""
    table = np.array(sorted(cells), np.float32).reshape(-1, 6)
    return Connections(table[:, 0].tolist(), table[:, 0], table[:, 1], table[:, 2], table[:, 3:])


def test_one_connection_alone_counts_half():
    score, *end = _follow(connections((10, 20, 0.8, 50, 60, 7)), (1.0, 10.0, 20.0, 8.0))
    assert score == pytest.approx(0.4)
    assert end == [50, 60, 7]


def test_two_that_agree_are_blended():
    both = connections((10, 20, 0.9, 50, 60, 8), (10, 20, 0.6, 53, 60, 4), (10, 20, 0.3, 0, 0, 1))
    assert _follow(both, (1.0, 10.0, 20.0, 8.0)) == pytest.approx((0.75, 51.2, 60, 6.4))


@pytest.mark.parametrize("other", [(10, 20, 0.6, 54.1, 60, 8), (10, 20, 0.44, 50, 60, 8), (14.1, 20, 0.9, 50, 60, 8)])
def test_two_that_do_not_agree_are_not_blended(other):
    found = _follow(connections((10, 20, 0.9, 50, 60, 8), other), (1.0, 10.0, 20.0, 8.0))
    assert found == pytest.approx((0.45, 50, 60, 8))


def test_two_that_are_hardly_there_are_not_blended():
    both = connections((10, 20, 0.015, 50, 60, 8), (10, 20, 0.0099, 52, 60, 8))
    assert _follow(both, (1.0, 10.0, 20.0, 8.0)) == pytest.approx((0.0075, 50, 60, 8))
    both = connections((10, 20, 0.015, 50, 60, 8), (10, 20, 0.0101, 52, 60, 8))
    assert _follow(both, (1.0, 10.0, 20.0, 8.0))[0] == pytest.approx(0.01255)


@pytest.mark.parametrize(("off", "goes"), [(0.0, True), (7.9, True), (8.1, False)])
def test_the_way_back_may_miss_by_the_size_of_the_start(off, goes):
    start = (0.8, 10.0, 20.0, 8.0)
    back = connections((50, 60, 0.9, 10 + off / 2, 20 - off / 2, 3))
    found = _connect(start, connections((10, 20, 0.9, 50, 60, 7)), back)
    assert (found is not None) == goes
    assert not goes or found == pytest.approx((math.sqrt(0.45 * 0.8), 50, 60, 7))
    assert _connect(start, connections((10, 20, 0.9, 50, 60, 7)), connections()) is None


@pytest.mark.parametrize(("size", "reach"), [(1.0, 4), (4.0, 4), (10.0, 10)])
def test_a_joint_takes_a_square_of_its_size_but_no_less_than_four_pixels(size, reach):
    occupied = _Occupied(64, 96)
    occupied.take(3, (1.0, 40.0, 30.0, size))
    across = [x for x in range(96) if occupied.has(3, (1.0, x, 30.0, 1.0))]
    down = [y for y in range(64) if occupied.has(3, (1.0, 40.0, y, 1.0))]
    assert (across[0], across[-1]) == (40 - reach, 40 + reach - 1)
    assert (down[0], down[-1]) == (30 - reach, 30 + reach - 1)
    assert not occupied.has(2, (1.0, 40.0, 30.0, size))
    occupied.take(3, (1.0, -50.0, 200.0, size))
    assert occupied.has(3, (1.0, -9.0, 99.0, size)), "what is outside counts for the nearest cell"


@pytest.mark.parametrize(("x", "y"), [(14.1, 20), (5.9, 20), (10, 24.1), (10, 15.9)])
def test_a_connection_that_begins_elsewhere_is_none(x, y):
    assert _follow(connections((x, y, 0.9, 50, 60, 8)), (1.0, 10.0, 20.0, 8.0)) is None
    assert _follow(connections(), (1.0, 10.0, 20.0, 8.0)) is None


def test_the_distance_of_the_start_counts():
    score = _follow(connections((12, 21, 0.9, 50, 60, 8)), (1.0, 10.0, 20.0, 8.0))[0]
    assert score == pytest.approx(0.45 * math.exp(-0.5 * 5 / (0.25 * 64)))
    tiny = _follow(connections((10.2, 20, 0.9, 50, 60, 8)), (1.0, 10.0, 20.0, 0.0))[0]
    assert tiny == pytest.approx(0.45 * math.exp(-0.5 * 0.04 / (0.25 * 0.25))), "sizes are at least 0.5"


def test_a_way_that_does_not_lead_back_is_not_gone():
    truth = np.array([placed(body, 60 + 200 * i, 60, 200) for i, body in enumerate(bodies(2))])
    cif, caf = fields(truth, 385, 513)
    limb = LIMBS.index((7, 9))
    # The left elbow of the one leads to the wrist of the other, but from there it goes to his own elbow.
    caf[limb, 1] *= caf[limb, 2] > 260 / 8
    wrist = caf[limb, :, :, :].copy()
    there = np.argwhere(wrist[1] > 0.3)[0]
    free = np.argwhere(wrist[1] == 0)[:12]
    for row, column in free:
        caf[limb, :, row, column] = wrist[:, there[0], there[1]]
        caf[limb, 2:4, row, column] = truth[0, 7, :2] / 8
        caf[limb, 1, row, column] = 0.5
    found = decode(cif, caf).people
    assert len(found) == 2
    lonely = found[np.argmin(found[:, 0, 0])]
    assert lonely[7, 2] > 0.5
    assert lonely[9, 2] == 0


def test_ten_people_take_no_time():
    given = fields(crowd(), noise=0.06)
    took = []
    for _ in range(5):
        start = time.perf_counter()
        decode(*given)
        took.append(time.perf_counter() - start)
    # About 12 ms on one core; several times that on a busy machine.
    assert min(took) < 0.1
