"""What SRC and DST on the command line mean: a list of jobs, each one file to read and one to write."""

import glob
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path, PurePosixPath

from cn.errors import InputError, UsageError
from cn.files import reason

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


@dataclass(frozen=True)
class Sources:
    """The images that SRC names: only their names are held in memory, however many they are."""

    root: str
    keys: Sequence[str]
    """Paths below `root` with "/", sorted by folder, name without ending, ending."""
    single: bool
    """Whether SRC named one image, so that DST may be a file."""

    def __len__(self) -> int:
        return len(self.keys)


def find(
    src: str, dst: str, *, suffixes: frozenset[str], recursive: bool = False, stdin_paths: Iterable[str] | None = None
) -> Sources:
    """The images that `src` names: a file, a folder, a glob pattern, or "-".

    For "-", `stdin_paths` are the lines of standard input, or None when standard input is an image itself. Folders and
    patterns give files with one of `suffixes`; hidden files, and what lies in the folder `dst`, are left out.
    Raises InputError when there is nothing.
    """
    if src == "-":
        return Sources("", ("-",), True) if stdin_paths is None else _listed(stdin_paths)
    if os.path.isdir(src):
        keys = sorted(_walk(src, "", suffixes, recursive, os.path.realpath(dst)), key=_order)
        if not keys:
            deeper = "" if recursive else " (with --recursive, its sub-folders are searched too)"
            raise InputError(f"{src}: no images in this folder{deeper}")
        return Sources(src, keys, False)
    if not os.path.lexists(src) and glob.has_magic(src):
        return _matched(src, suffixes, os.path.realpath(dst))
    return Sources(os.path.dirname(src), (os.path.basename(src),), True)


def jobs(sources: Sources, dst: str) -> Iterator[Job]:
    """One job for each image: the structure below the source folder is kept, the ending becomes .png.

    `a.jpg` and `a.webp` of one folder, which would both become `a.png`, keep their endings: `a.jpg.png`, `a.webp.png`.
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
    folder, root = os.path.realpath(dst), os.path.realpath(sources.root or ".")
    if folder == root or (
        _inside(folder, root) and any(_inside(os.path.join(root, key), folder) for key in sources.keys)
    ):
        raise UsageError(f"{dst}: the results would lie among the images they are made from; name another folder")
    for _, group in groupby(sources.keys, key=lambda key: _order(key)[:2]):
        keys = list(group)
        for key in keys:
            # Without its ending, unless another image of the folder would then have the same name.
            result = f"{key}.png" if len(keys) > 1 else f"{os.path.splitext(key)[0]}.png"
            yield Job(os.path.join(sources.root, key), os.path.join(dst, result), key)


def collisions(sources: Sources) -> int:
    """How many images keep their ending in the name of the result, because another one has the same name."""
    sizes = (sum(1 for _ in group) for _, group in groupby(sources.keys, key=lambda key: _order(key)[:2]))
    return sum(size for size in sizes if size > 1)


def _single(sources: Sources, dst: str) -> Job:
    (key,) = sources.keys
    source = "-" if key == "-" else os.path.join(sources.root, key)
    name = STDIN_NAME if key == "-" else key
    # A name without ending that is not there yet is meant as a folder: nobody wants a PNG called "maps".
    if dst != "-" and (os.path.isdir(dst) or dst.endswith(os.sep) or not (os.path.exists(dst) or Path(dst).suffix)):
        dst = os.path.join(dst, f"{PurePosixPath(name).stem}.png")
    if (
        source != "-"
        and dst != "-"
        and os.path.exists(dst)
        and os.path.exists(source)
        and os.path.samefile(dst, source)
    ):
        raise UsageError(f"{dst}: the result would replace the image it is made from; name another file")
    return Job(source, dst, name)


def _walk(folder: str, below: str, suffixes: frozenset[str], recursive: bool, leave_out: str) -> Iterator[str]:
    try:
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except OSError as error:
        raise InputError(f"{folder}: the folder cannot be read: {reason(error)}") from error
    for entry in entries:
        if entry.name.startswith("."):
            continue
        if entry.is_dir():
            # Links to folders may lead in circles.
            if recursive and not entry.is_symlink() and os.path.realpath(entry.path) != leave_out:
                yield from _walk(entry.path, f"{below}{entry.name}/", suffixes, recursive, leave_out)
        elif os.path.splitext(entry.name)[1].lower() in suffixes:
            yield below + entry.name


def _inside(path: str, folder: str) -> bool:
    return path.startswith(os.path.join(folder, ""))


def _matched(pattern: str, suffixes: frozenset[str], leave_out: str) -> Sources:
    """A glob pattern; `**` goes through sub-folders. The folder before the first wildcard is the root."""
    fixed: list[str] = []
    parts = pattern.split("/")
    for part in parts[:-1]:
        if glob.has_magic(part):
            break
        fixed.append(part)
    root = "/".join(fixed) or ("/" if pattern.startswith("/") else "")
    found = (path for path in glob.iglob(pattern, recursive=True) if os.path.splitext(path)[1].lower() in suffixes)
    if _inside(leave_out, os.path.realpath(root or ".")):
        found = (path for path in found if not _inside(os.path.realpath(path), leave_out))
    keys = sorted((Path(os.path.relpath(path, root or ".")).as_posix() for path in found), key=_order)
    if any(key.startswith("../") for key in keys):
        raise UsageError(f"{pattern}: '..' cannot stand behind a wildcard")
    if not keys:
        raise InputError(f"{pattern}: no image matches this pattern")
    return Sources(root, keys, False)


def _listed(lines: Iterable[str]) -> Sources:
    """Paths given one by one; the folder that they all lie in is the root."""
    paths = [os.path.normpath(line) for line in dict.fromkeys(lines) if line.strip()]
    if not paths:
        raise InputError("standard input: no paths came in")
    folders = {os.path.dirname(os.path.abspath(path)) for path in paths}
    root = os.path.commonpath(folders)
    keys = sorted({Path(os.path.relpath(os.path.abspath(path), root)).as_posix() for path in paths}, key=_order)
    # Messages and records show paths as they came in, relative ones relative.
    shown = root if any(os.path.isabs(path) for path in paths) else os.path.relpath(root)
    return Sources("" if shown == "." else shown, keys, False)


def _order(key: str) -> tuple[str, str, str]:
    folder, _, name = key.rpartition("/")
    stem, suffix = os.path.splitext(name)
    return folder, stem, suffix
