"""Options of a training run that exclude each other, each with the reason. No torch."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from cn.errors import UsageError

Values = Mapping[str, Any]
"""The options that are given, by their field's name; those that are missing have their defaults."""


@dataclass(frozen=True)
class Excluded:
    """A combination that makes no sense: when it is there, and the sentence that says so."""

    when: Callable[[Values], Any]
    why: str


def _baseline(values: Values) -> bool:
    return values.get("baseline") == "concat"


EXCLUDED = (
    Excluded(
        lambda v: _baseline(v) and v.get("links") == "middle",
        "--baseline concat has no ControlNet whose links --small-scale could leave out",
    ),
    Excluded(
        lambda v: _baseline(v) and v.get("init_from"),
        "--baseline concat trains the base itself: give it with --base instead of --init-from",
    ),
    Excluded(
        lambda v: _baseline(v) and v.get("zero_init") == "gaussian",
        "--baseline concat has no zero convolutions: it takes no --zero-init",
    ),
    Excluded(
        lambda v: _baseline(v) and "condition_encoder" in v,
        "--baseline concat has no condition encoder: it takes no --cond-encoder",
    ),
    Excluded(
        lambda v: _baseline(v) and (v.get("unlock", "none") != "none" or v.get("large_scale_after")),
        "--baseline concat trains the whole U-Net from the start: it takes no --large-scale and no --large-scale-after",
    ),
    Excluded(
        lambda v: v.get("zero_init") == "gaussian" and v.get("init_from"),
        "--zero-init is for a new control: the one that --init-from names has its weights already",
    ),
    Excluded(
        lambda v: v.get("large_scale_after") and v.get("unlock", "none") == "none",
        "--large-scale-after trains the base too: give what of it with --unlock",
    ),
)


def check_combination(values: Values) -> None:
    """UsageError, with the reason, for options that exclude each other."""
    for excluded in EXCLUDED:
        if excluded.when(values):
            raise UsageError(excluded.why)


def with_implied(values: Values) -> dict[str, Any]:
    """The options with those that follow from them: --large-scale-after N is large-scale training."""
    implied = {"unlock": "all"} if values.get("large_scale_after") else {}
    return {**implied, **values}


def combination_warnings(values: Values) -> list[str]:
    """What makes no difference in this run, though it was asked for. `values` are all of its options."""
    after, steps = values["large_scale_after"], values["steps"]
    if after and after >= steps > 0:
        return [
            f"--large-scale-after {after} is not reached: the run ends after {steps} steps, with the base as it was"
        ]
    return []
