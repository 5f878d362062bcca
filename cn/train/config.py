"""A training run's options: one frozen dataclass, which `cn train` and config.toml come from."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from cn import errors, options
from cn.errors import InputError, UsageError
from cn.files import reason, write_atomic
from cn.train.options.checks import check_training
from cn.train.options.computing import ComputingOptions
from cn.train.options.data import DataOptions
from cn.train.options.data_checks import check_data
from cn.train.options.model import ModelOptions
from cn.train.options.run import RunOptions
from cn.train.options.training import TrainingOptions

CONFIG_FILE = "config.toml"


@dataclass(frozen=True, kw_only=True)
class TrainConfig(ComputingOptions, RunOptions, TrainingOptions, ModelOptions, DataOptions):
    """Everything that decides the weights of a run, and how often it saves and previews them.

    Raises UsageError for values out of range, or that exclude each other.
    """

    def __post_init__(self) -> None:
        options.check(self)
        check_training(self)
        check_data(self)

    def save(self, run: Path) -> None:
        """Write RUN/config.toml."""
        write_atomic(run / CONFIG_FILE, options.to_toml(self).encode())

    @classmethod
    def load(cls, run: Path) -> "TrainConfig":
        """Read RUN/config.toml. Raises InputError when it is missing or damaged."""
        file = run / CONFIG_FILE
        try:
            text = file.read_text(encoding="utf-8")
        except (FileNotFoundError, NotADirectoryError):
            what = "but a file; give the folder of the run" if run.is_file() else f"it has no {CONFIG_FILE}"
            raise InputError(f"not a training run, {what}", path=run) from None
        except (OSError, UnicodeDecodeError) as error:
            why = reason(error) if isinstance(error, OSError) else str(error)
            raise InputError(f"cannot be read ({why})", path=file) from error
        with errors.about(file):
            return options.from_toml(cls, text)


CHANGEABLE = (
    "steps",
    "lr",
    "save_every",
    "keep",
    "max_hours",
    "preview_every",
    "preview_cond",
    "preview_prompt",
    "eval_every",
    "eval_images",
    "wandb",
    "cache",
    "compile",
)
"""What can change in a resumed run; everything else stays as it was."""


def changed(config: TrainConfig, given: Mapping[str, Any], *, reconnect: bool = False) -> TrainConfig:
    """A resumed run's configuration: the saved one with the options that are given now.

    `reconnect` adds the decoder connections of a small-scale run (§3.4). Raises UsageError for an option that cannot
    change during a run.
    """
    for name, value in given.items():
        if name not in CHANGEABLE and value != getattr(config, name):
            raise UsageError(
                f"{options.declared(TrainConfig)[name].label} cannot change in a resumed run "
                f"(it has {getattr(config, name)!r}); start a new run with --init-from instead"
            )
    if reconnect and config.links == "full":
        raise UsageError("--reconnect is for a small-scale run, and this one has its decoder connections already")
    given = {name: value for name, value in given.items() if name in CHANGEABLE}
    return replace(config, **given, links="full" if reconnect else config.links)
