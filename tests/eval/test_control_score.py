"""The control score on maps whose agreement is known."""

import numpy as np
import pytest

from cn.detect.lines.canny import canny
from cn.eval.control_score import ControlScore, control_score, derangement
from cn.eval.measures.edges import edge_f1


def lines(*columns: int) -> np.ndarray:
    """64×64 with white vertical lines."""
    edges = np.zeros((64, 64), np.uint8)
    edges[:, list(columns)] = 255
    return edges


def test_agreement_with_a_tolerance_of_two_pixels():
    given = lines(20, 40)
    assert edge_f1(given, given) == 1
    assert edge_f1(given, np.repeat(given[..., None], 3, axis=2)) == 1
    assert edge_f1(given, np.roll(given, 2, axis=1)) == 1
    assert edge_f1(given, np.roll(given, 3, axis=1)) == 0
    assert edge_f1(given, np.roll(given, 5, axis=1)) == 0


def test_precision_and_recall():
    # One of two lines found: precision 1, recall 1/2; one of three wrong: precision 2/3, recall 1.
    assert edge_f1(lines(20, 40), lines(20)) == pytest.approx(2 / 3)
    assert edge_f1(lines(20, 40), lines(20, 40, 55)) == pytest.approx(0.8)
    assert edge_f1(lines(20), lines(20, 40)) == edge_f1(lines(20, 40), lines(20))


def test_distance_is_euclidean():
    a, b = np.zeros((2, 16, 16), np.uint8)
    a[8, 8] = 255
    b[9, 9] = 255
    assert edge_f1(a, b) == 1  # √2
    b[:] = 0
    b[10, 10] = 255
    assert edge_f1(a, b) == 0  # √8


def test_empty_maps():
    empty = lines()
    assert edge_f1(empty, empty) == 1
    assert edge_f1(lines(3), empty) == edge_f1(empty, lines(3)) == 0
    with pytest.raises(ValueError, match="cannot be compared"):
        edge_f1(empty, empty[:32])


def squares(count: int) -> list[np.ndarray]:
    """Images (64, 64, 3) of one bright square each, all in different places."""
    images = []
    for i in range(count):
        image = np.full((64, 64, 3), 30, np.uint8)
        x, y = 4 + 14 * (i % 4), 4 + 30 * (i // 4)
        image[y : y + 11, x : x + 11] = 220
        images.append(image)
    return images


def test_score_is_one_for_the_ceiling_and_zero_for_anything_else():
    images = squares(6)
    conditions = [canny(p) for p in images]
    assert all(c.any() for c in conditions)
    perfect = control_score(conditions, images, images)
    assert (perfect.samples, perfect.reconstructions, perfect.score, perfect.count) == (1, 1, 1, 6)
    assert perfect.mismatched < 0.2
    same = [images[0]] * 6
    assert control_score(conditions, same, images).score == pytest.approx(0, abs=1e-6)
    halves = [p if i % 2 else same[0] for i, p in enumerate(images)]
    assert 0.3 < control_score(conditions, halves, images).score < 0.9


def test_score_formula_and_limits():
    assert ControlScore(samples=0.5, mismatched=0.3, reconstructions=0.7, count=9).score == pytest.approx(0.5)
    assert np.isnan(ControlScore(samples=0.5, mismatched=0.7, reconstructions=0.7, count=9).score)
    assert sorted(derangement(5)) == list(range(5))
    assert all(i != j for i, j in enumerate(derangement(5)))
    images = squares(2)
    with pytest.raises(ValueError, match="at least 2"):
        control_score([canny(images[0])], images[:1], images[:1])
    with pytest.raises(ValueError, match="equal in number"):
        control_score([canny(images[0])], images, images)
