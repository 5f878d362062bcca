"""Files of people as JSON: one image, a list of them, or a line for each (`pose_json` says what an image is)."""

import json
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cn.detect.pose.json_format import Posed, picture_of
from cn.errors import InputError
from cn.files import reason

LARGEST = 64 << 20
"""Files of more bytes are refused: no image has so many people."""


@dataclass(frozen=True)
class PoseFile:
    """What a file holds: the images are looked into one by one, so that one that is broken spoils no other."""

    path: str
    """What messages call it."""
    records: Sequence[Any]
    several: bool
    """Whether it is a list, even of one."""

    def __len__(self) -> int:
        return len(self.records)

    def picture(self, number: int = 0, size: tuple[int, int] | None = None, least: float | None = None) -> Posed:
        """One of the images; `size` = (height, width) is for those that do not say it.

        Points with a score below `least` count as not found; by default, all with a score above 0 are taken, but of
        files without a canvas, which OpenPose itself wrote, only what it would draw.
        Raises InputError, in one line, for what cannot be understood.
        """
        where = f"{self.path}[{number}]" if self.several else self.path
        return picture_of(self.records[number], where, size, least)

    def names(self) -> list[str]:
        """What the images are called: as their maps were in the run that wrote the records, else by their numbers.

        Paths without ending, none of which leads out of the folder that they are put into, whatever a record says.
        """
        numbers = [f"{number:04}" for number in range(len(self))]
        outputs = [record.get("output") for record in self.records if isinstance(record, dict)]
        paths = [os.path.abspath(path) for path in outputs if isinstance(path, str) and path and "\0" not in path]
        if len(paths) < len(self):
            return numbers
        folder = os.path.commonpath([os.path.dirname(path) for path in paths])
        names = [os.path.splitext(os.path.relpath(path, folder))[0] for path in paths]
        return names if len(set(names)) == len(names) else numbers


def open_poses(path: Path | str) -> PoseFile:
    """A JSON file ("-": standard input). Raises InputError, in one line, for what is not there or is no such file."""
    if str(path) == "-":
        return parse(sys.stdin.buffer.read(), "standard input")
    try:
        with open(path, "rb") as file:
            data = file.read(LARGEST + 1)
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {reason(error)}") from error
    return parse(data, str(path))


def parse(data: bytes | str, name: str) -> PoseFile:
    """The same of a text; `name` is what messages call it."""
    if len(data) > LARGEST:
        raise InputError(f"{name}: more than {LARGEST >> 20} MB are no poses")
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
    if not isinstance(loaded, list):
        return PoseFile(name, [loaded], False)
    if not loaded:
        raise InputError(f"{name}: is an empty list, where a list has an object for each image")
    return PoseFile(name, loaded, True)


def _loaded(text: str) -> Any:
    """What JSON says; several values, a line for each, are a list."""
    try:
        return json.loads(text)
    except ValueError:
        lines = [line for line in text.splitlines() if line.strip()]
        if len(lines) < 2 or not all(line.lstrip().startswith("{") and line.rstrip().endswith("}") for line in lines):
            raise
        return [json.loads(line) for line in lines]
