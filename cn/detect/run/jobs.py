"""From SRC and DST to a list of jobs: each reads one image and writes one map."""

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import Any

from cn.detect.run.inputs import Sources, split
from cn.detect.run.walk import inside
from cn.errors import InputError, UsageError
from cn.images.formats import format_of

STDIN_NAME = "stdin"

_IMAGE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".webp"})


@dataclass(frozen=True)
class Frame:
    """A frame of a video or an animation, for `Job.frame`."""

    number: int
    """From 1."""
    count: int | None = None
    """How many frames the file has; None for videos."""
    fps: float | None = None
    """Frames per second that the video was thinned out to."""
    image: Any = None
    """uint8 (h, w, 3) RGB; None where the map is there already."""
    error: InputError | None = None
    """Why this frame cannot be read, nor any after it."""
    note: str | None = None
    """What is wrong with the file as a whole; there is no such frame."""


@dataclass(frozen=True)
class Job:
    """One image to process into one map."""

    source: str
    """Path to read; "-" is standard input."""
    output: str
    """Path to write; "-" is standard output."""
    key: str
    """Path relative to the source folder, with "/": independent of where that folder is."""
    name: str = ""
    """The name of its sidecar files, without suffix: the output's path relative to DST."""
    part: int = 0
    """The number of the image, in files that describe several."""
    frame: Frame | None = field(default=None, compare=False)
    """For a frame of a file, the frame as it was read."""


def of(sources: Sources, dst: str) -> Iterator[Job]:
    """One job for each image: the structure of the source folder is kept, the suffix becomes .png.

    `a.jpg` and `a.webp` of one folder, which would both become `a.png`, keep their suffixes: `a.jpg.png`, `a.webp.png`.
    The images of a file that describes several have their own names (`Sources.divided`); files whose frames are taken
    (`Sources.sequences`) are left to `cn.detect.run.frames`.
    Raises UsageError where a result would replace an input image, and what `check_destination` raises.
    """
    check_destination(sources, dst)
    if sources.single:
        yield _single_job(sources, dst)
        return
    refuse_links(sources, (job.output for job in _folder_jobs(sources, dst)))
    yield from _folder_jobs(sources, dst)


def check_destination(sources: Sources, dst: str) -> None:
    """Raises UsageError or InputError where `dst` cannot take the results; cheap, whatever the number of images."""
    if sources.single:
        output = _single_job(sources, dst).output
        if output != "-":
            format_of(output)
        return
    several = f"the frames of {sources.keys[0]}" if len(sources.keys) == 1 and sources.sequences else "several images"
    if dst == "-":
        raise UsageError(f"standard output takes one image; name a folder for {several}")
    if os.path.exists(dst) and not os.path.isdir(dst):
        raise InputError(f"is a file, but a folder is needed there for {several}", path=dst)
    if not os.path.exists(dst) and not dst.endswith(os.sep) and Path(dst).suffix.lower() in _IMAGE_SUFFIXES:
        raise UsageError(f"{several} need a folder; name one, or add {os.sep} if it is one", path=dst)
    if _may_overwrite_sources(sources, dst, ".png"):
        raise UsageError("the results would be written among the input images; name another folder", path=dst)


def _folder_jobs(sources: Sources, dst: str) -> Iterator[Job]:
    for key, result in results(sources):
        if key not in sources.sequences:
            yield from _file_jobs(sources, dst, key, result)


def results(sources: Sources) -> Iterator[tuple[str, str]]:
    """The key of each file, and the path of its result relative to DST, without suffix."""
    taken = {key for _, group in _grouped_by_name(sources) for key in _more_than_one(group)}
    for (folder, name), group in _grouped_by_name(sources):
        keys = list(group)
        for key in keys:
            # Without its suffix, unless another image of the folder has the same name.
            short = os.path.join(folder, name)
            result = key if len(keys) > 1 or short in taken else short
            taken |= {result} if result == key else set()
            yield key, result


def _file_jobs(sources: Sources, dst: str, key: str, result: str) -> Iterator[Job]:
    """The jobs of one file, usually one."""
    source = os.path.join(sources.root, key)
    if key not in sources.parts:
        yield Job(source, os.path.join(dst, f"{result}.png"), key, result)
    for part, name in enumerate(sources.parts.get(key, ())):
        yield Job(source, os.path.join(dst, f"{name}.png"), f"{key}#{part}", name, part)


def check_sidecars(sources: Sources, dst: str, folder: str, suffix: str) -> None:
    """Raises UsageError where sidecar files `folder`/NAME`suffix` would replace sources or results."""
    if sources.single:
        job = _single_job(sources, dst)
        path = os.path.realpath(os.path.join(folder, f"{job.name}{suffix}"))
        replaced = [other for other in (job.source, job.output) if other != "-" and os.path.realpath(other) == path]
        if replaced:
            raise UsageError(f"{replaced[0]} would be replaced; name another folder", path=folder)
    elif _may_overwrite_sources(sources, folder, suffix):
        raise UsageError("these files would be written among the input files; name another folder", path=folder)
    elif suffix == ".png" and os.path.realpath(folder) == os.path.realpath(dst):
        raise UsageError("maps with the same names are written there; name another folder", path=folder)
    else:
        refuse_links(sources, (os.path.join(folder, f"{job.name}{suffix}") for job in _folder_jobs(sources, dst)))


def _may_overwrite_sources(sources: Sources, folder: str, suffix: str) -> bool:
    """Whether files with this suffix, written into a folder, could replace sources."""
    if suffix not in sources.suffixes:
        return False
    where, root = os.path.realpath(folder), os.path.realpath(sources.root or ".")
    return where == root or (
        inside(where, root) and any(inside(os.path.join(root, key), where) for key in sources.keys)
    )


def refuse_links(sources: Sources, results: Iterable[str]) -> None:
    """Raises UsageError where a result is a link to a source, which would be overwritten through it."""
    root = os.path.realpath(sources.root or ".")
    for path in results:
        if os.path.islink(path) and inside(os.path.realpath(path), root):
            raise UsageError("is a link to one of the input files; name another folder", path=path)


def collisions(sources: Sources) -> int:
    """How many images keep their suffix in the result's name, because another one has the same name."""
    sizes = (sum(1 for _ in group) for _, group in _grouped_by_name(sources))
    return sum(size for size in sizes if size > 1)


def _more_than_one(group: Iterator[str]) -> list[str]:
    """The images of a group if they share their name, else none."""
    keys = list(group)
    return keys if len(keys) > 1 else []


def _grouped_by_name(sources: Sources) -> Iterator[tuple[tuple[str, str], Iterator[str]]]:
    """(folder, name without suffix) and the images with that name."""
    return groupby(sources.keys, key=lambda key: split(key, sources.suffixes)[:2])


def _single_job(sources: Sources, dst: str) -> Job:
    (key,) = sources.keys
    source = os.path.join(sources.root, key)
    name = STDIN_NAME if key == "-" else key
    # A name without suffix that does not exist yet means a folder: nobody wants a PNG called "maps".
    if dst != "-" and (os.path.isdir(dst) or dst.endswith(os.sep) or not (os.path.exists(dst) or Path(dst).suffix)):
        dst = os.path.join(dst, f"{split(name, sources.suffixes)[1]}.png")
    if (
        source != "-"
        and dst != "-"
        and os.path.exists(dst)
        and os.path.exists(source)
        and os.path.samefile(dst, source)
    ):
        raise UsageError("the result would replace the input image; name another file", path=dst)
    return Job(source, dst, name, Path(split(name, sources.suffixes)[1] if dst == "-" else dst).stem)
