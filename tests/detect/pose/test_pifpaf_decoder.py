"""OpenPifPaf's decoder, against the original and on known people."""

import itertools
import tracemalloc
from collections import Counter

import numpy as np
import pytest

from cn.detect.pose import pifpaf_decoder
from cn.detect.pose.coco_skeleton import LIMBS
from cn.detect.pose.pifpaf_decoder import decode
from tests.golden.make_detectors_pifpaf import DECODED, FILE, people
from tests.helpers.pifpaf_fields import apart, bodies, crowd, fields, placed, scene_people, scenes_with

EMPTY = np.zeros((0, 17, 3))


def inside(truth, height=513, width=513):
    """Which joints (n, 17) lie in the image."""
    x, y = truth[..., 0], truth[..., 1]
    return (truth[..., 2] > 0) & (x >= 0) & (y >= 0) & (x <= width - 1) & (y <= height - 1)


def recovered(truth, found, seen):
    """The number of `seen` joints of `truth` found within 4 pixels, with a one-to-one assignment of people."""
    best = 0
    for order in itertools.permutations(range(len(found)), min(len(found), len(truth))) if len(found) < 4 else [None]:
        pairs = enumerate(order) if order is not None else enumerate(_nearest(truth, found))
        hits = sum(int((_close(truth[i], found[j]) & seen[i]).sum()) for i, j in pairs if j is not None)
        best = max(best, hits)
    return best


def largest_connected(seen):
    """The largest set of `seen` joints (17,) that limbs connect."""
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
    """For each true person, the found person with most of its joints; each is used once."""
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
def test_people_equal_those_of_the_original_decoder(name):
    size, noise = DECODED[name]
    known = golden(f"decoded/{name}/known").astype(np.float64)
    ours, theirs = decode(*fields(known, *size, noise=noise)), golden(f"decoded/{name}")
    assert ours.keypoints.shape == theirs.shape
    assert np.array_equal(ours.keypoints[..., 2] > 0, theirs[..., 2] > 0)
    assert np.abs(np.where(theirs[..., 2:] > 0, ours.keypoints - theirs, 0)).max(initial=0) < 1e-3
    assert np.abs(ours.scores - golden(f"decoded/{name}/scores")).max(initial=0) < 1e-4


def test_the_people_of_these_cases_are_unchanged():
    for name in DECODED:
        assert np.allclose(people(name), golden(f"decoded/{name}/known"), atol=1e-3), name


# Known people


@pytest.mark.parametrize("noise", [0.0, 0.06])
def test_the_people_of_scenes_are_recovered(noise):
    hits = total = 0
    for number in [*scenes_with(12, people=1), *scenes_with(8, people=2)]:
        truth = scene_people(number)
        found = decode(*fields(truth, noise=noise, seed=number))
        assert len(found.keypoints) == len(truth), number
        seen = inside(truth)
        hits, total = hits + recovered(truth, found.keypoints, seen), total + int(seen.sum())
    assert total > 400
    assert hits >= 0.99 * total


@pytest.mark.parametrize("noise", [0.0, 0.06])
def test_ten_people_are_recovered(noise):
    truth = crowd()
    found = decode(*fields(truth, noise=noise))
    assert len(found.keypoints) == 10
    seen = inside(truth)
    assert seen.sum() > 160
    assert apart(truth) > 1
    assert recovered(truth, found.keypoints, seen) >= 0.99 * seen.sum()


def test_overlapping_people_are_separated():
    # One person in front of another: limbs cross, and most joints of one lie within the body of the other.
    hits = total = 0
    for number, (a, b) in enumerate(itertools.permutations(bodies(10), 2)):
        truth = np.array([placed(a, 120, 60, 380), placed(b, 180, 75, 380)])
        if number % 3 or apart(truth) < 1.25:
            continue
        found = decode(*fields(truth, noise=0.05))
        assert len(found.keypoints) == 2
        hits, total = hits + recovered(truth, found.keypoints, inside(truth)), total + int(inside(truth).sum())
    assert total > 500
    assert hits >= 0.99 * total


@pytest.mark.parametrize(("x", "y"), [(-50, 40), (100, -80), (180, 60), (90, 130)])
def test_visible_joints_of_a_cropped_person_are_found(x, y):
    truth = placed(bodies(1)[0], x, y, 240)[None]
    seen = inside(truth, 257, 257)
    assert 5 <= seen.sum() < 17
    # An arm without its shoulder is not connected to the body.
    reachable = largest_connected(seen[0])[None]
    assert reachable.sum() >= 5
    found = decode(*fields(truth, 257, 257, noise=0.03))
    assert len(found.keypoints) == 1
    assert recovered(truth, found.keypoints, reachable) == reachable.sum()
    far = np.abs(truth[0, :, :2] - 128).max(axis=1) > 128 + 40
    assert not found.keypoints[0, far & ~seen[0], 2].any(), "joints far outside are not found"


@pytest.mark.parametrize("noise", [0.0, 0.3])
def test_empty_fields_have_no_people(noise):
    found = decode(*fields(EMPTY, 257, 513, noise=noise))
    assert found.keypoints.shape == (0, 17, 3)
    assert found.scores.shape == (0,)


def test_a_missing_joint_stays_missing():
    truth = placed(bodies(1)[0], 100, 60, 300)[None].copy()
    truth[0, [9, 16], 2] = 0
    found = decode(*fields(truth))
    assert (found.keypoints[0, :, 2] > 0).tolist() == (truth[0, :, 2] > 0).tolist()
    assert not found.keypoints[0, [9, 16]].any()


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
    assert len(before.keypoints) == 2
    assert np.allclose(after.keypoints, before.keypoints + np.array([8 * cells_x, 8 * cells_y, 0]), atol=1e-2)
    assert np.allclose(after.scores, before.scores, atol=1e-5)


@pytest.mark.parametrize("seed", range(3))
def test_the_order_of_people_does_not_matter(seed):
    truth = crowd()
    mixed = truth[np.random.default_rng(seed).permutation(10)]
    one, other = decode(*fields(truth)), decode(*fields(mixed))
    assert np.allclose(one.keypoints, other.keypoints, atol=1e-3)


def test_people_are_sorted_by_the_weighted_mean_of_their_joint_scores():
    truth = crowd()
    truth[3, 7:, 2] = 0
    found = decode(*fields(truth, noise=0.05))
    assert (np.diff(found.scores) <= 0).all()
    for person, score in zip(found.keypoints, found.scores, strict=True):
        ranked = sorted(person[:, 2], reverse=True)
        assert score == pytest.approx((3 * sum(ranked[:3]) + sum(ranked[3:])) / 23)
    assert ((found.keypoints[..., 2] >= 0) & (found.keypoints[..., 2] <= 1)).all()


def test_fewer_than_three_joints_are_no_person():
    truth = placed(bodies(1)[0], 100, 60, 300)[None].copy()
    truth[0, [j for j in range(17) if j not in (5, 6)], 2] = 0
    assert len(decode(*fields(truth)).keypoints) == 0
    truth[0, [7, 8, 11], 2] = 1
    assert len(decode(*fields(truth)).keypoints) == 1


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 3e38, -3e38, 1e4])
@pytest.mark.parametrize("channel", [2, 3, 4, 5, 6, 7])
def test_invalid_values_are_ignored(channel, value):
    truth = placed(bodies(1)[0], 60, 30, 200)[None]
    cif, caf = fields(truth, 257, 257)
    rng = np.random.default_rng(channel)
    for field in (cif, caf):
        if channel < field.shape[1]:
            invalid = (rng.random(field[:, 1].shape) < 0.002) & (field[:, 1] < 0.1)
            assert invalid.any()
            field[:, channel][invalid] = value
            field[:, 1][invalid] = 0.9
    found = decode(cif, caf)
    assert recovered(truth, found.keypoints[:1], inside(truth, 257, 257)) >= 16
    assert np.isfinite(found.keypoints).all()


def test_fields_of_one_cell_work():
    assert len(decode(np.ones((17, 5, 1, 1), np.float32), np.ones((19, 8, 1, 1), np.float32)).keypoints) <= 1


def test_a_connection_without_a_reverse_one_is_not_used():
    truth = np.array([placed(body, 60 + 200 * i, 60, 200) for i, body in enumerate(bodies(2))])
    cif, caf = fields(truth, 385, 513)
    limb = LIMBS.index((7, 9))
    # The left elbow of one person leads to the wrist of the other, whose reverse connection leads to its own elbow.
    caf[limb, 1] *= caf[limb, 2] > 260 / 8
    wrist = caf[limb, :, :, :].copy()
    there = np.argwhere(wrist[1] > 0.3)[0]
    free = np.argwhere(wrist[1] == 0)[:12]
    for row, column in free:
        caf[limb, :, row, column] = wrist[:, there[0], there[1]]
        caf[limb, 2:4, row, column] = truth[0, 7, :2] / 8
        caf[limb, 1, row, column] = 0.5
    found = decode(cif, caf).keypoints
    assert len(found) == 2
    left = found[np.argmin(found[:, 0, 0])]
    assert left[7, 2] > 0.5
    assert left[9, 2] == 0


def test_the_work_depends_on_the_people_not_on_the_cells(monkeypatch):
    """Thousands of cells vote for ten people: each person grows once, each limb is followed once in each direction."""
    calls, bounds = Counter(), []

    def watch(name, results):
        original = getattr(pifpaf_decoder, name)

        def watched(*args):
            calls[name] += 1
            results.append(original(*args))
            return results[-1]

        monkeypatch.setattr(pifpaf_decoder, name, watched)

    for name in ("_grow", "_follow"):
        watch(name, [])
    for name in ("bisect_left", "bisect_right"):
        watch(name, bounds)
    cif, caf = fields(crowd(), noise=0.06)
    decode(cif, caf)
    assert (cif[:, 1] > 0.2).sum() > 2000
    assert calls["_grow"] == 10
    assert calls["_follow"] <= 2 * len(LIMBS) * 10
    # Of more than 100 cells of a limb, only those near the start of a connection are evaluated.
    first, last = np.array(bounds).reshape(-1, 2).T
    assert (caf[:, 1] > 0.3).sum() / len(LIMBS) > 100
    assert (last - first).mean() < 20


def test_memory_is_little_more_than_that_of_the_confidence_map():
    cif, caf = fields(crowd(), noise=0.06)
    tracemalloc.start()
    decode(cif, caf)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 1.5 * 17 * 513 * 513 * np.dtype(np.float32).itemsize
