"""When a control began to be followed: a change point in the scores of a run, and how likely chance is to give one.

Evaluation t of a run (0 is before training, without the control) samples the same n images again, and compares each not
only with its own condition but also with those of other images. A[t, i, j] is the score of image i with condition j of
its group, higher being better. The change of the mean score to its own conditions,

    m(t) = mean over i of A[t, i, own] - A[0, i, own],

is fitted by a constant and by a step from one mean to another. With k the first evaluation after the step and T + 1
evaluations, the logarithm of the likelihood ratio of these two grows with the square of

    sqrt(k (T + 1 - k) / (T + 1)) · (mean of m from k on - mean of m before k),

whose maximum over k says where the change is. How often chance gives as large a maximum is found by exchanging the
conditions among the images: if the images do not follow their conditions, those of other images do as well. So images
that become sharper, that change from evaluation to evaluation, or that drift, are no evidence. Own code, because
libraries for change points (ruptures) fit them but give no probability, and know nothing of the pairs.
"""

import itertools
import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

GROUP = 8
"""Images whose conditions are exchanged for each other: 8 have 40,320 orders, and 64 comparisons are few."""
ALPHA = 0.05
"""The probability that a run whose control is never followed is reported as converged, at most."""
_MIN_LEVEL = 0.001
"""Neighboring evaluations are so alike that their tests are nearly one: more of them need no lower level."""
_ORDERS = 2000
"""Random orders; the smallest p-value is then 1/2001. Up to 6 images all orders are taken."""


@dataclass(frozen=True)
class Change:
    """The most likely change: evaluation `index` is the first one after it.

    `gain` is the mean improvement from then on over the time before training, in the unit of the score. `p_value` is
    the probability of a change as clear as this where no image follows its condition.
    """

    index: int
    gain: float
    p_value: float

    def is_found(self, evaluations: int) -> bool:
        """Whether it is a change, in a run that is tested after each of its `evaluations`."""
        return self.gain > 0 and self.p_value * (1 - 1e-9) <= level(evaluations)


def level(evaluations: int) -> float:
    """The p-value up to which a change is reported, so that it is by chance in `ALPHA` of runs at most (Bonferroni)."""
    return max(ALPHA / max(1, evaluations), _MIN_LEVEL)


def enough_images(evaluations: int) -> int:
    """The fewest images whose orders are so many that a change can be found in a run of so many evaluations."""
    return next(count for count in itertools.count(1) if _smallest_p(count) <= level(evaluations))


def most_evaluations(images: int, limit: int) -> int:
    """How many evaluations of so many images a run may have, up to a limit, for a change to be found."""
    return next((number for number in range(limit, 0, -1) if _smallest_p(images) <= level(number)), 0)


def _smallest_p(images: int) -> float:
    """With a margin for rounding: that of 5 images is the level of 6 evaluations."""
    return (1 - 1e-9) / math.factorial(images)


def group_of(image: int, count: int) -> range:
    """The images, its own number among them, with whose conditions an image is compared."""
    first = image // GROUP * GROUP
    return range(first, min(first + GROUP, count))


def find_change(agreement: NDArray[np.float64], *, seed: int = 0) -> Change:
    """The most likely change in A (T + 1, n, GROUP), higher being better, with at least one evaluation after the first.

    A[t, i, j] is the score of image i with condition j of `group_of(i)`; NaN where it is not defined, and in the
    columns that a last, smaller group does not have. A pure function of its arguments.
    """
    times, count = agreement.shape[:2]
    change = np.nan_to_num(agreement - agreement[:1], nan=0.0)
    orders = _orders(count, seed)
    # (orders, times): the mean change to the conditions in each order; the first order is the true one.
    curves = change[:, np.arange(count), orders].mean(axis=-1).T
    sums = np.cumsum(curves, axis=1)
    k = np.arange(1, times)
    before, after = sums[:, :-1] / k, (sums[:, -1:] - sums[:, :-1]) / (times - k)
    steps = np.sqrt(k * (times - k) / times) * (after - before)
    largest = steps.max(axis=1)
    index = int(steps[0].argmax()) + 1
    # Orders that give the same sum in another sequence count as equal.
    as_large = largest >= largest[0] - 1e-12
    defined = np.isfinite(agreement[:, np.arange(count), orders[0]]).all(axis=0)
    gain = curves[0, index:].mean() * count / max(1, int(defined.sum()))
    return Change(index, float(gain), float(as_large.mean()))


def _orders(count: int, seed: int) -> NDArray[np.intp]:
    """(orders, count): for each image the column of a condition of its group, each condition once; first the own."""
    own = np.arange(count) % GROUP
    if count <= 6:
        return np.array(list(itertools.permutations(range(count))), np.intp).reshape(-1, count)
    rng = np.random.default_rng(seed)
    parts = []
    for first in range(0, count, GROUP):
        size = min(GROUP, count - first)
        parts.append(rng.permuted(np.tile(np.arange(size), (_ORDERS, 1)), axis=1))
    return np.concatenate([own[None], np.concatenate(parts, axis=1)])
