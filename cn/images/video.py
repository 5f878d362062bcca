"""Frames of a video, one after the other, through OpenCV's reader (FFmpeg).

video = open_video("clip.mp4", fps=5)
for number, image in video.frames(): ...
if video.missing: ...                      # the file ended too early
"""

import math
import os
from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

from cn import errors
from cn.errors import InputError
from cn.files import reason
from cn.images.resizing import MAX_PIXELS

ImageArray = NDArray[np.uint8]

_MAX_FRAMES = 100_000_000
"""More than a month of frames: larger announced numbers are errors of the file."""


class Video:
    """A video that was opened; see `open_video`. Frames are read in order, once."""

    def __init__(self, path: str, fps: float | None):
        # FFmpeg and OpenCV print to standard error themselves. FFmpeg's level is read when the first video is opened.
        os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
        import cv2

        self.path = path
        self._wanted_fps = fps
        self._cv2 = cv2
        level = cv2.utils.logging.getLogLevel()
        cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
        try:
            # An absolute path: a name with a colon would be taken for a protocol.
            self._capture = cv2.VideoCapture(os.path.abspath(path), cv2.CAP_FFMPEG)
        finally:
            cv2.utils.logging.setLogLevel(level)
        if not self._capture.isOpened():
            raise InputError("the video is broken or cut off, or its format or codec is not supported")
        self._capture.set(cv2.CAP_PROP_ORIENTATION_AUTO, 1)
        width, height = self._capture.get(cv2.CAP_PROP_FRAME_WIDTH), self._capture.get(cv2.CAP_PROP_FRAME_HEIGHT)
        if width * height > MAX_PIXELS:
            raise InputError(f"{width:.0f}×{height:.0f} pixels are too many (at most {MAX_PIXELS // 10**6} million)")
        announced = self._capture.get(cv2.CAP_PROP_FRAME_COUNT)
        self._announced = int(announced) if 0 < announced < _MAX_FRAMES else 0
        rate = self._capture.get(cv2.CAP_PROP_FPS)
        self.fps: float = rate if math.isfinite(rate) and rate > 0 else 0.0
        """Frames per second that the file states; 0 if it states none."""
        self.decoded = 0
        """The number of frames that were decoded so far, those left out by `fps` included."""
        self._ended = False

    @property
    def count(self) -> int:
        """About how many frames `frames` gives, as the file announces it; 0 if it announces nothing."""
        if self._wanted_fps is None or not self.fps:
            return self._announced
        return math.ceil(self._announced * min(1.0, self._wanted_fps / self.fps))

    @property
    def missing(self) -> int:
        """How many of the announced frames were not there when `frames` came to the end.

        0 up to 2 percent, because some containers only estimate the number from the duration.
        """
        missing = self._announced - self.decoded
        return missing if self._ended and missing > max(1, self._announced // 50) else 0

    def frames(self, wanted: Callable[[int], bool] = lambda number: True) -> Iterator[tuple[int, ImageArray]]:
        """(number, image) of each frame: numbers from 0 without gaps, uint8 (h, w, 3) RGB, upright.

        With `fps`, the first frame of each period of 1/fps seconds is taken, by the frames' own timestamps; no frame is
        doubled. Frames whose number is not `wanted` are skipped (and are cheaper). A file that is cut off gives its
        frames up to there; `missing` then says how many there should have been. Raises InputError if no frame at all
        can be decoded.
        """
        number = 0
        period = None if self._wanted_fps is None else 1 / self._wanted_fps
        due = -math.inf
        with errors.about(self.path):
            while self._capture.grab():
                time = self._time()
                self.decoded += 1
                if period is not None:
                    # Timestamps are rounded: a frame that is due within a hundredth of a period is taken.
                    if time < due - period / 100:
                        continue
                    due = (math.floor(time / period + 0.01) + 1) * period
                if wanted(number):
                    frame = self._decoded()
                    if frame is None:
                        break
                    yield number, frame
                number += 1
            self._ended = True
            self._capture.release()
            if not self.decoded:
                raise InputError("no frame of the video can be decoded; it is cut off, or its codec is not supported")

    def _decoded(self) -> NDArray[np.uint8] | None:
        """The frame that was just grabbed, None where it is damaged. InputError where memory is too short."""
        try:
            decoded, frame = self._capture.retrieve()
            return np.asarray(self._cv2.cvtColor(frame, self._cv2.COLOR_BGR2RGB), np.uint8) if decoded else None
        except self._cv2.error as error:
            raise InputError(f"a frame cannot be decoded: {' '.join(error.err.split())}") from error

    def _time(self) -> float:
        """Seconds from the start to the frame that was just grabbed."""
        time = self._capture.get(self._cv2.CAP_PROP_POS_MSEC) / 1000
        # Raw streams have no timestamps.
        return time if time > 0 or not self.fps else self.decoded / self.fps


def open_video(path: str | os.PathLike[str], fps: float | None = None) -> Video:
    """A video file, ready to be read; `fps` thins its frames out to so many a second.

    Phones' rotation is applied. Raises InputError when the file is missing, is not a video, or cannot be decoded.
    """
    name = os.fspath(path)
    with errors.about(name):
        try:
            with open(name, "rb") as file:
                head = file.read(64)
        except FileNotFoundError:
            raise InputError("no such file") from None
        except IsADirectoryError:
            raise InputError("is a folder, not a file") from None
        except OSError as error:
            raise InputError(f"cannot be read: {reason(error)}") from error
        if not head:
            raise InputError("the file is empty")
        # Playlists are text that names other files and addresses, and FFmpeg would open them.
        if head.isascii() and b"\0" not in head:
            raise InputError("not a video but text")
        return Video(name, fps)
