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


def _concat(*names: str, unless: tuple[Any, ...] = ("", 0, "none", "full", "zero", None)) -> Callable[[Values], Any]:
    return lambda v: v.get("baseline") == "concat" and any(v.get(name) not in unless for name in names)


def _both(first: Callable[[Values], Any], second: Callable[[Values], Any]) -> Callable[[Values], Any]:
    return lambda v: first(v) and second(v)


def _has(name: str, *values: Any) -> Callable[[Values], Any]:
    """Whether an option has one of these values; without any, whether it is given at all."""
    return (lambda v: v.get(name) in values) if values else (lambda v: v.get(name))


EXCLUDED = (
    Excluded(_concat("links"), "--baseline concat has no ControlNet whose links --small-scale could leave out"),
    Excluded(
        _concat("init_from"), "--baseline concat trains the base itself: give it with --base instead of --init-from"
    ),
    Excluded(_concat("zero_init"), "--baseline concat has no zero convolutions: it takes no --zero-init"),
    Excluded(
        _concat("condition_encoder", unless=(None,)),
        "--baseline concat has no condition encoder: it takes no --cond-encoder",
    ),
    Excluded(
        _concat("unlock", "large_scale_after"),
        "--baseline concat trains the whole U-Net from the start: it takes no --large-scale and no --large-scale-after",
    ),
    Excluded(
        _both(_has("zero_init", "gaussian"), _has("init_from")),
        "--zero-init is for a new control: the one that --init-from names has its weights already",
    ),
    Excluded(
        _both(_has("large_scale_after"), _has("unlock", "none")),
        '--large-scale-after trains the base too: unlock cannot be "none"',
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
