"""Options of commands, each declared once, as an annotated field of a dataclass. No torch, no NumPy, no Typer.

    @dataclass(frozen=True)
    class Settings:
        batch_size: Annotated[int, Option("Images per batch.", panel="Training", min=1)] = 4

        def __post_init__(self) -> None:
            options.check(self)

From it come the flag `--batch-size` of a command (`cn.commands.options.with_options`), the checks of values from Python
or from a file (`check`), and reading and writing as TOML (`to_toml`, `from_toml`) or as plain values (`from_values`).
Own code because typer has no dataclasses yet, and tyro and pydantic-settings replace its whole command line.
"""

import dataclasses
import difflib
import math
import re
import tomllib
import types
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from cn.errors import InputError, UsageError
from cn.text import shown

T = TypeVar("T")
COMPUTE_PANEL = "Computing"
"""The panel of the help for device, precision and workers, of every command."""
REQUIRED = dataclasses.MISSING
"""The default of a field that has none."""
DEVICES = "auto, cpu, cuda, cuda:N or mps"


@dataclass(frozen=True)
class Option:
    """How a field looks on the command line, and which of its type's values are allowed.

    `flags` are its names, the first one used in messages (default: the field's name with dashes; `--a/--b` for a pair).
    `min` and `max` are allowed themselves, `above` is not. `default` describes a default that is computed later.
    `choices` are the words that the command line takes where they are not those of the type. `parse` makes a value of
    a word on the command line, and `completions` are what the shell offers for it.
    """

    help: str
    _: dataclasses.KW_ONLY
    panel: str | None = None
    flags: tuple[str, ...] = ()
    metavar: str | None = None
    min: float | None = None
    max: float | None = None
    above: float | None = None
    default: str | None = None
    choices: tuple[str, ...] = ()
    parse: Callable[[str], Any] | None = None
    completions: tuple[str, ...] = ()


DEVICE = Option(f"Where to compute: {DEVICES}.", panel=COMPUTE_PANEL, metavar="DEVICE")
PRECISION = Option("Precision of the networks.", panel=COMPUTE_PANEL)
"""`--device` and `--precision` of every command that has them."""


@dataclass(frozen=True)
class Switch:
    """A flag without a value that sets a field to `value`: `--small-scale` sets links to "middle".

    A field that has an `Option` too takes that one's value instead, and only together with the switch, or with the
    option of the field `implied_by`, which stands for the switch.
    """

    flag: str
    value: Any
    help: str
    panel: str | None = None
    implied_by: str | None = None


@dataclass(frozen=True)
class Field:
    """One field of a dataclass of options: its type without None, and whether None is allowed."""

    name: str
    type: Any
    nullable: bool
    default: Any
    option: Option | None = None
    switch: Switch | None = None

    @property
    def flags(self) -> tuple[str, ...]:
        """Its names on the command line."""
        given = self.option.flags if self.option is not None else ()
        return given or (f"--{self.name.rstrip('_').replace('_', '-')}",)

    @property
    def label(self) -> str:
        """What messages call it: its first flag, or its bare name where the command line does not have it."""
        if self.option is not None:
            return self.flags[0].split("/")[0]
        return self.switch.flag if self.switch is not None else self.name

    @property
    def element(self) -> Any:
        """The type of each value, where there may be any number of them (`tuple[str, ...]`); else None."""
        return _element(self.type)

    @property
    def choices(self) -> tuple[Any, ...]:
        """The words that the command line takes; () for a free value. "" stands for "not given" and is no choice."""
        if self.option is not None and self.option.choices:
            return self.option.choices
        return tuple(word for word in literals(self.type) if word != "")


def declared(cls: Any) -> Mapping[str, Field]:
    """The fields of a dataclass by name, in order."""
    return _declared(cls)


@cache  # Resolving types takes long, and thousands of requests are checked.
def _declared(cls: Any) -> Mapping[str, Field]:
    hints = get_type_hints(cls, include_extras=True)
    found = {}
    for field in dataclasses.fields(cls):
        kind, marks = hints[field.name], list[Any]()
        if get_origin(kind) is Annotated:
            kind, *marks = get_args(kind)
        bare = _without_none(kind)
        default = field.default if field.default_factory is dataclasses.MISSING else field.default_factory()
        option = next((mark for mark in marks if isinstance(mark, Option)), None)
        switch = next((mark for mark in marks if isinstance(mark, Switch)), None)
        found[field.name] = Field(field.name, bare, bare is not kind, default, option, switch)
    return types.MappingProxyType(found)


def literals(kind: Any) -> tuple[Any, ...]:
    """The values of a Literal type; () for any other type."""
    return get_args(kind) if get_origin(kind) is Literal else ()


def check(settings: Any) -> None:
    """UsageError, naming the flag, unless each value is of its field's type and within its bounds.

    An int in a field of type float becomes a float, so that what is written of it does not depend on how it was given.
    """
    for field in declared(type(settings)).values():
        # Past the protection of frozen dataclasses, which are not yet in use here.
        object.__setattr__(settings, field.name, checked(field, getattr(settings, field.name)))


def checked(field: Field, value: Any) -> Any:
    """`check` for one value."""
    check_value(field, value)
    return float(value) if field.type is float and isinstance(value, int) else value


def check_value(field: Field, value: Any, *, from_command_line: bool = False) -> None:
    """UsageError unless `value` may stand in this field; `from_command_line`: as it may be given there."""
    if value is None and field.nullable:
        return
    choices = field.choices if from_command_line else literals(field.type)
    if choices and value not in choices:
        words = [str(choice) for choice in choices if choice != ""]
        allowed = " or ".join([", ".join(words[:-1]), words[-1]]) if len(words) > 1 else words[0]
        raise UsageError(f"{field.label} must be {allowed}, not {shown(repr(value))}")
    if not choices and (wanted := _wrong_type(field.type, value)):
        raise UsageError(f"{field.label} must be {wanted}, not {shown(repr(value))}")
    if isinstance(value, int | float) and (wrong := _out_of_bounds(field.option, value)):
        raise UsageError(f"{field.label} must be {wrong}, not {shown(value)}")


def values(settings: Any) -> dict[str, Any]:
    """Name → value of each field, in order."""
    return {name: getattr(settings, name) for name in declared(type(settings))}


def from_values(cls: type[T], values: Mapping[str, Any]) -> T:
    """From names and values, as read from a file. UsageError for unknown, missing or wrong ones."""
    known = declared(cls)
    for name in values:
        if name not in known:
            raise UsageError(unknown(name, difflib.get_close_matches(name, known, 1)))
    for field in known.values():
        if field.name not in values and field.default is REQUIRED:
            raise UsageError(f"the option {field.name!r} is missing")
    return cls(**normalized(cls, values))


def check_names(function: str, cls: Any, given: Mapping[str, Any]) -> None:
    """UsageError for options of a function of `cn.api` that a dataclass of options does not have."""
    for name in given.keys() - {field.name for field in dataclasses.fields(cls)}:
        raise UsageError(f"{function} has no option {name!r}")


def several(value: Any) -> list[Any]:
    """One value, several or none, as a function of `cn.api` takes them, as a list."""
    if value is None:
        return []
    return list(value) if isinstance(value, list | tuple) else [value]


def unknown(name: str, similar: Sequence[str]) -> str:
    """What to say of an option that does not exist, and the one that may be meant."""
    return f"unknown option {shown(repr(name))}" + (f"; {similar[0]!r} may be meant" if similar else "")


def normalized(cls: Any, values: Mapping[str, Any]) -> dict[str, Any]:
    """Known options from a file or from Python, with lists as tuples and one word for several as a list of one."""
    known = declared(cls)
    return {name: plain(known[name], value) if name in known else value for name, value in values.items()}


def plain(field: Field, value: Any) -> Any:
    """`normalized` for one value."""
    if isinstance(value, list):
        return tuple(value)
    return ((value,) if value != "" else ()) if field.element is str and isinstance(value, str) else value


def to_toml(settings: Any) -> str:
    """One `name = value` line for each field, in order; fields that are None are left out."""
    import tomli_w

    return tomli_w.dumps({name: value for name, value in values(settings).items() if value is not None})


def from_toml(cls: type[T], text: str) -> T:
    """From what `to_toml` wrote. InputError (without a path) when it is damaged or has unknown or wrong values."""
    try:
        record = tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        # Not only TOMLDecodeError: a number of thousands of digits is a plain ValueError.
        raise InputError(f"cannot be read ({str(error).split(':')[0]})") from error
    try:
        return from_values(cls, record)
    except UsageError as error:
        raise InputError(error.what) from error


def check_device(name: str) -> None:
    """UsageError unless `name` is the name of a device, of this machine or another."""
    if not re.fullmatch(r"auto|(cpu|cuda|mps)(:\d{1,3})?", name):
        raise UsageError(f"--device must be {DEVICES}, not {shown(repr(name))}")


def parse_size(text: str, option: str = "--size") -> tuple[int, int]:
    """`512x768` (width × height, as everywhere in this field) or `512` → (height, width), each up to 7 digits."""
    parts = text.lower().replace("×", "x").split("x")
    if len(parts) > 2 or not all(p.isdecimal() and p.isascii() and len(p) < 8 for p in parts):
        raise UsageError(f"{option} must be WIDTHxHEIGHT in pixels, such as 512x512, not {shown(repr(text))}")
    return int(parts[-1]), int(parts[0])


def _without_none(kind: Any) -> Any:
    if get_origin(kind) in (Union, types.UnionType):
        (kind,) = [member for member in get_args(kind) if member is not type(None)]
    return kind


def _element(kind: Any) -> Any:
    return get_args(kind)[0] if get_origin(kind) is tuple and Ellipsis in get_args(kind) else None


def _wrong_type(kind: Any, value: Any) -> str | None:
    """What a value should be, in words, where it is something else; types that are not listed here are not checked."""
    if kind is bool:
        return None if isinstance(value, bool) else "true or false"
    if kind is int:
        return None if isinstance(value, int) and not isinstance(value, bool) else "a whole number"
    if kind is float:
        return None if isinstance(value, int | float) and not isinstance(value, bool) else "a number"
    if kind is str:
        return None if isinstance(value, str) else "a string"
    if _element(kind) is not None:
        return None if isinstance(value, tuple) else "several values"
    if get_origin(kind) is tuple:
        members = get_args(kind)
        fits = isinstance(value, tuple) and len(value) == len(members)
        fits = fits and not any(_wrong_type(member, part) for member, part in zip(members, value, strict=True))
        return None if fits else f"{len(members)} values"
    return None


def _out_of_bounds(option: Option | None, value: Any) -> str | None:
    """What a number should be, in words, where it is outside its bounds, infinite or not a number."""
    if isinstance(value, float) and not math.isfinite(value):
        return "a finite number"
    if option is None:
        return None
    low, high, above = option.min, option.max, option.above
    if (low is None or value >= low) and (high is None or value <= high) and (above is None or value > above):
        return None
    if above is not None:
        return f"above {above}" + ("" if high is None else f" and at most {high}")
    if low is not None and high is not None:
        return f"between {low} and {high}"
    return f"at least {low}" if low is not None else f"at most {high}"
