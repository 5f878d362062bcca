"""The learning rate over the steps of a run."""

import math

from cn.train.options.training import TrainingOptions


def learning_rate(config: TrainingOptions, step: int) -> float:
    """The rate of step `step` (from 0), a function of the configuration and the step alone.

    A resumed run therefore has the rates of an uninterrupted one, and one that is resumed with other `steps` goes on
    with the rates that a run of that length has there.

    After a warm-up of W steps the rate is that of diffusers' schedules at the same step: full at step W, and zero at
    step `steps`, which is not taken. Step s of the warm-up has (s + 1) / W of the full rate, one step ahead of
    diffusers, whose first step has a rate of zero and changes nothing.
    """
    if step < config.warmup:
        return config.lr * (step + 1) / config.warmup
    if config.schedule == "constant":
        return config.lr
    done = min(1.0, (step - config.warmup) / max(1, config.steps - config.warmup))
    return config.lr * (0.5 * (1 + math.cos(math.pi * done)) if config.schedule == "cosine" else 1 - done)
