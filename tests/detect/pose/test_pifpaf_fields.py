"""OpenPifPaf's confidence map, seeds and connections, against plain code."""

import math

import numpy as np
import pytest

from cn.detect.pose.coco_skeleton import LIMBS
from cn.detect.pose.pifpaf_fields import ConfidenceMap, find_connections, find_seeds


def cif_of(*cells, height=6, width=7):
    """CIF with (joint, row, column, confidence, x, y, size) in it and zeros elsewhere."""
    cif = np.zeros((17, 5, height, width), np.float32)
    for joint, row, column, *values in cells:
        cif[joint, 1:, row, column] = values
    return cif


def plain_map(cif, stride):
    """The confidence map, pixel by pixel."""
    height, width = ((side - 1) * stride + 1 for side in cif.shape[2:])
    values = np.zeros((17, height, width))
    for joint, row, column in np.argwhere(cif[:, 1] >= 0.3):
        peak, x, y, size = (float(v) for v in cif[joint, 1:, row, column])
        x, y, sigma = x * stride, y * stride, max(1.0, 0.5 * size * stride)
        for j in range(height):
            for i in range(width):
                square = (i - x) ** 2 + (j - y) ** 2
                if square <= sigma**2:
                    nearest = abs(i - x) < 0.5 and abs(j - y) < 0.5
                    gauss = 1 if nearest else (1 - 0.5 * square / sigma**2 / 8) ** 8
                    assert nearest or abs(gauss - math.exp(-0.5 * square / sigma**2)) < 0.02
                    values[joint, j, i] += peak / 16 * gauss
    return np.minimum(values, 1)


def test_the_map_equals_that_of_a_plain_loop():
    rng = np.random.default_rng(1)
    cif = rng.random((17, 5, 6, 7)).astype(np.float32)
    cif[:, 1] = cif[:, 1] ** 3
    cif[:, 2] = cif[:, 2] * 9 - 1.5
    cif[:, 3] = cif[:, 3] * 8 - 1.5
    cif[:, 4] *= 2.2
    # Many at one place: the map is limited to 1.
    cif[0, 1:, :5, :5] = np.array([0.9, 3.13, 2.2, 1.0])[:, None, None]
    expected = plain_map(cif, 8)
    confidence = ConfidenceMap(cif, 8)
    ours = np.minimum(confidence.values.reshape(17, confidence.height, confidence.width), 1)
    assert ours.shape == expected.shape
    assert np.abs(ours - expected).max() < 1e-4
    assert expected[0].max() == 1
    assert 0.01 < (expected > 0).mean() < 0.9


def test_the_map_is_read_at_the_nearest_pixel():
    corners = [(2, 5, i, 0.8, 6.0 * (i % 2), 5.0 * (i // 2), 0.01) for i in range(4)]
    confidence = ConfidenceMap(cif_of((2, 0, 0, 0.8, 3.0, 2.0, 0.01), *corners), 8)
    at = [
        float(confidence.at(np.array([joint]), np.float32([x]), np.float32([y]))[0])
        for joint, x, y in [
            (2, 24, 16), (2, 24.4, 15.6), (2, 24.6, 16), (3, 24, 16),
            (2, -0.4, 0), (2, -0.6, 0), (2, 48.4, 40.4), (2, 48.6, 40), (2, 48, 40.6), (2, np.nan, 0),
        ]
    ]  # fmt: skip
    assert at[:2] == pytest.approx([0.05, 0.05])
    assert 0.025 < at[2] < 0.035, "one pixel away is one sigma away"
    assert at[3:] == pytest.approx([0, 0.05, 0, 0.05, 0, 0, 0])
    confidence.values[:] = 7
    assert confidence.at(np.array([3]), np.float32([1]), np.float32([1])).tolist() == [1], "at most 1"


def test_seeds_need_a_confident_cell_at_a_confident_place():
    sure = [(4, j, i, 0.9, 3.0, 2.0, 1.0) for j in range(4) for i in range(4)]
    cif = cif_of(*sure, (4, 5, 0, 0.21, 3.0, 2.0, 1.5), (4, 5, 1, 0.19, 3.0, 2.0, 1.0), (6, 0, 0, 0.9, 1.0, 1.0, 1.0))
    seeds = find_seeds(cif, ConfidenceMap(cif, 8), 8)
    # A single cell is not enough: 0.9 · 0.9 / 16 + 0.1 · 0.9 is less than 0.2.
    assert seeds.joint.tolist() == [4] * 17
    assert seeds.score[:16] == pytest.approx(0.9 * 0.9 + 0.1 * 0.9)
    assert seeds.score[16] == pytest.approx(0.9 * 0.9 + 0.1 * 0.21)
    assert (seeds.x.tolist(), seeds.y.tolist()) == ([24.0] * 17, [16.0] * 17)
    assert seeds.size.tolist() == [8.0] * 16 + [12.0]


def test_connections_are_weighted_by_the_confidence_of_their_ends():
    first, second = LIMBS[8]
    cif = cif_of(*((second, j, i, 1.0, 5.0, 4.0, 1.0) for j in range(4) for i in range(4)))
    caf = np.zeros((19, 8, 6, 7), np.float32)
    caf[8, 1:, 2, 3] = 0.8, 1.0, 1.5, 5.0, 4.0, 0.5, 0.75
    caf[8, 1:, 2, 4] = 0.29, 1.0, 1.0, 5.0, 4.0, 0.5, 0.5
    caf[8, 1:, 0, 0] = 0.9, 0.5, 1.0, 5.0, 4.0, 0.5, 0.5
    forward, backward = find_connections(caf, ConfidenceMap(cif, 8), 8)
    assert first != second
    assert [len(one.x) for one in forward] == [2 if limb == 8 else 0 for limb in range(19)]
    assert not any(len(one.x) for one in backward), "no confidence at the other end"
    connection = forward[8]
    assert connection.sorted_x == connection.x.tolist() == [4.0, 8.0]
    assert connection.y.tolist() == [8.0, 12.0]
    assert connection.score == pytest.approx([0.9, 0.8])
    assert connection.ends.tolist() == [[40.0, 32.0, 4.0], [40.0, 32.0, 6.0]]
