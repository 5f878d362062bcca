"""Prompts and their options, a line each: a text, or a JSON object. Neither torch nor OpenCV.

`request_of` makes a request of one such object, for everything that takes them: `cn sample --prompts`, and what
other programs write line by line.
"""

import difflib
import sys
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from cn import options
from cn.errors import CnError, InputError, UsageError, about
from cn.images import reader
from cn.json_text import decode_text, parse_json
from cn.options import Field
from cn.sample.options import ConditionOptions, SampleOptions
from cn.sample.request import Condition, SampleRequest, broadcast, changed, make_conditions
from cn.sample.start_image import GivenImage, read_start

SHARED = ("base", "lora", "vae", "prediction", "precision")
"""What all lines have in common: the networks are loaded once."""


def _name(field: Field) -> str:
    """As on the command line, without the dashes before it: "control-start"."""
    return field.label.removeprefix("--")


_OPTIONS = {_name(field): field for field in options.declared(SampleOptions).values()}
OF_CONDITIONS = {_name(field): field for field in options.declared(ConditionOptions).values()}
"""The options of each condition."""
FIELDS: Mapping[str, Field | None] = {"prompt": None, "cond": None, **_OPTIONS, **OF_CONDITIONS}
"""What `applied` takes, and the option that it is."""
START = ("image", "mask")
"""What a record starts from."""
NAMES = (*(name for name in FIELDS if name not in SHARED), *START)
"""What a line may say; a "_" stands for a "-"."""


def read_requests(base: SampleRequest, path: str) -> list[SampleRequest]:
    """A request for each line of a file ("-": standard input); `base` says what the lines do not.

    Blank lines, and those that begin with "#", are skipped. A line that begins with "{" is a JSON object, any other a
    prompt. Raises InputError, with the number of the line, for everything that is wrong with it.
    """
    name = reader.display_name(path)
    if path == "-" and sys.stdin.isatty():
        raise UsageError("--prompts - reads standard input, but nothing is piped in")
    with about(name):
        text = decode_text(reader.read_bytes(path))
    found, starts = [], dict[tuple[str, str | None], GivenImage]()
    # Not splitlines: U+2028 and others may stand within a prompt.
    for number, line in enumerate(text.replace("\r\n", "\n").replace("\r", "\n").split("\n"), 1):
        line, where = line.strip(), f"{name}, line {number}"
        if line and not line.startswith("#"):
            if line.startswith("--"):
                # As other programs have them: read as a prompt, they would be drawn.
                example = '{"prompt": "a castle", "negative": "trees", "seed": 3}'
                raise InputError(f"begins with '--': options go into a JSON object, as {example}", path=where)
            with about(where):
                record = parse_json(line) if line.startswith("{") else {"prompt": line}
            found.append(request_of(base, record, where, starts))
    if not found:
        raise InputError("holds no prompts; give one on each line", path=name)
    return found


def request_of(
    base: SampleRequest,
    record: Mapping[str, Any],
    where: str,
    starts: "dict[tuple[str, str | None], GivenImage] | None" = None,
) -> SampleRequest:
    """`base` with what a record says: its prompt, options by the names of their flags, conditions, image and mask.

    `cond` is a path or a list of them, relative to the current folder, and replaces the conditions of `base`; options
    of conditions (`control`, `strength` …) are a value for all of them, or a list. `image` with `mask` replaces what
    `base` starts from; records that name the same files share them through `starts`, and can be sampled at once. Raises
    InputError that names `where` for unknown names and wrong values, and what reading images raises.
    """
    try:
        given = {str(name).replace("_", "-"): value for name, value in record.items()}
        for name in given:
            if name in SHARED:
                raise UsageError(f"{name!r} is the same for all lines: give it as an option, --{name}")
            if name not in NAMES:
                raise UsageError(options.unknown(name, difflib.get_close_matches(name, NAMES, 1)))
        return applied(base, given, _start(given, {} if starts is None else starts))
    except UsageError as error:
        raise InputError(error.what, path=where if error.path is None else f"{where}: {error.path}") from error
    except CnError as error:
        error.path = where if error.path is None else f"{where}: {error.path}"
        raise


def applied(base: SampleRequest, given: Mapping[str, Any], start: GivenImage | None = None) -> SampleRequest:
    """`request_of` for names that are among `FIELDS`. Raises UsageError for wrong values."""
    changes = {_OPTIONS[name].name: _value(_OPTIONS[name], given[name]) for name in given if name in _OPTIONS}
    if "prompt" in given:
        changes |= {"prompts": (_text("prompt", given["prompt"]),), "auto": False, "captioned_by": None}
    each: dict[str, Any] = {
        OF_CONDITIONS[name].name: options.several(value) for name, value in given.items() if name in OF_CONDITIONS
    }
    changes["conditions"] = _conditions(base.conditions, given.get("cond"), each)
    if start is not None:
        changes |= {"start_image": start, "conditions": tuple(c.around(start) for c in changes["conditions"])}
    return changed(base, changes)


def _start(given: Mapping[str, Any], starts: dict[tuple[str, str | None], GivenImage]) -> GivenImage | None:
    """The image that a record starts from; each is read once."""
    if not {*START} & given.keys():
        return None
    if "image" not in given:
        raise UsageError("'mask' needs an 'image' beside it")
    image, mask = (_text(name, given[name]) if name in given else None for name in START)
    if "-" in (image, mask):
        raise UsageError("'image' and 'mask' must be files: standard input is no image of a line")
    assert image is not None
    if (image, mask) not in starts:
        start = read_start(image, mask)
        assert start is not None
        starts[image, mask] = start
    return starts[image, mask]


def _value(field: Field, value: Any) -> Any:
    """An option as JSON has it; a size is a text as on the command line, or one number for a square."""
    parse = field.option.parse if field.option is not None else None
    if parse is None or not isinstance(value, str | int | list) or isinstance(value, bool):
        return options.plain(field, value)
    return parse(_text(_name(field), str(value) if isinstance(value, int) else value))


def _text(name: str, value: Any) -> str:
    if not isinstance(value, str):
        raise UsageError(f"{name!r} must be a string, not {value!r:.40}")
    return value


def _conditions(before: tuple[Condition, ...], paths: Any, each: dict[str, Any]) -> tuple[Condition, ...]:
    if paths is not None:
        chosen = [_text("cond", path) for path in options.several(paths)]
        if "-" in chosen:
            raise UsageError("'cond' must be a file: standard input is no image of a line")
        # The control for inpainting stays, as the last one.
        return *make_conditions(chosen, **each), *(condition for condition in before if condition.masked)
    if not each:
        return before
    if not before:
        raise UsageError(f"{', '.join(map(repr, each))}: there is no condition; give 'cond'")
    fields = options.declared(ConditionOptions)
    lists = {name: broadcast(fields[name].label, values, len(before)) for name, values in each.items() if values}
    return tuple(
        replace(condition, **{name: values[k] for name, values in lists.items()}) for k, condition in enumerate(before)
    )
