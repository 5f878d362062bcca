"""The change point of a run's scores: found where there is one, and not in noise."""

import itertools
import math

import numpy as np
import pytest

from cn.eval.change_point import ALPHA, GROUP, enough_images, find_change, group_of, level, most_evaluations


def scores(
    times: int, images: int, seed: int, *, noise: float = 0.03, common: float = 0.0, walk: float = 0.0
) -> np.ndarray:
    """(times + 1, images, GROUP): images that follow no condition. `common` moves all scores of an evaluation alike,
    `walk` lets each image drift."""
    rng = np.random.default_rng((seed, times, images))
    shape = (times + 1, images, GROUP)
    each = rng.normal(0.25, 0.05, shape[1:]) + rng.normal(0, noise, shape) + rng.normal(0, noise, (*shape[:2], 1))
    each += np.cumsum(rng.normal(0, walk, (*shape[:2], 1)), axis=0) + np.cumsum(rng.normal(0, walk, shape), axis=0)
    each += rng.normal(0, common, (times + 1, 1, 1))
    for image in range(images):
        each[:, image, len(group_of(image, images)) :] = np.nan
    return each


def followed(agreement: np.ndarray, since: int, gain: float) -> np.ndarray:
    """The same where images follow their own conditions from evaluation `since` on."""
    changed = agreement.copy()
    for image in range(agreement.shape[1]):
        changed[since:, image, image % GROUP] += gain
    return changed


def reported(agreement: np.ndarray) -> bool:
    """Whether a change is reported after any of the evaluations of a run."""
    planned = len(agreement) - 1
    return any(find_change(agreement[: t + 1]).is_found(planned) for t in range(1, planned + 1))


@pytest.mark.parametrize("drift", [{}, {"common": 0.1}, {"walk": 0.02}])
@pytest.mark.parametrize(("times", "images", "runs"), [(5, 5, 100), (12, 6, 20), (30, 8, 6)])
def test_noise_and_drift_are_no_change(times, images, runs, drift):
    """In at most 5 % of the runs; that many more are 3 standard deviations."""
    wrong = sum(reported(scores(times, images, seed, **drift)) for seed in range(runs))
    assert wrong <= ALPHA * runs + 3 * math.sqrt(ALPHA * (1 - ALPHA) * runs)


@pytest.mark.parametrize(("times", "images", "gain"), [(5, 5, 0.15), (15, 8, 0.08), (30, 16, 0.05)])
def test_a_sudden_convergence_is_found_where_it_is(times, images, gain):
    since = times // 2 + 1
    changes = [find_change(followed(scores(times, images, seed), since, gain)) for seed in range(20)]
    assert sum(change.is_found(times) and abs(change.index - since) <= 1 for change in changes) >= 18
    assert np.mean([change.gain for change in changes]) == pytest.approx(gain, abs=0.02)


def test_a_score_that_rises_for_all_conditions_alike_is_no_change():
    agreement = scores(8, 8, 0)
    agreement[4:] += 0.2
    assert not find_change(agreement).is_found(8)
    assert find_change(followed(agreement, 4, 0.2)).is_found(8)


def test_a_score_that_falls_is_no_change():
    assert not find_change(followed(scores(8, 8, 1), 4, -0.3)).is_found(8)


def test_the_p_value_is_the_share_of_orders_with_as_large_a_step():
    """Against a plain computation over all orders of 4 conditions."""
    agreement = followed(scores(6, 4, 3), 3, 0.03)

    def largest(order: tuple[int, ...]) -> tuple[float, int]:
        m = [np.mean([agreement[t, i, j] - agreement[0, i, j] for i, j in enumerate(order)]) for t in range(7)]
        return max((math.sqrt(k * (7 - k) / 7) * (np.mean(m[k:]) - np.mean(m[:k])), k) for k in range(1, 7))

    own, index = largest((0, 1, 2, 3))
    found = find_change(agreement)
    share = np.mean([largest(order)[0] >= own - 1e-12 for order in itertools.permutations(range(4))])
    assert (found.index, found.p_value) == (index, pytest.approx(share))


def test_undefined_scores_are_left_out():
    agreement = followed(scores(6, 12, 2), 3, 0.2)
    agreement[:, 5] = np.nan
    change = find_change(agreement)
    assert change.is_found(6)
    assert change.gain == pytest.approx(0.2, abs=0.04)


def test_more_evaluations_need_more_certainty():
    assert level(1) == ALPHA
    assert level(10) == pytest.approx(ALPHA / 10)
    assert [enough_images(n) for n in (1, 2, 6, 7, 36, 37, 500)] == [4, 5, 5, 6, 6, 7, 7]
    assert [most_evaluations(n, 50) for n in (3, 4, 5, 6, 7)] == [0, 1, 6, 36, 50]
    followed_by_all = followed(scores(6, 5, 4, noise=0.001), 3, 0.5)
    assert find_change(followed_by_all).is_found(6)
    assert not find_change(followed_by_all).is_found(7)
    assert list(group_of(9, 12)) == [8, 9, 10, 11]
