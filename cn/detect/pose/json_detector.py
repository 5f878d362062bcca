"""Poses from JSON files, edited or made elsewhere, drawn like detected ones."""

import functools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np

from cn import files
from cn.conditions import ConditionInfo
from cn.detect.detector import Detection, WithoutNetwork
from cn.detect.pose.json_files import PoseFile, open_poses
from cn.detect.pose.pose_detection import openpose_detection
from cn.detect.settings import BodySettings, PoseFileSettings
from cn.errors import InputError
from cn.images.resizing import bounded_short_side_size


@dataclass(frozen=True)
class PoseFileDetector(PoseFileSettings, BodySettings, WithoutNetwork):
    """Skeletons of the poses in JSON files."""

    kind: ClassVar[str] = "openpose"
    suffixes: ClassVar[frozenset[str]] = frozenset({".json", ".jsonl"})
    sidecar_suffix: ClassVar[str] = ".json"
    canvas: tuple[int, int] | None = None
    """(height, width) for files without a canvas size."""
    hands: bool = True
    """Whether to draw the hands of the file."""

    @property
    def uses_threads(self) -> bool:
        """Threads share one reading of a file with many images."""
        return True

    def parts(self, path: str) -> Sequence[str]:
        """The names of the images of a file; an unreadable file is one image, which fails."""
        poses = _open(path, files.stamp(path))
        return ("",) if isinstance(poses, InputError) or len(poses) == 1 else poses.names()

    def read(self, path: str, part: int = 0) -> Any:
        """The `ImagePoses` of one image of a file."""
        poses = _open(path, files.stamp(path))
        if isinstance(poses, InputError):
            raise poses
        image = poses.image(part, self.canvas, self.min_score)
        return image if self.hands else replace(image, hands=np.zeros_like(image.hands))

    def resized(self, image: Any, short_side: int) -> Any:
        """The same poses on a canvas of another size; skeletons keep the line width that controls were trained with."""
        height, width = bounded_short_side_size(image.height, image.width, short_side)
        factor = np.array([width / image.width, height / image.height, 1.0])
        return replace(image, people=image.people * factor, hands=image.hands * factor, height=height, width=width)

    def info(self, key: str) -> ConditionInfo:
        settings: dict[str, Any] = {"method": "from-json", "style": self.style, "hands": self.hands}
        settings |= {"min_score": self.min_score} if self.min_score is not None else {}
        settings |= {"canvas": list(self.canvas[::-1])} if self.canvas is not None else {}
        return self.condition_info("poses from JSON", settings)

    def detect(self, images: Sequence[Any], keys: Sequence[str]) -> list[Detection]:
        return [openpose_detection(poses, self.style, self.min_keypoints) for poses in images]


# One entry: the files of a folder, and the images of a file, are processed one after the other.
@functools.lru_cache(maxsize=1)
def _open(path: str, stamp: tuple[int, ...]) -> PoseFile | InputError:
    """The file, or its error: standard input can be read only once."""
    try:
        return open_poses(path)
    except InputError as error:
        return error
