"""JSON files of people: one image, a list of images, or one image per line (`json_format` defines an image)."""

import json
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cn import errors
from cn.detect.pose.json_format import parse_image
from cn.detect.pose.people import ImagePoses
from cn.errors import InputError
from cn.files import reason

MAX_BYTES = 64 << 20
"""Larger files are refused: no image has so many people."""


@dataclass(frozen=True)
class PoseFile:
    """The content of a file. Images are parsed one by one, so an invalid one does not affect the others."""

    path: str
    """The file's name in messages."""
    records: Sequence[Any]
    is_list: bool
    """Whether the file holds a list, even with one element."""

    def __len__(self) -> int:
        return len(self.records)

    def image(self, number: int = 0, size: tuple[int, int] | None = None, min_score: float | None = None) -> ImagePoses:
        """One of the images; `size` = (height, width) is used for those without a canvas.

        Points with a score below `min_score` count as not found. By default, all points with a score above 0 are used;
        in files without a canvas, which OpenPose itself wrote, only those that it would draw.
        Raises InputError, in one line, for invalid images.
        """
        with errors.about(f"{self.path}[{number}]" if self.is_list else self.path):
            return parse_image(self.records[number], size, min_score)

    def names(self) -> list[str]:
        """The names of the images: those of the maps in the run that wrote the records, else their numbers.

        They are paths without extension and never lead out of the output folder, whatever a record contains.
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
    """A JSON file ("-": standard input). Raises InputError, in one line, for missing or invalid files."""
    if str(path) == "-":
        return parse(sys.stdin.buffer.read(), "standard input")
    try:
        with open(path, "rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise InputError(f"cannot be read: {reason(error)}", path=path) from error
    return parse(data, str(path))


def parse(data: bytes | str, name: str) -> PoseFile:
    """The content of a JSON text; `name` is its name in messages. Raises InputError for invalid JSON."""
    with errors.about(name):
        loaded = _load(data)
    return PoseFile(name, loaded, True) if isinstance(loaded, list) else PoseFile(name, [loaded], False)


def _load(data: bytes | str) -> Any:
    if len(data) > MAX_BYTES:
        raise InputError(f"more than {MAX_BYTES >> 20} MB, too large for poses")
    try:
        loaded = _load_json_or_lines(data.decode("utf-8-sig") if isinstance(data, bytes) else data)
    except RecursionError:
        raise InputError("is nested too deeply for poses") from None
    except UnicodeDecodeError:
        raise InputError("is not UTF-8, the encoding of JSON") from None
    except ValueError as error:
        # Python's message for numbers with thousands of digits is advice for programmers.
        too_long = "digits" in str(error)
        raise InputError("holds a number with too many digits" if too_long else f"invalid JSON: {error}") from None
    if isinstance(loaded, list) and not loaded:
        raise InputError("is an empty list; expected an object for each image")
    return loaded


def _load_json_or_lines(text: str) -> Any:
    """One JSON value; several lines of objects become a list."""
    try:
        return json.loads(text)
    except ValueError:
        lines = [line for line in text.splitlines() if line.strip()]
        if len(lines) < 2 or not all(line.lstrip().startswith("{") and line.rstrip().endswith("}") for line in lines):
            raise
        return [json.loads(line) for line in lines]
