"""Options of training that exclude each other, and values that a single option's bounds cannot describe. No torch."""

from importlib.util import find_spec

from cn.errors import UsageError
from cn.train.options.training import TrainingOptions


def check_training(options: TrainingOptions) -> None:
    """UsageError for decay rates of AdamW outside [0, 1), and for a warm-up that is longer than the run."""
    if not all(0 <= beta < 1 for beta in options.betas):
        raise UsageError(f"--betas must be at least 0 and below 1, not {' '.join(map(str, options.betas))}")
    if options.warmup > options.steps > 0:
        raise UsageError(f"--warmup {options.warmup} is longer than the run of --steps {options.steps}")


def check_installed(optimizer: str) -> None:
    """UsageError where an optimizer needs a package that is not installed."""
    if optimizer == "adamw8bit" and find_spec("bitsandbytes") is None:
        raise UsageError('--optimizer adamw8bit needs bitsandbytes: pip install "controlnet-cn[bnb]"')
