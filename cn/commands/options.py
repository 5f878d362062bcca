"""From options that a dataclass declares to the parameters of a command; and options that several commands share."""

import functools
import inspect
from collections.abc import Callable
from dataclasses import dataclass, is_dataclass
from typing import Annotated, Any, Generic, Literal, TypeVar, get_args, get_origin

import typer

from cn.errors import UsageError
from cn.model import config
from cn.options import COMPUTE_PANEL, DEVICE, REQUIRED, Field, Option, check_value, declared

T = TypeVar("T")
OUTPUT_PANEL = "Output"

Device = Annotated[
    str,
    typer.Option(
        "--device",
        metavar=DEVICE.metavar,
        help=f"{DEVICE.help} Default: auto.",
        show_default=False,
        rich_help_panel=DEVICE.panel,
    ),
]
Workers = Annotated[
    int | None,
    typer.Option(
        "--workers",
        metavar="N",
        min=1,
        help="Parallel processes (for networks: threads). Default: as many as work, CPU cores and memory allow.",
        rich_help_panel=COMPUTE_PANEL,
    ),
]
Prediction = Annotated[
    config.Prediction | None,
    typer.Option("--prediction", help=config.PREDICTION_HELP, rich_help_panel="Base"),
]
Overwrite = Annotated[
    bool,
    typer.Option(
        "--overwrite", help="Recompute what already exists, instead of skipping it.", rich_help_panel=OUTPUT_PANEL
    ),
]
Json = Annotated[
    bool,
    typer.Option("--json", help="Report results on stdout as one JSON object per line.", rich_help_panel=OUTPUT_PANEL),
]
Quiet = Annotated[
    bool,
    typer.Option(
        "--quiet",
        "-q",
        help="No progress and no plans: only results, warnings and errors.",
        rich_help_panel=OUTPUT_PANEL,
    ),
]


def with_options(function: Callable[..., None]) -> Callable[..., None]:
    """The function as a command: each parameter whose type is a dataclass of options becomes those options.

    A parameter of type `Settings` gets an instance; one of type `Given[Settings]` gets what was given on the command
    line by name, for commands to which "not given" matters; `Given[list[Settings]]` gets lists, because each of its
    options may be repeated. Other parameters are Typer's own. See `cn.options` for how an option is declared.
    """
    plain = inspect.signature(function).parameters
    groups = {name: group for name, p in plain.items() if (group := option_group(p.annotation)) is not None}

    @functools.wraps(function)
    def command(**words: Any) -> None:
        for name, group in groups.items():
            found = group.given(words)
            words[name] = found if group.mapping else group.cls(**found)
        function(**words)

    wanted = [
        parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY)
        for name, p in plain.items()
        for parameter in (groups[name].parameters() if name in groups else [p])
    ]
    # Typer reads the options from here.
    command.__signature__ = inspect.Signature(wanted)  # type: ignore[attr-defined]
    command.__annotations__ = {p.name: p.annotation for p in wanted}
    # Rich keeps line breaks, which are those of the source: paragraphs become lines.
    command.__doc__ = "\n\n".join(" ".join(text.split()) for text in (function.__doc__ or "").split("\n\n"))
    return command


class Given(dict[str, Any], Generic[T]):
    """Name → value of the options of a dataclass that were given on the command line."""


@dataclass(frozen=True)
class OptionGroup:
    """The options of one dataclass, as parameters of a command."""

    cls: Any
    mapping: bool = False
    repeated: bool = False

    def parameters(self) -> list[inspect.Parameter]:
        """For Typer, in the order of the fields."""
        found = []
        for field in declared(self.cls).values():
            if field.switch is not None:
                info = typer.Option(
                    field.switch.flag, help=field.switch.help, rich_help_panel=field.switch.panel, show_default=False
                )
                found.append(_parameter(_switch_name(field), bool, info, False))
            if field.option is not None:
                found.append(self._option(field, field.option))
        return found

    def _option(self, field: Field, option: Option) -> inspect.Parameter:
        kind: Any = Literal[field.choices] if field.choices else str if option.parse is not None else field.type
        kind = field.element or kind
        words = option.completions
        info = typer.Option(
            *field.flags,
            help=_help(field, option),
            rich_help_panel=option.panel,
            metavar=_metavar(field, option),
            parser=option.parse,
            autocompletion=(lambda incomplete: [w for w in words if w.startswith(incomplete)]) if words else None,
            show_default=False,
        )
        kind = list[kind] if self.repeated or field.element is not None else kind  # type: ignore[valid-type]
        if field.default is REQUIRED and not self.mapping:
            return _parameter(field.name, kind, info, inspect.Parameter.empty)
        # None stands for "not given"; the default itself comes from the dataclass.
        return _parameter(field.name, kind | None, info, None)

    def given(self, words: dict[str, Any]) -> Given:
        """Takes this group's options out of `words`. UsageError for a wrong value, or an option without its switch."""
        found = Given[Any]()
        for field in declared(self.cls).values():
            value = words.pop(field.name) if field.option is not None else None
            if field.switch is not None:
                on = words.pop(_switch_name(field))
                implied = field.switch.implied_by is not None and words.get(field.switch.implied_by)
                if value is not None and not on and not implied:
                    raise UsageError(f"{field.label} needs {field.switch.flag}")
                value = field.switch.value if on and value is None else value
            if value is None or value == []:
                continue
            if field.element is not None and not self.repeated:
                value = tuple(value)
            for one in value if self.repeated else [value]:
                check_value(field, one, from_command_line=True)
            found[field.name] = value
        return found


def option_group(annotation: Any) -> OptionGroup | None:
    """The options that a parameter stands for, if its type says so."""
    mapping = get_origin(annotation) is Given
    inner = get_args(annotation)[0] if mapping else annotation
    repeated = get_origin(inner) is list
    cls = get_args(inner)[0] if repeated else inner
    return OptionGroup(cls, mapping, repeated) if is_dataclass(cls) else None


def _parameter(name: str, kind: Any, info: Any, default: Any) -> inspect.Parameter:
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=Annotated[kind, info])


def _switch_name(field: Field) -> str:
    assert field.switch is not None
    return field.switch.flag.removeprefix("--").replace("-", "_")


def _help(field: Field, option: Option) -> str:
    """The help text with the default behind it."""
    default: Any = "" if field.default in (REQUIRED, None, ()) else field.default
    if isinstance(default, bool):
        # Which flag of a pair; a single flag says it by itself.
        pair = field.flags[0].split("/")
        default = pair[0 if default else 1] if len(pair) == 2 else ""
    elif isinstance(default, float):
        default = f"{default:g}"
    elif isinstance(default, int):
        default = f"{default:,}"
    default = default if option.default is None else option.default
    return f"{option.help} Default: {default}." if default != "" else option.help


def _metavar(field: Field, option: Option) -> str | None:
    if option.metavar is not None or field.choices or field.type is bool:
        return option.metavar
    if option.min is not None and option.max is not None:
        return f"{option.min}..{option.max}"
    return {int: "N", float: "X"}.get(field.type, "TEXT")
