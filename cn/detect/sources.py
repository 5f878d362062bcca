"""What SRC and DST on the command line mean: a list of jobs, each one file to read and one to write."""

import glob
import os
import stat
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from cn.errors import InputError, UsageError
from cn.files import reason

STDIN_NAME = "stdin"
_FEW = 8
"""More endings than this are those of images."""

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


@dataclass(frozen=True)
class Sources:
    """The images that SRC names: only their names are held in memory, however many they are."""

    root: str
    keys: Sequence[str]
    """Paths below `root` with "/", sorted by folder, name without ending, ending."""
    single: bool
    """Whether SRC named one image, so that DST may be a file."""
    endings: frozenset[str] = frozenset()
    """What a name without its ending lacks: one of these, or what follows its last point."""

    def __len__(self) -> int:
        return len(self.keys)


def find(
    src: str, dst: str, *, endings: frozenset[str], recursive: bool = False, stdin_paths: Iterable[str] | None = None
) -> Sources:
    """The images that `src` names: a file, a folder, a glob pattern, or "-".

    For "-", `stdin_paths` are the lines of standard input, or None when standard input is an image itself. Folders and
    patterns give files whose names end with one of `endings` (lower case); hidden files, and what lies in the folder
    `dst`, are left out. Raises InputError when there is nothing.
    """
    if src == "-":
        return Sources("", ("-",), True, endings) if stdin_paths is None else _listed(stdin_paths, endings)
    if os.path.isdir(src):
        keys = _sorted(_walk(src, "", tuple(endings), recursive, os.path.realpath(dst)), endings)
        if not keys:
            deeper = "" if recursive else " (with --recursive, its sub-folders are searched too)"
            raise InputError(f"{src}: no {_sort_of_files(endings)} in this folder{deeper}")
        return Sources(src, keys, False, endings)
    if not os.path.lexists(src) and glob.has_magic(src):
        return _matched(src, endings, os.path.realpath(dst))
    return Sources(os.path.dirname(src), (os.path.basename(src),), True, endings)


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
    taken = {key for _, group in _of_one_name(sources) for key in _several(group)}
    for (below, stem), group in _of_one_name(sources):
        keys = list(group)
        for key in keys:
            # Without its ending, unless another image of the folder would then have the same name.
            short = os.path.join(below, stem)
            result = key if len(keys) > 1 or short in taken else short
            taken |= {result} if result == key else set()
            yield Job(os.path.join(sources.root, key), os.path.join(dst, f"{result}.png"), key, result)


def collisions(sources: Sources) -> int:
    """How many images keep their ending in the name of the result, because another one has the same name."""
    sizes = (sum(1 for _ in group) for _, group in _of_one_name(sources))
    return sum(size for size in sizes if size > 1)


def _several(group: Iterator[str]) -> list[str]:
    keys = list(group)
    return keys if len(keys) > 1 else []


def _of_one_name(sources: Sources) -> Iterator[tuple[tuple[str, str], Iterator[str]]]:
    """(folder, name without ending) and the images that have it."""
    return groupby(sources.keys, key=lambda key: _parts(key, sources.endings)[:2])


def _single(sources: Sources, dst: str) -> Job:
    (key,) = sources.keys
    source = "-" if key == "-" else os.path.join(sources.root, key)
    name = STDIN_NAME if key == "-" else key
    # A name without ending that is not there yet is meant as a folder: nobody wants a PNG called "maps".
    if dst != "-" and (os.path.isdir(dst) or dst.endswith(os.sep) or not (os.path.exists(dst) or Path(dst).suffix)):
        dst = os.path.join(dst, f"{_parts(name, sources.endings)[1]}.png")
    if (
        source != "-"
        and dst != "-"
        and os.path.exists(dst)
        and os.path.exists(source)
        and os.path.samefile(dst, source)
    ):
        raise UsageError(f"{dst}: the result would replace the image it is made from; name another file")
    return Job(source, dst, name, Path(_parts(name, sources.endings)[1] if dst == "-" else dst).stem)


def _walk(folder: str, below: str, endings: tuple[str, ...], recursive: bool, leave_out: str) -> Iterator[str]:
    try:
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except OSError as error:
        raise InputError(f"{folder}: the folder cannot be read: {reason(error)}") from error
    for entry in entries:
        if entry.name.startswith("."):
            continue
        mode = _mode(entry.path)
        if mode is not None and stat.S_ISDIR(mode):
            # Links to folders may lead in circles.
            if recursive and not entry.is_symlink() and os.path.realpath(entry.path) != leave_out:
                yield from _walk(entry.path, f"{below}{entry.name}/", endings, recursive, leave_out)
        elif entry.name.lower().endswith(endings) and (mode is None or stat.S_ISREG(mode)):
            yield below + entry.name


def _mode(path: str) -> int | None:
    """What a path is; None where that cannot be said (a link that leads nowhere): reading it will say why."""
    try:
        return os.stat(path).st_mode
    except OSError:
        return None


def _inside(path: str, folder: str) -> bool:
    return path.startswith(os.path.join(folder, ""))


def _matched(pattern: str, endings: frozenset[str], leave_out: str) -> Sources:
    """A glob pattern; `**` goes through sub-folders. The folder before the first wildcard is the root."""
    fixed: list[str] = []
    parts = pattern.split("/")
    for part in parts[:-1]:
        if glob.has_magic(part):
            break
        fixed.append(part)
    root = "/".join(fixed) or ("/" if pattern.startswith("/") else "")
    found = (path for path in glob.iglob(pattern, recursive=True) if path.lower().endswith(tuple(endings)))
    found = (path for path in found if (mode := _mode(path)) is None or stat.S_ISREG(mode))
    if _inside(leave_out, os.path.realpath(root or ".")):
        found = (path for path in found if not _inside(os.path.realpath(path), leave_out))
    keys = _sorted((Path(os.path.relpath(path, root or ".")).as_posix() for path in found), endings)
    if any(key.startswith("../") for key in keys):
        raise UsageError(f"{pattern}: '..' cannot stand behind a wildcard")
    if not keys:
        raise InputError(f"{pattern}: no {_sort_of_files(endings)} match this pattern")
    return Sources(root, keys, False, endings)


def _listed(lines: Iterable[str], endings: frozenset[str]) -> Sources:
    """Paths given one by one; the folder that they all lie in is the root."""
    paths = [os.path.normpath(line) for line in dict.fromkeys(lines) if line.strip()]
    if not paths:
        raise InputError("standard input: no paths came in")
    folders = {os.path.dirname(os.path.abspath(path)) for path in paths}
    root = os.path.commonpath(folders)
    keys = _sorted({Path(os.path.relpath(os.path.abspath(path), root)).as_posix() for path in paths}, endings)
    # Messages and records show paths as they came in, relative ones relative.
    shown = root if any(os.path.isabs(path) for path in paths) else os.path.relpath(root)
    if len(keys) == 1:
        return Sources("" if shown == "." else shown, keys, True, endings)
    return Sources("" if shown == "." else shown, keys, False, endings)


def _sorted(keys: Iterable[str], endings: frozenset[str]) -> list[str]:
    return sorted(keys, key=lambda key: _parts(key, endings))


def _parts(key: str, endings: frozenset[str]) -> tuple[str, str, str]:
    """Folder, name without ending, ending of a key."""
    folder, _, name = key.rpartition("/")
    lower = name.lower()
    known = (ending for ending in endings if lower.endswith(ending) and len(ending) < len(name))
    stem = name[: len(name) - len(max(known, key=len, default=os.path.splitext(name)[1]))]
    return folder, stem, name[len(stem) :]


def _sort_of_files(endings: frozenset[str]) -> str:
    """What is missing, in words: images, or files of the few endings that a reader of labels takes."""
    return "images" if len(endings) > _FEW else f"files called …{' or …'.join(sorted(endings))}"
