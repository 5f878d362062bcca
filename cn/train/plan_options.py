"""Rows of a run's plan for options that change it, and have their defaults in most runs. No torch."""

from collections.abc import Callable
from typing import Any

from cn.detect.checks.lines import KINDS as LINES
from cn.options import declared
from cn.train.config import TrainConfig

Words = Callable[[TrainConfig], str]

ROWS: dict[str, tuple[str, str, Words]] = {
    # Field: its row, the row that it stands behind, what it says.
    "random_thresholds": ("maps", "data", lambda c: _fixed(c.cond)),
    "global_batch": ("global batch", "steps", lambda c: f"{c.global_batch:,} images per step over all GPUs"),
    "max_hours": ("time limit", "steps", lambda c: f"saves and stops after {c.max_hours:g} hours"),
    "schedule": ("schedule", "learning rate", lambda c: f"falls towards zero until the last step ({c.schedule})"),
    "warmup": ("warm-up", "learning rate", lambda c: f"the rate rises from zero in {c.warmup:,} steps"),
    "optimizer": ("optimizer", "learning rate", lambda c: "AdamW with moments in 8 bits"),
    "betas": ("betas", "learning rate", lambda c: f"{c.betas[0]:g}, {c.betas[1]:g}"),
    "adam_eps": ("epsilon", "learning rate", lambda c: f"{c.adam_eps:g}"),
    "weight_decay": ("weight decay", "learning rate", lambda c: f"{c.weight_decay:g}"),
    "max_grad_norm": ("clipping", "learning rate", lambda c: f"gradients with a norm above {c.max_grad_norm:g}"),
    "min_snr": ("loss weights", "learning rate", lambda c: f"min-SNR with γ = {c.min_snr:g}"),
    "noise_offset": ("noise offset", "learning rate", lambda c: f"{c.noise_offset:g} for each channel"),
    "ema": ("EMA", "learning rate", lambda c: f"the run writes a moving average of the weights, decay {c.ema:g}"),
    "kernels": ("kernels", "computing", lambda c: "for GPUs, where the step is in half precision and not compiled"),
    "deterministic": ("deterministic", "computing", lambda c: "yes: slower, and a resumed run has the same bits"),
    "shard_base": ("base", "computing", lambda c: "distributed over the GPUs"),
    "preview_cond": ("previews", "saves", lambda c: f"of your {len(c.preview_cond)} conditions"),
    "wandb": ("logged to", "saves", lambda c: f"Weights & Biases, project {c.wandb}"),
}


def option_rows(config: TrainConfig) -> dict[str, tuple[str, str]]:
    """Row → the row it stands behind, and its text, for each of these options that has not its default."""
    found: dict[str, tuple[str, str]] = {}
    for name, (row, after, words) in ROWS.items():
        if getattr(config, name) != _default(name) and _matters(config, name):
            found.setdefault(row, (after, words(config)))
    return found


def _default(name: str) -> Any:
    return declared(TrainConfig)[name].default


def _fixed(kind: str) -> str:
    how = "Canny's thresholds are 100 and 200" if kind == "canny" else "lines are drawn the same way"
    return f"{how} for all scenes"


def _matters(config: TrainConfig, name: str) -> bool:
    """Whether an option does anything in this run."""
    if name == "global_batch":
        return config.global_batch != config.batch_size * config.accumulate
    return name != "random_thresholds" or (config.cond in LINES and not config.data)
