"""Defaults of a training run that depend on the base."""

from cn.model.config import PAPER_LR, ModelConfig

PAPER_STEPS, SMALL_BASE_STEPS = 50_000, 600
"""§3.4: a ControlNet is trained for "usually more than 50k steps" before anything else is unlocked. For a base as small
as the bundled one 600 steps are six minutes on two CPU cores."""
SAVE_EVERY, SMALL_BASE_SAVE_EVERY = 500, 100
"""So often that a killed run loses minutes, and so rarely that writing gigabytes does not slow it down."""


def default_lr(base: ModelConfig) -> float:
    """The paper's learning rate for bases of Stable Diffusion's size; a smaller base's description holds its own."""
    return base.train_lr


def default_save_every(base: ModelConfig) -> int:
    return SAVE_EVERY if base.train_lr <= PAPER_LR else SMALL_BASE_SAVE_EVERY


def default_steps(base: ModelConfig) -> int:
    return PAPER_STEPS if base.train_lr <= PAPER_LR else SMALL_BASE_STEPS
