"""How often a run is evaluated, and on how many images, so that it takes a tenth of the run at most."""

from dataclasses import dataclass
from math import ceil, floor, sqrt

from cn.eval.change_point import enough_images, most_evaluations
from cn.train.evaluation.cost import Costs

MAX_SHARE = 0.09
"""Of the operations of a run, for all of its evaluations together with the one before training. What else belongs to
them, such as drawing the curves, fits into a tenth (measured: 10.1 % of the CPU's time, at a share of 9.9 %)."""
GPU_OVERHEAD = 1.75
"""On a GPU an image of an evaluation takes this many times what its operations say: what is drawn, detected and written
meanwhile weighs more there, and graphs are captured (H200, bundled base, 1,500 batches of 4: with 1.25, 11 % of the
time, of which the first evaluation took more than a third)."""
SAMPLING_STEPS = 4
MIN_POINTS, MAX_POINTS = 5, 50
"""Evaluations that a run should have, and those that a curve needs at most."""
MIN_IMAGES, MAX_IMAGES = enough_images(MIN_POINTS), 32
_ROUND = (1, 1.2, 1.5, 2, 2.5, 3, 4, 5, 6, 8, 10)
"""Intervals are one of these times a power of ten."""


@dataclass(frozen=True)
class Schedule:
    """An evaluation of `images` images after every `every` steps."""

    every: int
    images: int

    def points(self, steps: int) -> int:
        """How many evaluations a run has; the last is after its last step."""
        return ceil(steps / self.every) if self.every else 0


NONE = Schedule(0, 0)


@dataclass(frozen=True)
class Budget:
    """What the training of a run costs, and an image of its evaluations: with the control, and before without it."""

    run: float
    image: float
    first: float

    @classmethod
    def of(cls, costs: Costs, *, trained: int, encoded: int, overhead: float = 1.0) -> "Budget":
        """For a run that trains with `trained` images in all, and encodes images to latents `encoded` times.

        What evaluations cost is multiplied by `overhead`.
        """
        run = trained * costs.training + encoded * costs.encoding
        found = costs.decoding + costs.detection
        image, first = (SAMPLING_STEPS * cost + found for cost in (costs.sampling, costs.uncontrolled))
        return cls(run, overhead * image, overhead * first)

    def share(self, schedule: Schedule, steps: int) -> float:
        """What part of the run its evaluations take."""
        spent = schedule.images * (self.first + schedule.points(steps) * self.image) if schedule.every else 0.0
        return spent / (self.run + spent) if spent else 0.0

    def images(self, points: int) -> int:
        """The most images that can be evaluated `points` times."""
        return floor(self._most() / (self.first + points * self.image))

    def points(self, images: int) -> int:
        """How often that many images can be evaluated at most."""
        return floor((self._most() / images - self.first) / self.image)

    def _most(self) -> float:
        return MAX_SHARE / (1 - MAX_SHARE) * self.run


def schedule(budget: Budget, steps: int, *, every: int | None = None, images: int | None = None) -> Schedule:
    """What is given as it is, and the rest as fits in the budget; `NONE` for a run that is too short.

    A longer run gets both more evaluations and more images.
    """
    if every == 0 or images == 0 or steps == 0:
        return NONE
    if every is not None:
        points = Schedule(every, 0).points(steps)
        return Schedule(every, images or min(MAX_IMAGES, max(enough_images(points), budget.images(points))))
    if images is None:
        images = min(MAX_IMAGES, max(MIN_IMAGES, floor(sqrt(budget.images(1)))))
    points = min(most_evaluations(images, MAX_POINTS), budget.points(images), steps)
    if points < 1:
        return NONE
    return Schedule(_rounded(ceil(steps / points)), images)


def may_fit(trained: int) -> bool:
    """False for runs of so few images that no evaluation fits, whatever the networks: nothing need be counted then.

    A sampling step costs a fifth of training with that image or more.
    """
    return trained * MAX_SHARE * 5 > 2 * MIN_IMAGES * SAMPLING_STEPS


def _rounded(every: int) -> int:
    """`every`, or the next larger round number."""
    power = 1
    while True:
        for mantissa in _ROUND:
            number = mantissa * power
            if number == int(number) and number >= every:
                return int(number)
        power *= 10
