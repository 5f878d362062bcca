"""Verdicts on made-up runs: what is true, false, unclear, and what was never learned."""

import math

import numpy as np
import pytest
from scipy import stats

from tools.paper.results import suddenness
from tools.paper.statistics import Estimate, difference, estimate, holm, ratio
from tools.paper.verdicts import (
    HOLDS,
    IN_PART,
    NOT,
    NOT_RUN,
    UNCLEAR,
    Claim,
    Statement,
    decide,
    has_learned,
    is_better,
    is_less,
    is_not_worse,
    mean_is,
    ratio_is,
)


def runs(mean: float, spread: float = 0.01, count: int = 6, seed: int = 0) -> dict[int, float]:
    """Numbers of `count` runs with exactly this mean and standard deviation."""
    drawn = np.random.default_rng(seed).normal(size=count)
    if count > 1:
        drawn = (drawn - drawn.mean()) / drawn.std(ddof=1)
    return {k: float(mean + spread * value) for k, value in enumerate(drawn)}


LEARNED, UNLEARNED = runs(0.5), runs(0.0, 0.05)
OTHER = 1
"""Another seed, so that differences of two arms are not the same for all runs."""

CASES = {
    # The first is better than the second.
    "better, clearly": (is_better("", runs(0.5), runs(0.3, seed=OTHER)), HOLDS),
    "better, by little in every pair": (is_better("", runs(0.53, 0.1), runs(0.5, 0.1)), HOLDS),
    "better, but not by enough": (is_better("", runs(0.5), runs(0.45, seed=OTHER), by=0.1), NOT),
    "worse": (is_better("", runs(0.3), runs(0.5, seed=OTHER)), NOT),
    "better than what has not learned": (is_better("", runs(0.5), runs(0, 0.02, seed=OTHER)), HOLDS),
    "worse, and only the other has learned": (is_better("", runs(0, 0.02), runs(0.5, seed=OTHER)), NOT),
    "the same": (is_better("", runs(0.5), runs(0.5, seed=OTHER)), UNCLEAR),
    "better, within the spread": (is_better("", runs(0.55, 0.1), runs(0.5, 0.1, seed=OTHER)), UNCLEAR),
    "better, but nothing was learned": (is_better("", runs(0.01, 0.03), runs(-0.2, 0.02, seed=OTHER)), UNCLEAR),
    "worse, but nothing was learned": (is_better("", runs(-0.2, 0.02), runs(0, 0.03, seed=OTHER)), UNCLEAR),
    "better, of two runs": (is_better("", runs(0.5, count=2), runs(0.1, count=2, seed=OTHER)), UNCLEAR),
    "better, of one run": (is_better("", runs(0.5, count=1), runs(0.1, count=6)), UNCLEAR),
    "better, three against six": (is_better("", runs(0.5, count=3), runs(0.3, seed=OTHER)), HOLDS),
    "better, other seeds": (is_better("", {k + 9: v for k, v in runs(0.5).items()}, runs(0.3)), HOLDS),
    "nothing has been run": (is_better("", {}, {}), NOT_RUN),
    "one arm has not been run": (is_better("", runs(0.5), {}), NOT_RUN),
    # The first is at most a share worse than the second.
    "not worse, the same": (is_not_worse("", runs(0.5), runs(0.5, seed=OTHER), share=0.1), HOLDS),
    "not worse, even better": (is_not_worse("", runs(0.7), runs(0.5, seed=OTHER), share=0.1), HOLDS),
    "not worse, a little worse": (is_not_worse("", runs(0.48), runs(0.5, seed=OTHER), share=0.1), HOLDS),
    "much worse": (is_not_worse("", runs(0.3), runs(0.5, seed=OTHER), share=0.1), NOT),
    "perhaps worse": (is_not_worse("", runs(0.47, 0.1), runs(0.5, 0.1, seed=OTHER), share=0.1), UNCLEAR),
    "not worse than nothing": (is_not_worse("", runs(0.5), UNLEARNED, share=0.1), UNCLEAR),
    "both have learned nothing": (is_not_worse("", runs(0, 0.02), runs(0, 0.02, seed=OTHER), share=0.1), UNCLEAR),
    "not worse, has not been run": (is_not_worse("", {}, {}, share=0.1), NOT_RUN),
    # Less is better.
    "less": (is_less("", runs(0.1), runs(0.3, seed=OTHER), learned=(LEARNED,)), HOLDS),
    "more": (is_less("", runs(0.3), runs(0.1, seed=OTHER), learned=(LEARNED,)), NOT),
    "less by enough": (is_less("", runs(0.1), runs(0.3, seed=OTHER), learned=(LEARNED,), by=0.1), HOLDS),
    "less, not by enough": (is_less("", runs(0.25), runs(0.3, seed=OTHER), learned=(LEARNED,), by=0.1), NOT),
    "perhaps less": (is_less("", runs(0.29, 0.1), runs(0.3, 0.1, seed=OTHER), learned=(LEARNED,)), UNCLEAR),
    "less, but nothing was learned": (is_less("", runs(0.1), runs(0.3, seed=OTHER), learned=(UNLEARNED,)), UNCLEAR),
    # A ratio.
    "faster": (ratio_is("", runs(1.8, 0.02), runs(1.0, 0.02, seed=OTHER), 1.6, above=True), HOLDS),
    "as fast": (ratio_is("", runs(1.0, 0.02), runs(1.0, 0.02, seed=OTHER), 1.6, above=True), NOT),
    "perhaps so fast": (ratio_is("", runs(1.6, 0.1), runs(1.0, 0.1, seed=OTHER), 1.6, above=True), UNCLEAR),
    "cheap enough": (ratio_is("", runs(1.2, 0.02), runs(1.0, 0.02, seed=OTHER), 1.34, above=False), HOLDS),
    "too expensive": (ratio_is("", runs(1.6, 0.02), runs(1.0, 0.02, seed=OTHER), 1.34, above=False), NOT),
    "memory was not measured": (ratio_is("", {}, {}, 1.23, above=False), NOT_RUN),
    "a time of zero is none": (ratio_is("", runs(1.0), dict.fromkeys(range(6), 0.0), 1.3, above=True), NOT_RUN),
    # A mean.
    "below the bound": (mean_is("", runs(0.4), 1.0, above=False, learned=(LEARNED,)), HOLDS),
    "above the bound": (mean_is("", runs(1.9), 1.0, above=False, learned=(LEARNED,)), NOT),
    "at the bound": (mean_is("", runs(1.0, 0.2), 1.0, above=False, learned=(LEARNED,)), UNCLEAR),
    "below the bound, nothing was learned": (mean_is("", runs(0.4), 1.0, above=False, learned=(UNLEARNED,)), UNCLEAR),
    "below the bound, one arm has learned nothing": (
        mean_is("", runs(0.4), 1.0, above=False, learned=(LEARNED, UNLEARNED)),
        UNCLEAR,
    ),
    "below the bound, but something is missing": (mean_is("", runs(0.4), 1.0, above=False, missing="a GPU"), UNCLEAR),
    "run, but the number is missing": (mean_is("", {}, 1.0, above=False, missing="no states"), UNCLEAR),
    "the same number each time": (mean_is("", runs(0.4, 0.0), 1.0, above=False), HOLDS),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_the_verdict_on_one_statement(name):
    statement, expected = CASES[name]
    (claim,) = decide([Claim("", (statement,))])
    assert claim.verdict == expected
    assert bool(claim.statements[0].reason) == (expected == UNCLEAR)


YES, NO, PERHAPS, NEVER = (
    mean_is("", numbers, 0.0, above=True) for numbers in (runs(1), runs(-1), runs(0.0, 1.0), dict[int, float]())
)


@pytest.mark.parametrize(
    ("statements", "expected"),
    [
        ((YES, YES), HOLDS),
        ((YES, NO), IN_PART),
        ((YES, PERHAPS), IN_PART),
        ((YES, NEVER), IN_PART),
        ((NO, NO), NOT),
        ((NO, PERHAPS), UNCLEAR),
        ((NO, NEVER), UNCLEAR),
        ((PERHAPS, PERHAPS), UNCLEAR),
        ((NEVER, NEVER), NOT_RUN),
    ],
)
def test_a_claim_of_several_statements(statements, expected):
    (claim,) = decide([Claim("", statements)])
    assert claim.verdict == expected


def test_statements_of_an_experiment_are_corrected_together():
    """What is just significant alone is not among twenty."""
    just = mean_is("", runs(1.0, 0.75), 0.0, above=True)
    assert 0.005 < just.p_value < 0.05
    assert decide([Claim("", (just,))])[0].verdict == HOLDS
    assert {claim.verdict for claim in decide([Claim("", (just,))] * 20)} == {UNCLEAR}


def test_what_is_not_decided_costs_nothing():
    """Statements without runs are no tests, so that the others keep their level."""
    just = mean_is("", runs(1.0, 0.75), 0.0, above=True)
    assert decide([Claim("", (just, *[NEVER] * 20))])[0].statements[0].verdict == HOLDS


def test_one_of_twenty_claims_about_nothing_is_decided_at_most():
    """False verdicts: experiments of five statements about noise, 400 times."""
    rng, wrong = np.random.default_rng(0), 0
    for _ in range(400):
        made = [mean_is("", dict(enumerate(rng.normal(size=4))), 0.0, above=True) for _ in range(5)]
        wrong += any(claim.verdict != UNCLEAR for claim in decide([Claim("", (one,)) for one in made]))
    assert wrong / 400 <= 0.075


def test_holm():
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    found = holm([0.02, math.nan, 0.5])
    assert found[0] == pytest.approx(0.04)
    assert math.isnan(found[1])
    assert holm([]) == []


def test_intervals_are_those_of_student():
    values = [0.41, 0.44, 0.39, 0.47]
    found = estimate(values)
    expected = stats.t.interval(0.95, 3, np.mean(values), stats.sem(values))
    assert found.interval == pytest.approx(expected)
    assert found.p_value(0.4) == pytest.approx(stats.ttest_1samp(values, 0.4).pvalue)


def test_differences_are_paired_where_seeds_are_shared_and_welch_otherwise():
    a, b = runs(0.5, 0.1), runs(0.4, 0.05, seed=OTHER)
    paired = stats.ttest_rel(list(a.values()), list(b.values()))
    assert difference(a, b).p_value(0) == pytest.approx(paired.pvalue)
    apart = {seed + 10: value for seed, value in b.items()}
    welch = stats.ttest_ind(list(a.values()), list(b.values()), equal_var=False)
    assert difference(a, apart).p_value(0) == pytest.approx(welch.pvalue)
    assert difference(a, apart).interval == pytest.approx(tuple(welch.confidence_interval()))


def test_a_ratio_is_symmetric_and_tested_on_logarithms():
    a, b = runs(1.5, 0.1), runs(1.0, 0.1, seed=OTHER)
    one, other = ratio(a, b), ratio(b, a)
    assert one.mean == pytest.approx(1 / other.mean)
    assert one.p_value(1.2) == pytest.approx(other.p_value(1 / 1.2))
    low, high = one.interval
    assert low < one.mean < high
    assert one.p_value(low) == pytest.approx(0.05)


def test_numbers_that_are_missing_are_left_out():
    assert estimate({0: 1.0, 1: math.nan, 2: 3.0}).mean == 2.0
    assert estimate({}).count == 0
    assert estimate([1.0]) == Estimate(1.0, None, 1)
    assert has_learned(LEARNED)
    assert not has_learned(UNLEARNED)
    assert not has_learned(runs(0.5, count=2))


STEPS = np.arange(0, 601, 20.0)


@pytest.mark.parametrize(
    ("scores", "low", "high"),
    [
        (np.where(STEPS >= 200, 0.3, 0.0), 0.0, 0.15),
        (np.clip((STEPS - 200) / 100, 0, 1), 0.3, 0.5),
        (STEPS / 600, 1.9, 2.0),
        (1 - np.exp(-STEPS / 150), 1.7, 2.0),
        (1 - np.exp(-STEPS / 40), 1.7, 2.0),
        (np.clip(STEPS / 100, 0, 1), 1.9, 2.0),
    ],
)
def test_how_sudden_a_rise_is(scores, low, high):
    noise = np.random.default_rng(0).normal(0, 0.01 * np.ptp(scores), len(STEPS))
    for curve in (scores, scores + noise, 0.2 + 0.1 * scores):
        assert low - 0.05 <= suddenness(STEPS, curve) <= high + 0.05


def test_a_statement_says_which_side_it_is_on():
    assert Statement("", estimate(runs(1.0)), 0.0).is_true
    assert not Statement("", estimate(runs(1.0)), 0.0, above=False).is_true


def test_a_statement_says_what_it_needs():
    assert is_less("", runs(1.0), runs(1.0)).needed == "< 0"
    assert "contain 0 (" in decide([Claim("", (is_less("", runs(1.0, 0.1), runs(1.0, 0.1)),))])[0].statements[0].reason
    assert ratio_is("", runs(1.0), runs(1.0), 1.6, above=True).needed == "> 1.6"
