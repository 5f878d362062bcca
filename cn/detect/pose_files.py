"""Files of people as JSON: one picture, a list of them, or a line for each (`pose_json` says what a picture is)."""

import json
import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from cn.detect.pose_json import Posed, picture_of
from cn.errors import InputError
from cn.files import reason

LARGEST = 64 << 20
"""Files of more bytes are refused: no picture has so many people."""


def read(path: Path | str, size: tuple[int, int] | None = None, least: float | None = None) -> list[Posed]:
    """The pictures of a JSON file; `size` = (height, width) is for those that do not say it.

    Points with a score below `least` count as not found; by default, all with a score above 0 are taken, but of files
    without a canvas, which OpenPose itself wrote, only what it would draw.
    Raises InputError, in one line, for what is not there or cannot be understood.
    """
    try:
        with open(path, "rb") as file:
            data = file.read(LARGEST + 1)
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {reason(error)}") from error
    if len(data) > LARGEST:
        raise InputError(f"{path}: more than {LARGEST >> 20} MB are no poses")
    return parse(data, str(path), size, least)


def parse(data: bytes | str, name: str, size: tuple[int, int] | None = None, least: float | None = None) -> list[Posed]:
    """The same of a text; `name` is what messages call it."""
    try:
        loaded = _loaded(data.decode("utf-8-sig") if isinstance(data, bytes) else data)
    except RecursionError:
        raise InputError(f"{name}: is nested too deeply for poses") from None
    except UnicodeDecodeError:
        raise InputError(f"{name}: is not UTF-8, as JSON is") from None
    except ValueError as error:
        # Python's message for numbers of thousands of digits is advice for programmers.
        what = "holds a number with too many digits" if "digits" in str(error) else f"is no JSON: {error}"
        raise InputError(f"{name}: {what}") from None
    if isinstance(loaded, list):
        if not loaded:
            raise InputError(f"{name}: is an empty list, where a list has an object for each picture")
        pictures = [picture_of(picture, f"{name}[{number}]", size, least) for number, picture in enumerate(loaded)]
        return [replace(picture, name=called) for picture, called in zip(pictures, _names(loaded), strict=True)]
    return [picture_of(loaded, name, size, least)]


def _loaded(text: str) -> Any:
    """What JSON says; several values, a line for each, are a list."""
    try:
        return json.loads(text)
    except ValueError:
        lines = [line for line in text.splitlines() if line.strip()]
        if len(lines) < 2 or not all(line.lstrip().startswith("{") and line.rstrip().endswith("}") for line in lines):
            raise
        return [json.loads(line) for line in lines]


def _names(records: Sequence[Any]) -> list[str]:
    """What pictures are called: as their maps were in the run that wrote the records, else by their numbers."""
    if len(records) == 1:
        return [""]
    numbers = [f"{number:04}" for number in range(len(records))]
    outputs = [record.get("output") for record in records if isinstance(record, dict)]
    paths = [os.path.abspath(path) for path in outputs if isinstance(path, str) and path and "\0" not in path]
    if len(paths) < len(records):
        return numbers
    # Without "..", whatever a record says: nothing is written outside of the folder of results.
    folder = os.path.commonpath([os.path.dirname(path) for path in paths])
    names = [os.path.splitext(os.path.relpath(path, folder))[0] for path in paths]
    return names if len(set(names)) == len(names) else numbers
