"""What SRC and DST on the command line mean together: a list of jobs, each with something to read and one to write."""

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from cn.detect.run.inputs import Sources, inside, split
from cn.errors import InputError, UsageError

STDIN_NAME = "stdin"

_PICTURE_ENDINGS = frozenset({".png", ".jpg", ".jpeg", ".webp"})


@dataclass(frozen=True)
class Job:
    """One image to be turned into one map."""

    source: str
    """Path to read; "-" is standard input."""
    output: str
    """Path to write; "-" is standard output."""
    key: str
    """Path below the source folder, with "/": the same wherever that folder lies."""
    name: str = ""
    """What other files that belong to it are called, without ending: the output's path below DST."""
    part: int = 0
    """Which of the images that the file tells of."""


def of(sources: Sources, dst: str) -> Iterator[Job]:
    """One job for each image: the structure below the source folder is kept, the ending becomes .png.

    `a.jpg` and `a.webp` of one folder, which would both become `a.png`, keep their endings: `a.jpg.png`, `a.webp.png`.
    The images of a file that tells of several have names of their own (`Sources.divided`).
    Raises UsageError where a result would replace an image that is to be read.
    """
    if sources.single:
        yield _single(sources, dst)
        return
    if dst == "-":
        raise UsageError("standard output takes one image; name a folder for several")
    if os.path.exists(dst) and not os.path.isdir(dst):
        raise InputError(f"{dst}: is a file, but a folder is needed there for several images")
    if not os.path.exists(dst) and not dst.endswith(os.sep) and Path(dst).suffix.lower() in _PICTURE_ENDINGS:
        raise UsageError(f"{dst}: several images need a folder; name one, or end it with {os.sep} if it is one")
    if _among(sources, dst, ".png"):
        raise UsageError(f"{dst}: the results would lie among the images they are made from; name another folder")
    _refuse_links(sources, (job.output for job in _each(sources, dst)))
    yield from _each(sources, dst)


def _each(sources: Sources, dst: str) -> Iterator[Job]:
    taken = {key for _, group in _of_one_name(sources) for key in _several(group)}
    for (below, stem), group in _of_one_name(sources):
        keys = list(group)
        for key in keys:
            # Without its ending, unless another image of the folder would then have the same name.
            short = os.path.join(below, stem)
            result = key if len(keys) > 1 or short in taken else short
            taken |= {result} if result == key else set()
            yield from _of_one_file(sources, dst, key, result)


def _of_one_file(sources: Sources, dst: str, key: str, result: str) -> Iterator[Job]:
    """The jobs of one file, most often one."""
    source = os.path.join(sources.root, key)
    if key not in sources.parts:
        yield Job(source, os.path.join(dst, f"{result}.png"), key, result)
    for part, name in enumerate(sources.parts.get(key, ())):
        yield Job(source, os.path.join(dst, f"{name}.png"), f"{key}#{part}", name, part)


def check_beside(sources: Sources, dst: str, folder: str, ending: str) -> None:
    """Raises UsageError where files `folder`/NAME`ending`, one for each job, would replace sources or results."""
    if sources.single:
        job = _single(sources, dst)
        path = os.path.realpath(os.path.join(folder, f"{job.name}{ending}"))
        replaced = [other for other in (job.source, job.output) if other != "-" and os.path.realpath(other) == path]
        if replaced:
            raise UsageError(f"{folder}: {replaced[0]} would be replaced; name another folder")
    elif _among(sources, folder, ending):
        raise UsageError(f"{folder}: what is written there would lie among the files it is made from; name another one")
    elif ending == ".png" and os.path.realpath(folder) == os.path.realpath(dst):
        raise UsageError(f"{folder}: maps are written there under the same names; name another folder")
    else:
        _refuse_links(sources, (os.path.join(folder, f"{job.name}{ending}") for job in _each(sources, dst)))


def _among(sources: Sources, folder: str, ending: str) -> bool:
    """Whether files with this ending in a folder could be taken for some of the sources."""
    if ending not in sources.endings:
        return False
    where, root = os.path.realpath(folder), os.path.realpath(sources.root or ".")
    return where == root or (
        inside(where, root) and any(inside(os.path.join(root, key), where) for key in sources.keys)
    )


def _refuse_links(sources: Sources, results: Iterable[str]) -> None:
    """Raises UsageError where a result that is a link leads to a source, which would be written through it."""
    root = os.path.realpath(sources.root or ".")
    for path in results:
        if os.path.islink(path) and inside(os.path.realpath(path), root):
            raise UsageError(f"{path}: is a link to what is among the files that are read; name another folder")


def collisions(sources: Sources) -> int:
    """How many images keep their ending in the name of the result, because another one has the same name."""
    sizes = (sum(1 for _ in group) for _, group in _of_one_name(sources))
    return sum(size for size in sizes if size > 1)


def _several(group: Iterator[str]) -> list[str]:
    keys = list(group)
    return keys if len(keys) > 1 else []


def _of_one_name(sources: Sources) -> Iterator[tuple[tuple[str, str], Iterator[str]]]:
    """(folder, name without ending) and the images that have it."""
    return groupby(sources.keys, key=lambda key: split(key, sources.endings)[:2])


def _single(sources: Sources, dst: str) -> Job:
    (key,) = sources.keys
    source = os.path.join(sources.root, key)
    name = STDIN_NAME if key == "-" else key
    # A name without ending that is not there yet is meant as a folder: nobody wants a PNG called "maps".
    if dst != "-" and (os.path.isdir(dst) or dst.endswith(os.sep) or not (os.path.exists(dst) or Path(dst).suffix)):
        dst = os.path.join(dst, f"{split(name, sources.endings)[1]}.png")
    if (
        source != "-"
        and dst != "-"
        and os.path.exists(dst)
        and os.path.exists(source)
        and os.path.samefile(dst, source)
    ):
        raise UsageError(f"{dst}: the result would replace the image it is made from; name another file")
    return Job(source, dst, name, Path(split(name, sources.endings)[1] if dst == "-" else dst).stem)
