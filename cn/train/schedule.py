"""The learning rate over the steps of a run."""

from cn.train.config import TrainConfig


def learning_rate(config: TrainConfig, step: int) -> float:
    """The rate of step `step` (from 0)."""
    return config.lr
