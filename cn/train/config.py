"""A training run's options: one frozen dataclass, kept as `config.toml` in the run's folder."""

import json
import math
import tomllib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any, Literal

from cn.errors import InputError, UsageError
from cn.files import write_atomic
from cn.model.config import ConditionEncoderKind, Links, ModelConfig

Precision = Literal["fp32", "bf16", "fp16"]
Unlock = Literal["none", "decoder", "all"]

PAPER_LR = 1e-5
"""Fig. 21: AdamW at 1e-5, without tricks like EMA."""
PAPER_STEPS = 50_000
"""§3.4: a ControlNet is trained for "usually more than 50k steps" before anything else is unlocked."""
SMALL_BASE_STEPS = 300
"""A few minutes on two processor cores for a base as small as the bundled one."""

FILE = "config.toml"


@dataclass(frozen=True)
class TrainConfig:
    """All that decides the weights of a run, and how often it saves and shows them.

    `cond` is the condition's kind; `data` a pair set, or "" for the built-in scenes, of which there are `scenes` (0: a
    new one every time); `base_sha256` and `init_sha256` say which files were meant by `base` and `init_from`;
    `prediction` is "eps" or "v" where the base's file does not say it, else ""; `preview_every` 0 draws no previews.
    Raises UsageError for values that make no sense.
    """

    cond: str
    base: str
    base_sha256: str
    size: int
    steps: int
    lr: float
    batch_size: int = 4
    accumulate: int = 1
    data: str = ""
    scenes: int = 256
    prediction: str = ""
    init_from: str = ""
    init_sha256: str = ""
    condition_encoder: ConditionEncoderKind = "paper"
    links: Links = "full"
    unlock: Unlock = "none"
    prompt_drop: float = 0.5
    random_thresholds: bool = True
    seed: int = 0
    precision: Precision = "fp32"
    checkpoint_activations: bool = False
    save_every: int = 500
    preview_every: int = 100

    def __post_init__(self) -> None:
        for name in ("batch_size", "accumulate", "size", "save_every"):
            if getattr(self, name) < 1:
                raise UsageError(f"--{name.replace('_', '-')} must be at least 1, not {getattr(self, name)}")
        for name in ("preview_every", "scenes", "seed", "steps"):
            if getattr(self, name) < 0:
                raise UsageError(f"--{name.replace('_', '-')} must be 0 or more, not {getattr(self, name)}")
        if self.prediction not in ("", "eps", "v"):
            raise UsageError(f"--prediction is eps or v, not {self.prediction!r}")
        if not 0 <= self.prompt_drop <= 1:
            raise UsageError(f"--prompt-drop is a share between 0 and 1, not {self.prompt_drop}")
        if not (self.lr > 0 and math.isfinite(self.lr)):
            raise UsageError(f"--lr must be a number above 0, not {self.lr}")

    def to_toml(self) -> str:
        """One `name = value` line a field, in order."""
        return "".join(f"{name} = {_toml_value(value)}\n" for name, value in asdict(self).items())

    def save(self, run: Path) -> None:
        """Write RUN/config.toml."""
        write_atomic(run / FILE, self.to_toml().encode())

    @classmethod
    def load(cls, run: Path) -> "TrainConfig":
        """Read RUN/config.toml. Raises InputError when it is missing or damaged."""
        file = run / FILE
        try:
            values = tomllib.loads(file.read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise InputError(f"{run}: not a training run, it has no {FILE}") from None
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise InputError(f"{file}: cannot be read ({error})") from error
        return cls.from_dict(values, str(file))

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], where: str) -> "TrainConfig":
        """From parsed TOML; InputError, naming `where`, for unknown, missing or wrongly typed fields."""
        known = {f.name: f for f in fields(cls)}
        for name, value in values.items():
            if name not in known:
                raise InputError(f"{where}: unknown option {name!r}")
            if not _fits(value, known[name].type):
                raise InputError(f"{where}: {name} = {value!r} is of the wrong type")
        try:
            return cls(**values)
        except (TypeError, UsageError) as error:
            raise InputError(f"{where}: {error}") from error


def _fits(value: object, kind: object) -> bool:
    """Whether a TOML value is of a field's type: int, float (an integer will do), bool, or a text."""
    if isinstance(value, bool) or kind is bool:
        return isinstance(value, bool) and kind is bool
    if kind in (int, float):
        return isinstance(value, int) or (kind is float and isinstance(value, float))
    return isinstance(value, str)


def _toml_value(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    return repr(value)


def default_lr(base: ModelConfig) -> float:
    """The paper's rate for bases of Stable Diffusion's size; what suits a smaller base is part of its description."""
    return base.train_lr


def default_save_every(base: ModelConfig) -> int:
    """So often that a killed run loses minutes, and so rarely that writing gigabytes does not hold it up."""
    return 500 if base.train_lr <= PAPER_LR else 100


def default_steps(base: ModelConfig) -> int:
    """The paper's scale, or a few minutes' worth for a base that is trained fast."""
    return PAPER_STEPS if base.train_lr <= PAPER_LR else SMALL_BASE_STEPS


CHANGEABLE = frozenset({"steps", "lr", "save_every", "preview_every"})
"""What a resumed run may be given anew; everything else stays as it was."""


def changed(config: TrainConfig, given: Mapping[str, Any], *, reconnect: bool = False) -> TrainConfig:
    """A resumed run's configuration: the saved one with what was given anew.

    `reconnect` ties the decoder links of a small-scale run in again (§3.4). Raises UsageError for an option that a run
    cannot change on its way.
    """
    for name, value in given.items():
        if name not in CHANGEABLE and value != getattr(config, name):
            option = {"condition_encoder": "cond-encoder", "links": "small-scale"}.get(name, name.replace("_", "-"))
            raise UsageError(
                f"--{option} cannot change in a resumed run (it has {getattr(config, name)!r}); "
                f"start a new run with --init-from instead"
            )
    if reconnect and config.links == "full":
        raise UsageError("--reconnect is for a small-scale run, and this one has its decoder links already")
    given = {name: value for name, value in given.items() if name in CHANGEABLE}
    return replace(config, **given, links="full" if reconnect else config.links)
