"""Frames of videos, animations and files of several pages: which are taken, their names, and reading them in order.

A file is decoded once, from its start, by the thread that hands out the work: seeking in videos is slow and inexact,
and a frame of an animation builds on those before it.
"""

import contextlib
import os
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import PurePath
from typing import Any

from cn.detect.run.inputs import Sources
from cn.detect.run.jobs import Frame, Job, refuse_links, results
from cn.errors import InputError, UsageError
from cn.images.formats import VIDEO_SUFFIXES

_RANGE = re.compile(r"(\d*):(\d*)")
_NUMBERED = re.compile(r"(.*)-\d+", re.DOTALL)


@dataclass(frozen=True)
class Choice:
    """Which frames are taken; numbers count from 1, as in the names of the results."""

    first: int = 1
    last: int | None = None
    fps: float | None = None
    """Frames per second that a video is thinned out to."""
    given: bool = False
    """Whether somebody chose; else all frames of videos are taken, and the first of everything else."""
    animations: bool = False
    """Whether frames of animations, and pages, are taken like those of videos."""

    def __contains__(self, number: int) -> bool:
        return number >= self.first and (self.last is None or number <= self.last)


def choice(frames: str | None, fps: float | None = None) -> Choice:
    """What `--frames` and `--fps` say: "all", "first", or N:M with both ends. Raises UsageError for anything else."""
    if frames is None or frames == "all":
        return Choice(fps=fps, given=frames is not None, animations=frames is not None)
    if frames == "first":
        return Choice(1, 1, fps, given=True)
    match = _RANGE.fullmatch(frames)
    # A number of a hundred digits is no number of a frame.
    first, last = (int(text[:12]) if text else None for text in match.groups()) if match else (0, 0)
    if first == 0 or (last is not None and last < (first or 1)):
        raise UsageError(f"--frames {frames[:40]!r}: give first, all, or N:M, two numbers of frames (the first is 1)")
    return Choice(first or 1, last, fps, given=True, animations=True)


def is_video(key: str) -> bool:
    """Whether a file is a video, by its name."""
    return PurePath(key).suffix.lower() in VIDEO_SUFFIXES


def with_sequences(sources: Sources, chosen: Choice) -> Sources:
    """The sources with those marked whose frames become one map each (`Sources.sequences`).

    Videos are told by their suffix; where frames of animations are wanted, every other file's header is read.
    """
    if chosen.animations and tuple(sources.keys) == ("-",):
        raise UsageError("--frames needs the path of a file: of an image on standard input, the first frame is used")
    sequences = {key: 0 for key in sources.keys if is_video(key)}
    if chosen.animations:
        from cn import images

        others = (key for key in sources.keys if key not in sequences)
        counts = ((key, images.frame_count(os.path.join(sources.root, key))) for key in others)
        sequences |= {key: count for key, count in counts if count > 1}
    if chosen.fps is not None and not any(count == 0 for count in sequences.values()):
        where = os.path.join(sources.root, sources.keys[0]) if sources.single else sources.root
        raise UsageError("--fps is for videos, and there is none", path=where or None)
    return replace(sources, single=sources.single and not sequences, sequences=sequences) if sequences else sources


@dataclass(frozen=True)
class FrameFile:
    """A file whose frames become one map each."""

    source: str
    key: str
    output: str
    """The path of its results, up to the number of the frame."""
    name: str
    """The same relative to DST."""
    choice: Choice
    count: int = 0
    """The number of frames; 0 for a video, which is known only at its end."""

    def job(self, number: int, image: Any = None, *, error: InputError | None = None, note: str | None = None) -> Job:
        """The job of a frame, with its image where it was needed."""
        text = f"{number:04}" if self.count else f"{number:06}"
        frame = Frame(number, self.count or None, None if self.count else self.choice.fps, image, error, note)
        output = f"{self.output}-{text}.png"
        return Job(self.source, output, f"{self.key}#{text}", f"{self.name}-{text}", frame=frame)

    def expected(self) -> int:
        """About how many frames are taken, for showing progress."""
        count = self.count
        if not count:
            from cn.images.video import open_video

            with contextlib.suppress(InputError):
                count = open_video(self.source, self.choice.fps).count
        last = count if self.choice.last is None else min(count, self.choice.last)
        return max(1, last - self.choice.first + 1)


def files(sources: Sources, dst: str, chosen: Choice) -> list[FrameFile]:
    """The files of `Sources.sequences`; NAME-0001.png and so on, with six digits for videos.

    Where these could be the names of other results, the name keeps its suffix: NAME.gif-0001.png.
    """
    if not sources.sequences:
        return []
    named = dict(results(sources))
    numbered = (_NUMBERED.fullmatch(result) for key, result in named.items() if key not in sources.sequences)
    taken = {match[1] for match in numbered if match}
    found: list[FrameFile] = []
    for key, count in sources.sequences.items():
        result = key if named[key] in taken else named[key]
        source = os.path.join(sources.root, key)
        if result in taken:
            raise InputError("the maps of its frames would have the names of other maps; rename it", path=source)
        taken.add(result)
        found.append(FrameFile(source, key, os.path.join(dst, result), result, chosen, count))
    outputs = {file.output for file in found}
    refuse_links(sources, (path for path in _links(outputs) if _NUMBERED.sub(r"\1", path[:-4]) in outputs))
    return found


def _links(outputs: Iterable[str]) -> Iterator[str]:
    """The links in the folders of results."""
    for folder in {os.path.dirname(output) for output in outputs}:
        with contextlib.suppress(OSError), os.scandir(folder or ".") as entries:
            yield from (os.path.join(folder, entry.name) for entry in entries if entry.is_symlink())


def batches(file: FrameFile, size: int, is_done: Callable[[Job], bool]) -> Iterator[list[Job]]:
    """The jobs of a file's frames, `size` at a time, read as they are asked for.

    Batches begin at the first frame that is chosen, so that their composition does not depend on what is done already.
    Frames are decoded only where a frame of their batch is not done. A file that cannot be read to its end gives what
    can be read, then a job with the error; a video that ends before its announced end one with a note.
    """
    numbers = _Numbers(file, size, is_done)
    jobs: list[Job] = []
    error: InputError | None = None
    try:
        for number, image in _read(file, numbers):
            jobs += map(file.job, numbers.passed())
            jobs.append(file.job(number, image))
            while len(jobs) >= size:
                yield jobs[:size]
                del jobs[:size]
    except InputError as failure:
        where = f"frame {numbers.last + 1}: " if numbers.last else ""
        error = InputError(f"{where}{failure.what}", path=failure.path)
    jobs += map(file.job, numbers.passed())
    yield from (jobs[start : start + size] for start in range(0, len(jobs), size))
    if error is None and numbers.last < file.choice.first:
        error = InputError(f"has no frame {file.choice.first}, only {numbers.last}", path=file.source)
    if error is not None or numbers.note is not None:
        yield [file.job(numbers.last + 1, error=error, note=numbers.note)]


class _Numbers:
    """Which frames of a file have to be decoded; it is asked for each, in order."""

    def __init__(self, file: FrameFile, size: int, is_done: Callable[[Job], bool]):
        self.file, self.size, self.is_done = file, size, is_done
        self.last = 0
        """The last frame that was there."""
        self.note: str | None = None
        self._passed: list[int] = []
        self._batch, self._needed = -1, False

    def __call__(self, index: int) -> bool:
        """Whether the frame with this index (from 0) is to be decoded."""
        number = self.last = index + 1
        chosen = self.file.choice
        if number not in chosen:
            return False
        batch = (number - chosen.first) // self.size
        if batch != self._batch:
            start = chosen.first + batch * self.size
            wanted = (n for n in range(start, start + self.size) if n in chosen)
            self._batch = batch
            self._needed = not all(self.is_done(self.file.job(n)) for n in wanted)
        if not self._needed:
            self._passed.append(number)
        return self._needed

    def passed(self) -> list[int]:
        """The frames since the last call that need not be decoded, because their maps are there."""
        passed, self._passed = self._passed, []
        return passed


def _read(file: FrameFile, wanted: _Numbers) -> Iterator[tuple[int, Any]]:
    """(number, image) of the frames to be decoded."""
    end = file.choice.last
    if file.count:
        from cn.images.frames import frames

        for index, image in frames(file.source):
            if wanted(index):
                yield index + 1, image
            if index + 1 == end:
                return
        return
    from cn.images.video import open_video

    video = open_video(file.source, file.choice.fps)
    for index, image in video.frames(wanted):
        yield index + 1, image
        if index + 1 == end:
            return
    if video.missing:
        there = f"{video.decoded} of {video.decoded + video.missing}"
        wanted.note = f"the video is cut off: only {there} frames are there"
