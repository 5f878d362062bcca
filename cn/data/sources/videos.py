"""Videos: their frames are images, decoded in order when they are asked for."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

from cn import storage
from cn.data.blobs import Blob
from cn.data.sources.listing import Listing
from cn.data.sources.request import Found, Request, counted
from cn.data.sources.sample import Part, Sample
from cn.detect.run.frames import choice
from cn.errors import InputError, UsageError
from cn.images.formats import VIDEO_SUFFIXES

FPS = 1.0
"""Frames a second that are taken where nothing else is said: neighbors are nearly the same image."""


@dataclass(frozen=True)
class Frame(Blob):
    """A decoded frame: `array` is uint8 (h, w, 3) RGB. Read as bytes, it is a PNG."""

    name: str
    array: Any = field(repr=False, compare=False)

    def read(self) -> bytes:
        from cn import images

        return images.encode(self.array, "PNG")

    @property
    def suffix(self) -> str:
        return ".png"

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True)
class VideoPart(Part):
    """One video, thinned out to `fps` frames a second; `frames` as for `cn detect` (`cn.detect.run.frames.choice`)."""

    type: ClassVar[str] = "video"
    name: str
    path: str
    fps: float | None = FPS
    frames: str | None = None
    first: int = 0
    last: int | None = None
    """Of the frames that are taken, those of the part: from number `first` up to, without, number `last`."""

    @property
    def count(self) -> int | None:
        return None

    def samples(self, start: int = 0, stop: int | None = None) -> Iterator[Sample]:
        if storage.is_url(self.path):
            raise InputError("videos are read from this machine only; copy it here", path=self.path)
        from cn.images.video import open_video

        chosen = choice(self.frames, self.fps)
        begin = chosen.first + self.first + start
        ends = [chosen.last] + [
            None if number is None else chosen.first + number - 1
            for number in (self.last, None if stop is None else self.first + stop)
        ]
        end = min((number for number in ends if number is not None), default=None)
        if end is not None and end < begin:
            return
        video = open_video(self.path, self.fps)
        for index, array in video.frames(lambda index: index + 1 >= begin):
            name = f"{self.name}#{index + 1:06}"
            yield Sample(name, Frame(f"{self.path}#{index + 1:06}", array), extra={"frame": index + 1})
            if index + 1 == end:
                return
        if video.missing:
            there = f"{video.decoded} of {video.decoded + video.missing}"
            raise InputError(f"the video is cut off: only {there} frames are there", path=self.path)

    def record(self, start: int, stop: int | None) -> dict[str, Any]:
        last = self.last if stop is None else self.first + stop
        last = last if self.last is None or last is None else min(last, self.last)
        values = {"type": self.type, "name": self.name, "path": self.path, "fps": self.fps, "frames": self.frames}
        return values | {"first": self.first + start, "last": last}

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> "VideoPart":
        """The part that `record` described."""
        return cls(**{name: record[name] for name in ("name", "path", "fps", "frames", "first", "last")})


def video_parts(paths: Sequence[tuple[str, str]], request: Request) -> list[VideoPart]:
    """The parts of videos, given as (name, path). Raises UsageError for frames that cannot be chosen."""
    chosen = choice(request.frames, request.fps)
    fps = FPS if request.fps is None and not chosen.given else request.fps
    return [VideoPart(name, path, fps, request.frames) for name, path in paths]


def words(number: int, request: Request) -> str:
    """What is taken of so many videos."""
    given = choice(request.frames, request.fps).given
    rate = FPS if request.fps is None and not given else request.fps
    taken = "" if rate is None else f", {'a frame' if rate == 1 else f'{rate:g} frames'} a second"
    return f"{counted(number, 'video')}{taken}{f', frames {request.frames}' if given else ''}"


def recognize(listing: Listing, request: Request) -> Found | None:
    """Videos where there are no images."""
    videos = listing.with_suffix(VIDEO_SUFFIXES)
    if not videos:
        return None
    parts = video_parts([(key, listing.path(key)) for key in videos], request)
    return Found("video", words(len(videos), request), parts, set(videos))


def check_request(request: Request, parts: Sequence[Part]) -> None:
    """UsageError for options of videos where there is none."""
    for option, value in (("--fps", request.fps), ("--frames", request.frames)):
        if value is not None and not any(isinstance(part, VideoPart) for part in parts):
            raise UsageError(f"{option} is for videos, and there is none", path=request.src)
