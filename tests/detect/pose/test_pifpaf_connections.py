"""The steps of OpenPifPaf's decoder: following connections from joint to joint, and the occupancy map."""

import math

import numpy as np
import pytest

from cn.detect.pose.pifpaf_decoder import _connect, _follow, _OccupancyMap
from cn.detect.pose.pifpaf_fields import Connections


def connections(*cells):
    """Connections of (x, y, score, end's x, y, size)."""
    table = np.array(sorted(cells), np.float32).reshape(-1, 6)
    return Connections(table[:, 0].tolist(), table[:, 0], table[:, 1], table[:, 2], table[:, 3:])


def test_a_single_connection_counts_half():
    score, *end = _follow(connections((10, 20, 0.8, 50, 60, 7)), (1.0, 10.0, 20.0, 8.0))
    assert score == pytest.approx(0.4)
    assert end == [50, 60, 7]


def test_two_connections_that_agree_are_blended():
    both = connections((10, 20, 0.9, 50, 60, 8), (10, 20, 0.6, 53, 60, 4), (10, 20, 0.3, 0, 0, 1))
    assert _follow(both, (1.0, 10.0, 20.0, 8.0)) == pytest.approx((0.75, 51.2, 60, 6.4))


@pytest.mark.parametrize("other", [(10, 20, 0.6, 54.1, 60, 8), (10, 20, 0.44, 50, 60, 8), (14.1, 20, 0.9, 50, 60, 8)])
def test_two_connections_that_disagree_are_not_blended(other):
    found = _follow(connections((10, 20, 0.9, 50, 60, 8), other), (1.0, 10.0, 20.0, 8.0))
    assert found == pytest.approx((0.45, 50, 60, 8))


def test_a_weak_second_connection_is_not_blended():
    both = connections((10, 20, 0.015, 50, 60, 8), (10, 20, 0.0099, 52, 60, 8))
    assert _follow(both, (1.0, 10.0, 20.0, 8.0)) == pytest.approx((0.0075, 50, 60, 8))
    both = connections((10, 20, 0.015, 50, 60, 8), (10, 20, 0.0101, 52, 60, 8))
    assert _follow(both, (1.0, 10.0, 20.0, 8.0))[0] == pytest.approx(0.01255)


@pytest.mark.parametrize(("off", "goes"), [(0.0, True), (7.9, True), (8.1, False)])
def test_the_reverse_connection_may_miss_by_the_size_of_the_start(off, goes):
    start = (0.8, 10.0, 20.0, 8.0)
    back = connections((50, 60, 0.9, 10 + off / 2, 20 - off / 2, 3))
    found = _connect(start, connections((10, 20, 0.9, 50, 60, 7)), back)
    assert (found is not None) == goes
    assert not goes or found == pytest.approx((math.sqrt(0.45 * 0.8), 50, 60, 7))
    assert _connect(start, connections((10, 20, 0.9, 50, 60, 7)), connections()) is None


@pytest.mark.parametrize(("size", "reach"), [(1.0, 4), (4.0, 4), (10.0, 10)])
def test_a_joint_occupies_a_square_of_its_size_at_least_four_pixels(size, reach):
    occupancy = _OccupancyMap(64, 96)
    occupancy.add(3, (1.0, 40.0, 30.0, size))
    across = [x for x in range(96) if occupancy.covers(3, (1.0, x, 30.0, 1.0))]
    down = [y for y in range(64) if occupancy.covers(3, (1.0, 40.0, y, 1.0))]
    assert (across[0], across[-1]) == (40 - reach, 40 + reach - 1)
    assert (down[0], down[-1]) == (30 - reach, 30 + reach - 1)
    assert not occupancy.covers(2, (1.0, 40.0, 30.0, size))
    occupancy.add(3, (1.0, -50.0, 200.0, size))
    assert occupancy.covers(3, (1.0, -9.0, 99.0, size)), "joints outside occupy the nearest cell"


@pytest.mark.parametrize(("x", "y"), [(14.1, 20), (5.9, 20), (10, 24.1), (10, 15.9)])
def test_connections_that_start_elsewhere_are_ignored(x, y):
    assert _follow(connections((x, y, 0.9, 50, 60, 8)), (1.0, 10.0, 20.0, 8.0)) is None
    assert _follow(connections(), (1.0, 10.0, 20.0, 8.0)) is None


def test_the_distance_to_the_start_lowers_the_score():
    score = _follow(connections((12, 21, 0.9, 50, 60, 8)), (1.0, 10.0, 20.0, 8.0))[0]
    assert score == pytest.approx(0.45 * math.exp(-0.5 * 5 / (0.25 * 64)))
    tiny = _follow(connections((10.2, 20, 0.9, 50, 60, 8)), (1.0, 10.0, 20.0, 0.0))[0]
    assert tiny == pytest.approx(0.45 * math.exp(-0.5 * 0.04 / (0.25 * 0.25))), "sizes are at least 0.5"
