"""Poses from files, edited or made elsewhere, drawn like detected ones."""

import functools
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from cn import errors, files
from cn.conditions import ConditionInfo
from cn.detect.detector import Detection, WithoutNetwork
from cn.detect.pose.image_sizes import ImageSizes
from cn.detect.pose.json_files import PoseFile, open_poses
from cn.detect.pose.people import ImagePoses
from cn.detect.pose.pose_detection import openpose_detection
from cn.detect.settings import JSON_SUFFIXES, BodySettings, PoseFileSettings
from cn.errors import InputError
from cn.images.resizing import bounded_short_side_size


@dataclass(frozen=True)
class PoseFileDetector(PoseFileSettings, BodySettings, WithoutNetwork):
    """Skeletons of the poses in JSON files, or in the label files of YOLO."""

    kind: ClassVar[str] = "openpose"
    suffixes: ClassVar[frozenset[str]] = JSON_SUFFIXES
    sidecar_suffix: ClassVar[str] = ".json"
    canvas: tuple[int, int] | None = None
    """(height, width) for files without a canvas size."""
    hands: bool = True
    """Whether to draw the hands of the file."""
    face: bool | None = None
    """Whether to draw the faces of the file; None: no, with a warning."""
    yolo: bool = False
    """Whether the files are labels of YOLO."""

    @property
    def uses_threads(self) -> bool:
        """Threads share one reading of a file with many images."""
        return True

    def parts(self, path: str) -> Sequence[str]:
        """The names of the images of a file; an unreadable file is one image, which fails."""
        poses = _open(path, self.yolo, files.stamp(path))
        if isinstance(poses, InputError) or len(poses) == 1 or self.image_id is not None:
            return ("",)
        return poses.names()

    def read(self, path: str, part: int = 0) -> Any:
        """The `ImagePoses` of one image of a file."""
        poses = _open(path, self.yolo, files.stamp(path))
        if isinstance(poses, InputError):
            raise poses
        number = part if self.image_id is None else poses.number_of(self.image_id)
        with errors.about(poses.image_path(number)):
            image = poses.pose_image(number)
            size = self.canvas
            if size is None and self.images is not None and image.size is None:
                size = self._sizes.of(image.name or os.path.splitext(os.path.basename(path))[0])
            return image.poses(size, self.min_score)

    @functools.cached_property
    def _sizes(self) -> ImageSizes:
        assert self.images is not None
        return ImageSizes(self.images)

    def resized(self, image: Any, short_side: int) -> Any:
        """The same poses on a canvas of another size; skeletons keep the line width that controls were trained with."""
        return image.scaled(*bounded_short_side_size(image.height, image.width, short_side))

    def info(self, key: str) -> ConditionInfo:
        settings: dict[str, Any] = {"method": "from-yolo" if self.yolo else "from-json"}
        settings |= {"style": self.style, "hands": self.hands} | ({"face": True} if self.face else {})
        settings |= {"min_score": self.min_score} if self.min_score is not None else {}
        settings |= {"canvas": list(self.canvas[::-1])} if self.canvas is not None else {}
        settings |= {"images": os.path.basename(os.path.normpath(self.images))} if self.images is not None else {}
        settings |= {"image_id": self.image_id} if self.image_id is not None else {}
        return self.condition_info("poses from YOLO labels" if self.yolo else "poses from JSON", settings)

    def detect(self, images: Sequence[Any], keys: Sequence[str]) -> list[Detection]:
        return [self._detection(poses) for poses in images]

    def _detection(self, poses: ImagePoses) -> Detection:
        drawn = {"hands": self.hands, "face": bool(self.face)}
        detection = openpose_detection(poses, self.style, self.min_keypoints, **drawn)
        warnings = list(poses.warnings)
        if count := int((poses.faces[..., 2] > 0).any(axis=1).sum()) if self.face is None else 0:
            text = (
                "1 face is not drawn; --face draws it"
                if count == 1
                else f"{count} faces are not drawn; --face draws them"
            )
            warnings.append((text, "faces are not drawn; --face draws them"))
        if not warnings:
            return detection
        return replace(
            detection,
            warning="; ".join(text for text, _ in warnings),
            general_warnings=tuple(general for _, general in warnings),
        )


# One entry: the files of a folder, and the images of a file, are processed one after the other.
@functools.lru_cache(maxsize=1)
def _open(path: str, yolo: bool, stamp: tuple[int, ...]) -> PoseFile | InputError:
    """The file, or its error: standard input can be read only once."""
    try:
        return open_poses(path, yolo)
    except InputError as error:
        return error
