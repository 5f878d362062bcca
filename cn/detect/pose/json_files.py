"""Files of poses: JSON of one image, a list of images, one image per line, of OpenPose or of another tool."""

import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cn import errors
from cn.detect.pose import json_format, pose_tools
from cn.detect.pose.coco_annotations import without_outlines
from cn.detect.pose.json_numbers import kind_of
from cn.detect.pose.people import ImagePoses
from cn.detect.pose.pose_images import PoseImage
from cn.detect.pose.yolo_labels import yolo_image
from cn.errors import InputError
from cn.files import reason
from cn.json_text import decode_text, parse_json
from cn.text import first_names, shown

MAX_BYTES = 512 << 20
"""Larger files are refused; the annotations of COCO's 118,000 training images take half of it."""


@dataclass(frozen=True)
class PoseFile:
    """The content of a file. Images are parsed one by one, so an invalid one does not affect the others."""

    path: str
    """The file's name in messages."""
    records: Sequence[Any]
    """`PoseImage`s, or values of JSON in OpenPose's format, valid or not."""
    is_list: bool
    """Whether the file holds a list, even with one element."""

    def __len__(self) -> int:
        return len(self.records)

    def image(self, number: int = 0, size: tuple[int, int] | None = None, min_score: float | None = None) -> ImagePoses:
        """The poses of one of the images; `size` = (height, width) is used for those without a canvas.

        Points with a score below `min_score` count as not found. By default, all points with a score above 0 are used;
        in files of tools that also write points that they would not draw, only those that they would.
        Raises InputError, in one line, for invalid images.
        """
        with errors.about(self.image_path(number)):
            return self.pose_image(number).poses(size, min_score)

    def image_path(self, number: int) -> str:
        """How errors call one of the images."""
        return f"{self.path}[{number}]" if self.is_list else self.path

    def pose_image(self, number: int) -> PoseImage:
        """One of the images, not yet parsed. Raises InputError, without a path, for a value that is none."""
        record = self.records[number]
        return record if isinstance(record, PoseImage) else json_format.pose_image(record)

    def number_of(self, image_id: str) -> int:
        """The number of the image that the file calls so. Raises InputError where there is none."""
        ids = [record.ids if isinstance(record, PoseImage) else () for record in self.records]
        for number, (known, name) in enumerate(zip(ids, self.names(), strict=True)):
            if image_id in (*known, name):
                return number
        names = [known[0] for known in ids if known] or self.names()
        raise InputError(f"has no image {shown(image_id)}; it has {len(self)}: {first_names(names)}", path=self.path)

    def names(self) -> list[str]:
        """The names of the images: those of the maps in the run that wrote the records, else their numbers.

        They are paths without extension and never lead out of the output folder, whatever a record contains.
        """
        numbers = [f"{number:04}" for number in range(len(self))]
        outputs = [_name(record) for record in self.records]
        paths = [os.path.abspath(path) for path in outputs if isinstance(path, str) and path and "\0" not in path]
        if not paths or len(paths) < len(self):
            return numbers
        folder = os.path.commonpath([os.path.dirname(path) for path in paths])
        names = [os.path.splitext(os.path.relpath(path, folder))[0] for path in paths]
        return names if len(set(names)) == len(names) else numbers


def _too_large(path: Path | str | None = None) -> InputError:
    return InputError(f"more than {MAX_BYTES >> 20} MB, too large for poses", path=path)


def open_poses(path: Path | str, yolo: bool = False) -> PoseFile:
    """A JSON file ("-": standard input), or a label file of YOLO.

    Raises InputError, in one line, for missing or invalid files.
    """
    if str(path) == "-":
        return parse(sys.stdin.buffer.read(), "standard input", yolo)
    try:
        with open(path, "rb") as file:
            if os.fstat(file.fileno()).st_size > MAX_BYTES:
                raise _too_large(path)
            # Not `read(MAX_BYTES)`, which takes that much memory before it reads.
            data = file.read()
    except OSError as error:
        raise InputError(f"cannot be read: {reason(error)}", path=path) from error
    return parse(data, str(path), yolo)


def parse(data: bytes | str, name: str, yolo: bool = False) -> PoseFile:
    """The content of a JSON text, or of YOLO's labels; `name` is its name in messages. InputError for other texts."""
    with errors.about(name):
        if len(data) > MAX_BYTES:
            raise _too_large()
        if yolo:
            return PoseFile(name, [yolo_image(data if isinstance(data, bytes) else data.encode())], False)
        try:
            loaded = _json_or_lines(decode_text(data))
        except InputError as error:
            if name.lower().endswith(".txt"):
                raise InputError(f"{error.what}; YOLO's labels are read with --from-yolo") from None
            raise
        if isinstance(loaded, list) and not loaded:
            raise InputError("is an empty list; expected an object for each image")
        if _is_openpose(loaded):
            return PoseFile(name, loaded, True) if isinstance(loaded, list) else PoseFile(name, [loaded], False)
        if isinstance(loaded, list) and not any(isinstance(one, dict | list) for one in loaded):
            return PoseFile(name, loaded, True)
        images = pose_tools.recognized(loaded)
        if images is None and isinstance(loaded, list) and all(map(_is_value_of_tool, loaded)):
            # One image per line, as OpenPifPaf writes for videos.
            images = [image for one in loaded for image in pose_tools.recognized(one) or ()]
        if images is None:
            raise InputError(_unknown(loaded))
        if not images:
            raise InputError("describes no image with people")
        return PoseFile(name, images, len(images) > 1)


def _is_openpose(loaded: Any) -> bool:
    """Whether a value is an image, or a list with images of OpenPose, or at least not of anybody else."""
    return any(map(json_format.is_image, loaded)) if isinstance(loaded, list) else json_format.is_image(loaded)


def _is_value_of_tool(value: Any) -> bool:
    return isinstance(value, dict) and pose_tools.recognized(value) is not None


def _unknown(loaded: Any) -> str:
    """What is wrong with a value that has no known structure."""
    if not isinstance(loaded, dict | list):
        return f'is {kind_of(loaded)}, where an image is an object with "people"'
    return (
        f'has no "people", and is no file of poses that is read: {pose_tools.NAMES} (docs/detect.md shows their form)'
    )


def _json_or_lines(text: str) -> Any:
    """One JSON value; several lines of objects become a list."""
    try:
        return parse_json(text, object_hook=without_outlines)
    except InputError:
        lines = [line for line in text.splitlines() if line.strip()]
        if len(lines) < 2 or not all(line.lstrip().startswith("{") and line.rstrip().endswith("}") for line in lines):
            raise
        return [parse_json(line) for line in lines]


def _name(record: Any) -> Any:
    """The file that an image is named after."""
    if isinstance(record, PoseImage):
        return record.name
    return record.get("output") if isinstance(record, dict) else None
