"""The training loop: steps are enqueued on the device, and their numbers read one step later."""

import time
from collections import deque
from collections.abc import Callable, Iterator

from cn.train.latent_batches import LatentBatch
from cn.train.trainer import PendingStep, StepResult, Trainer

SMOOTHING = 0.05
"""Weight of a step's loss in the smoothed loss that is shown and written to the metrics."""


def steps(
    trainer: Trainer,
    micro_batches: Iterator[LatentBatch],
    smoothed: float | None,
    wait_at: Callable[[int], bool],
) -> Iterator[StepResult]:
    """Train to `config.steps` steps, yielding the result of each. Raises DivergedError.

    On a GPU a result comes while the next step is computed, except where `wait_at(step)`: then the weights are those
    after that step, and `trainer.step` is its number.
    """
    behind = 1 if trainer.networks.device.type == "cuda" else 0
    pending = deque[PendingStep]()
    before = time.perf_counter()
    while trainer.step < trainer.config.steps or pending:
        if trainer.step < trainer.config.steps:
            pending.append(trainer.take_step(micro_batches))
        last = trainer.step == trainer.config.steps or wait_at(trainer.step)
        while pending and (last or len(pending) > behind):
            done = pending.popleft()
            loss, norm = done.numbers()
            smoothed = loss if smoothed is None else smoothed + SMOOTHING * (loss - smoothed)
            now = time.perf_counter()
            yield StepResult(done.step, loss, smoothed, norm, done.lr, now - before)
            before = time.perf_counter()
