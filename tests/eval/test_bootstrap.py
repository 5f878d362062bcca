"""Intervals: their coverage in a simulation, and what they do with what is not defined."""

import math

import numpy as np
import pytest

from cn.eval import bootstrap
from cn.eval.bootstrap import Figure, difference, mean, normalized


@pytest.mark.parametrize("skewed", [False, True])
def test_an_interval_of_95_percent_holds_the_true_mean_in_about_95_of_100_sets(skewed, monkeypatch):
    monkeypatch.setattr(bootstrap, "DRAWS", 1000)
    rng = np.random.default_rng(5)
    held = 0
    for _ in range(400):
        values = rng.exponential(1.0, 60) if skewed else rng.normal(1.0, 2.0, 60)
        low, high = mean(values).interval
        held += low <= 1 <= high
    assert 0.91 <= held / 400 <= 0.98


def test_the_interval_is_that_of_the_normal_distribution_and_always_the_same():
    values = np.random.default_rng(0).normal(3, 2, 400)
    found = mean(values)
    error = 1.96 * values.std() / 20
    assert found.value == values.mean()
    assert found.interval == pytest.approx((values.mean() - error, values.mean() + error), abs=0.03)
    assert mean(values) == found


def test_paired_differences_see_what_the_intervals_of_the_means_do_not():
    rng = np.random.default_rng(1)
    of_images = rng.normal(0.5, 0.2, 30)
    a, b = of_images + rng.normal(0.03, 0.02, 30), of_images
    assert mean(a).interval[0] < mean(b).interval[1], "the intervals overlap"
    found = difference(a, b)
    assert found.differs_from_zero
    assert found.value == pytest.approx(a.mean() - b.mean())
    assert not difference(a, a).differs_from_zero
    assert difference(a, a) == Figure(0, (0, 0))
    # Of no difference, one in twenty is taken for one.
    wrong = sum(difference(of_images + rng.normal(0, 0.02, 30), b).differs_from_zero for _ in range(60))
    assert wrong <= 9


@pytest.mark.parametrize("better", ["higher", "lower"])
def test_normalized_is_zero_for_zero_and_one_for_one(better):
    rng = np.random.default_rng(2)
    zero, one = rng.normal(0.3, 0.02, 20), rng.normal(0.8, 0.02, 20)
    if better == "lower":
        zero, one = 1 - zero, 1 - one
    assert normalized(zero, zero, one, better) == Figure(0, (0, 0))
    assert normalized(one, zero, one, better).value == 1
    half = normalized((zero + one) / 2, zero, one, better)
    assert half.value == pytest.approx(0.5)
    assert half.interval == pytest.approx((0.5, 0.5), abs=1e-9), "numerator and denominator share their images"
    worse = normalized(2 * zero - one, zero, one, better)
    assert worse.value == pytest.approx(-1)


def test_without_a_span_there_is_no_normalized_score():
    values = np.random.default_rng(3).normal(0.5, 0.1, 20)
    none = normalized(values, values + 0.2, values, "higher")
    assert math.isnan(none.value)
    assert none.interval is None
    # Better on average, but not in every draw of images: a value without an interval.
    close = normalized(values, values, values + np.random.default_rng(4).normal(0.01, 0.1, 20), "higher")
    assert close.interval is None


def test_images_without_a_figure_are_left_out_of_all_rows():
    values = np.array([1.0, 2, np.nan, 4])
    assert mean(values).value == pytest.approx(7 / 3)
    assert difference(values, np.array([0.0, np.nan, 0, 0])).value == pytest.approx(2.5)
    empty = mean(np.full(3, np.nan))
    assert math.isnan(empty.value)
    assert empty.interval is None
    assert mean(np.array([2.0])) == Figure(2.0, None)
    assert not Figure(2.0).differs_from_zero


def test_many_images_are_drawn_piece_by_piece(monkeypatch):
    values = np.random.default_rng(0).normal(size=50)
    whole = mean(values).interval
    monkeypatch.setattr(bootstrap, "_MAX_NUMBERS", 50 * 7)
    assert mean(values).interval == pytest.approx(whole, abs=1e-12)
