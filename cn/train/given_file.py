"""Options from a file: the config.toml of another run, or lines of one's own (`cn train --config`). No torch."""

import difflib
import os
import tomllib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from cn import options
from cn.errors import InputError, UsageError, WeightsError
from cn.files import reason
from cn.options import Field, declared
from cn.text import shown
from cn.train.config import CONFIG_FILE, TrainConfig

_HASH_OF = {"base": "base_sha256", "init_from": "init_sha256"}


def with_file(path: Path, given: Mapping[str, Any], *, resume: Path | None = None) -> dict[str, Any]:
    """The options of a file with those that are `given` beside it, which win.

    Raises UsageError with `resume`, and what `read_options` raises.
    """
    if resume is not None:
        raise UsageError(f"--config is for a new run: {resume} has its own {CONFIG_FILE}, which --resume reads")
    read = read_options(path)
    for name, hash_of in _HASH_OF.items():
        if name in given:
            read.pop(hash_of, None)
    return {**read, **given}


def read_options(path: Path) -> dict[str, Any]:
    """Fields of TrainConfig by name, from a TOML file or from the folder of a run; any of them may be missing.

    A name may also be spelled as the option (`batch-size`, `small-scale = true`). `base_sha256` and `init_sha256` are
    the hashes that the weights must have. Raises InputError, naming the file, for what is not an option or has a wrong
    value.
    """
    file = path / CONFIG_FILE if path.is_dir() else path
    try:
        record = tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"cannot be read: {reason(error)}", path=file) from error
    except (ValueError, RecursionError) as error:
        raise InputError(f"is not valid TOML ({shown(str(error))})", path=file) from error
    fields, found = declared(TrainConfig), dict[str, Any]()
    try:
        for name, value in record.items():
            field, meant = _meant(fields, name, value)
            if field.name in found:
                raise UsageError(f"{field.label} is given twice")
            found[field.name] = _checked(field, meant)
    except UsageError as error:
        raise InputError(error.what, path=file) from error
    # A default is as good as nothing, and nothing excludes no other option. Not where the default is computed.
    return {name: value for name, value in found.items() if not _is_default(fields[name], value)}


def check_hash(name: str | os.PathLike[str], option: str, expected: str, found: str) -> None:
    """WeightsError where a file of weights is not the one that the configuration was made with."""
    if expected not in ("", found):
        raise WeightsError(
            f"has the SHA-256 {found[:12]}…, but the given configuration was made with {expected[:12]}…; restore that "
            f"file, or give {option} to take this one all the same",
            path=name,
        )


def _meant(fields: Mapping[str, Field], name: str, value: Any) -> tuple[Field, Any]:
    """The field that a name in the file stands for, and its value. UsageError for a name that is none."""
    words = {word.removeprefix("--"): field for field in fields.values() for word in field.flags if field.option}
    switches = {field.switch.flag.removeprefix("--"): field for field in fields.values() if field.switch is not None}
    dashed = name.replace("_", "-")
    if dashed in switches and isinstance(value, bool):
        field = switches[dashed]
        return field, field.switch.value if value and field.switch is not None else field.default
    known = fields.get(name.replace("-", "_")) or words.get(dashed)
    if known is None:
        near = difflib.get_close_matches(dashed, [*(n.replace("_", "-") for n in fields), *words, *switches], 1)
        raise UsageError(options.unknown(name, [near[0].replace("-", "_")] if near else []))
    return known, value


def _checked(field: Field, value: Any) -> Any:
    if field.option is not None and field.option.parse is not None and isinstance(value, str):
        value = field.option.parse(value)
    value = options.plain(field, value)
    if field.element is not None and isinstance(value, tuple):
        for one in value:
            options.check_value(replace(field, type=field.element), one)
    words = (*options.literals(field.type), *field.choices)
    if not (isinstance(value, str) and value in words):
        options.check_value(field, value, from_command_line=True)
    return value


def _is_default(field: Field, value: Any) -> bool:
    computed = field.option is not None and field.option.default not in (None, "") and field.switch is None
    return bool(value == field.default) and not computed
