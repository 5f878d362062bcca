"""Read settings files and check their values."""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cn.errors import InputError, about
from cn.files import reason
from cn.json_text import parse_json
from cn.text import shown


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object; {} if the file does not exist, InputError if it holds anything else."""
    with about(path):
        try:
            content = parse_json(path.read_bytes())
        except FileNotFoundError:
            return {}
        except OSError as error:
            raise InputError(f"cannot be read: {reason(error)}") from error
        if not isinstance(content, dict):
            raise InputError("a JSON object was expected")
        return content


def number(settings: Mapping[str, Any], name: str) -> float | None:
    """A number above 0, None where it is not set; InputError for anything else."""
    value = settings.get(name)
    if value is None:
        return None
    if type(value) not in (int, float) or not 0 < value <= sys.float_info.max:
        raise InputError(f"{name} is {shown(repr(value))}, and should be a number above 0")
    return float(value)


def whole_number(settings: Mapping[str, Any], name: str) -> int | None:
    """As `number` for whole numbers."""
    value = settings.get(name)
    if value is not None and (type(value) is not int or value < 1):
        raise InputError(f"{name} is {shown(repr(value))}, and should be a whole number above 0")
    return value
