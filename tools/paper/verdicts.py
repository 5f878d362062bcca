"""From numbers to words: holds, holds in part, does not hold here, not clear.

A claim is one or several statements "this quantity is above (below) this bound". A statement is decided where the 95 %
interval of the quantity over seeds does not contain the bound, by a two-sided t-test whose p-value is corrected by
Holm's method for all statements of the experiment. Nothing is decided of runs that have not learned: the score of what
is called better must be above that of no control by more than its own interval.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from tools.paper.statistics import LEVEL, MIN_SEEDS, BySeed, Estimate, difference, estimate, holm, ratio

Verdict = Literal["holds", "holds in part", "does not hold here", "not clear", "not run"]
HOLDS: Verdict = "holds"
IN_PART: Verdict = "holds in part"
NOT: Verdict = "does not hold here"
UNCLEAR: Verdict = "not clear"
NOT_RUN: Verdict = "not run"
MIN_GAIN = 0.05
"""Normalized score that a run must have to have learned anything: chance alone exceeds an interval now and then."""


@dataclass(frozen=True)
class Statement:
    """`quantity` is above `bound` (or below it).

    `learned_if_true` are gains over no control of the runs that must have learned where it is true, and
    `learned_if_false` of those where it is false.
    """

    text: str
    quantity: Estimate
    bound: float = 0.0
    above: bool = True
    learned_if_true: tuple[BySeed, ...] = ()
    learned_if_false: tuple[BySeed, ...] = ()
    missing: str = ""
    """What else is missing for it, where something is."""
    digits: int = 3
    adjusted_p: float = math.nan

    @property
    def p_value(self) -> float:
        """NaN where there is nothing to decide."""
        return math.nan if self._why_not() else self.quantity.p_value(self.bound)

    @property
    def is_true(self) -> bool:
        """On which side of the bound the mean is."""
        return (self.quantity.mean > self.bound) == self.above

    @property
    def verdict(self) -> Verdict:
        """Its own verdict; `adjusted_p` is set by `decide`."""
        if self.quantity.count == 0 and not self.missing:
            return NOT_RUN
        if self._why_not() or not self.adjusted_p < 1 - LEVEL:
            return UNCLEAR
        return HOLDS if self.is_true else NOT

    @property
    def needed(self) -> str:
        """ "> 0.05"."""
        return f"{'>' if self.above else '<'} {self.bound + 0.0:.{self.digits}g}"

    @property
    def reason(self) -> str:
        """Why it is not clear; "" where it is, or has not been run."""
        if self.verdict != UNCLEAR:
            return ""
        return (
            self._why_not()
            or f"the interval may contain {self.bound + 0.0:.{self.digits}g} (p = {self.adjusted_p:.2g})"
        )

    def _why_not(self) -> str:
        if self.missing:
            return self.missing
        if self.quantity.count < MIN_SEEDS:
            return f"{self.quantity.count} of at least {MIN_SEEDS} runs are there"
        needed = self.learned_if_true if self.is_true else self.learned_if_false
        return "" if all(map(has_learned, needed)) else "the runs have not learned: their score is that of no control"


@dataclass(frozen=True)
class Claim:
    """What the paper says, and the statements that it comes to here."""

    text: str
    statements: tuple[Statement, ...]

    @property
    def verdict(self) -> Verdict:
        """Of all statements: all hold; some do; none does and one at least is refuted, and the rest too."""
        found = [statement.verdict for statement in self.statements]
        known = [verdict for verdict in found if verdict != NOT_RUN]
        if not known:
            return NOT_RUN
        if all(verdict == HOLDS for verdict in found):
            return HOLDS
        if HOLDS in known:
            return IN_PART
        return NOT if all(verdict == NOT for verdict in found) else UNCLEAR

    @property
    def summary(self) -> str:
        """The verdict; of one that holds in part, how many statements do, and how many are to come."""
        found = [statement.verdict for statement in self.statements]
        missing = found.count(NOT_RUN)
        later = f", {missing} not run" if missing and self.verdict != NOT_RUN else ""
        if self.verdict != IN_PART:
            return f"{self.verdict}{later}"
        return f"{self.verdict}: {found.count(HOLDS)} of {len(found)} statements{later}"


def decide(claims: Sequence[Claim]) -> list[Claim]:
    """The claims of an experiment with p-values that are corrected for all of their statements."""
    statements = [statement for claim in claims for statement in claim.statements]
    adjusted = iter(holm([statement.p_value for statement in statements]))
    return [
        replace(claim, statements=tuple(replace(s, adjusted_p=next(adjusted)) for s in claim.statements))
        for claim in claims
    ]


def has_learned(gains: BySeed) -> bool:
    """Whether normalized scores are above that of no control, 0, by more than their interval, and visibly so."""
    found = estimate(gains)
    return found.count >= MIN_SEEDS and found.interval is not None and found.interval[0] > 0 and found.mean >= MIN_GAIN


def is_better(text: str, a: BySeed, b: BySeed, *, by: float = 0.0) -> Statement:
    """Gains `a` are larger than gains `b`, by more than `by`: the better one must have learned."""
    return Statement(text, difference(a, b), by, learned_if_true=(a,), learned_if_false=(b,))


def is_not_worse(
    text: str, a: BySeed, b: BySeed, *, share: float, learned: tuple[BySeed, BySeed] | None = None
) -> Statement:
    """Numbers `a` are at least the numbers `b` less a `share` of their mean.

    `learned` are the gains of both runs; the numbers themselves, where it is not given. Both must have learned where it
    is true.
    """
    margin, gains = share * max(estimate(b).mean, 0.0) if b else 0.0, learned or (a, b)
    return Statement(text, difference(a, b), -margin, learned_if_true=gains, learned_if_false=gains[1:])


def is_less(text: str, a: BySeed, b: BySeed, *, learned: tuple[BySeed, ...] = (), by: float = 0.0) -> Statement:
    """Numbers `a`, of which less is better, are below numbers `b`, by more than `by`."""
    return Statement(
        text, difference(a, b), -by, above=False, learned_if_true=learned, learned_if_false=learned, digits=4
    )


def ratio_is(text: str, a: BySeed, b: BySeed, bound: float, *, above: bool, missing: str = "") -> Statement:
    """a / b is above (or below) a bound."""
    return Statement(text, ratio(a, b), bound, above, missing=missing)


def mean_is(
    text: str, values: BySeed, bound: float, *, above: bool, learned: tuple[BySeed, ...] = (), missing: str = ""
) -> Statement:
    """The mean of some numbers is above (or below) a bound."""
    return Statement(
        text, estimate(values), bound, above, learned_if_true=learned, learned_if_false=learned, missing=missing
    )
