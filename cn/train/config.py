"""A training run's options: one frozen dataclass, which `cn train` and config.toml come from."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from cn import errors, options
from cn.errors import InputError, UsageError
from cn.files import reason, write_atomic
from cn.train.options.checks import check_training
from cn.train.options.combinations import check_combination, with_implied
from cn.train.options.computing import ComputingOptions
from cn.train.options.data import DataOptions
from cn.train.options.data_checks import check_data
from cn.train.options.model import ModelOptions, Unlock
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
        fields, values = options.declared(type(self)), options.values(self)
        check_combination({name: value for name, value in values.items() if value != fields[name].default})

    def unlocked_at(self, step: int) -> Unlock:
        """What is trained of the base after `step` steps (§3.4); the baseline of Fig. 20 trains all of it."""
        if self.baseline == "concat":
            return "all"
        return self.unlock if step >= self.large_scale_after else "none"

    @property
    def trains_base(self) -> bool:
        """Whether the base is trained at any step, so that the run needs all of it, and writes it."""
        return self.baseline == "concat" or self.unlock != "none"

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
    "data",
    "eval_data",
    "wandb",
    "cache",
    "compile",
    "kernels",
    "shard_base",
)
"""What can change in a resumed run, besides its regime; everything else stays as it was."""


def changed(config: TrainConfig, given: Mapping[str, Any], step: int, *, reconnect: bool = False) -> TrainConfig:
    """The configuration of a run that is resumed after `step` steps: the saved one with the options that are given now.

    `reconnect` adds the decoder connections of a small-scale run; `unlock` or `large_scale_after` trains the base too,
    from now on or after that step (§3.4). Raises UsageError for an option that cannot change during a run.
    """
    given, regime = dict(given), dict[str, Any]()
    if "data" in given and len(given["data"]) != len(config.data):
        raise UsageError(f"--data with --resume names the run's datasets at another place: it has {len(config.data)}")
    check_combination({"baseline": config.baseline, **with_implied(given)})
    if reconnect:
        if config.links == "full":
            raise UsageError("--reconnect is for a small-scale run, and this one has its decoder connections already")
        regime["links"] = "full"
    if config.unlocked_at(step) == "none" and (given.get("unlock", "none") != "none" or "large_scale_after" in given):
        regime |= {"large_scale_after": step, "unlock": "all" if config.unlock == "none" else config.unlock}
        regime |= {name: given.pop(name) for name in ("unlock", "large_scale_after") if name in given}
        if regime["large_scale_after"] < step:
            raise UsageError(f"--large-scale-after {regime['large_scale_after']} is over: the run has {step} steps")
    for name, value in given.items():
        if name not in CHANGEABLE and value != getattr(config, name):
            raise UsageError(
                f"{options.declared(TrainConfig)[name].label} cannot change in a resumed run "
                f"(it has {getattr(config, name)!r}); start a new run with --init-from instead"
            )
    return replace(config, **{name: value for name, value in given.items() if name in CHANGEABLE}, **regime)
