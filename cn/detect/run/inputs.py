"""What SRC on the command line means: a file, the images of a folder or of a pattern, or standard input."""

import glob
import os
import stat
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from cn.errors import InputError, UsageError
from cn.files import reason

_FEW = 8
"""More endings than this are those of images."""


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
    parts: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """The names of the results of a file that tells of several images, as paths below DST, without ending."""

    def __len__(self) -> int:
        return len(self.keys) + sum(len(names) - 1 for names in self.parts.values())

    def divided(self, parts: Callable[[str], Sequence[str]]) -> "Sources":
        """The same, when `parts` says of a file (its path) which images it tells of; several need a folder as DST.

        Where there are other files, they get a folder of the file's name.
        """
        pictures = ((key, parts(os.path.join(self.root, key))) for key in self.keys)
        several = {key: names for key, names in pictures if len(names) != 1}
        if not several:
            return self
        if self.single:
            return replace(self, single=False, parts=several)
        taken = {os.path.join(*split(key, self.endings)[:2]) for key in self.keys}
        for key, names in several.items():
            folder = os.path.join(*split(key, self.endings)[:2])
            several[key] = [os.path.join(folder, name) for name in names]
            if not taken.isdisjoint(several[key]):
                raise InputError(f"{key}: its images would have the names of other files of the folder {folder}")
        return replace(self, parts=several)


def find(
    src: str,
    *results: str,
    endings: frozenset[str],
    recursive: bool = False,
    stdin_paths: Iterable[str] | None = None,
) -> Sources:
    """The images that `src` names: a file, a folder, a glob pattern, or "-".

    For "-", `stdin_paths` are the lines of standard input, or None when standard input is an image itself. Folders and
    patterns give files whose names end with one of `endings` (lower case); hidden files, and what lies in one of the
    folders `results`, are left out. Raises InputError when there is nothing.
    """
    leave_out = frozenset(map(os.path.realpath, results))
    if src == "-":
        return Sources("", ("-",), True, endings) if stdin_paths is None else _listed(stdin_paths, endings)
    if os.path.isdir(src):
        keys = _sorted(_walk(src, "", tuple(endings), recursive, leave_out), endings)
        if not keys:
            deeper = "" if recursive else " (with --recursive, its sub-folders are searched too)"
            raise InputError(f"{src}: no {_sort_of_files(endings)} in this folder{deeper}")
        return Sources(src, keys, False, endings)
    if not os.path.lexists(src) and glob.has_magic(src):
        return _matched(src, endings, leave_out)
    return Sources(os.path.dirname(src), (os.path.basename(src),), True, endings)


def _walk(
    folder: str, below: str, endings: tuple[str, ...], recursive: bool, leave_out: frozenset[str]
) -> Iterator[str]:
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
            if recursive and not entry.is_symlink() and os.path.realpath(entry.path) not in leave_out:
                yield from _walk(entry.path, f"{below}{entry.name}/", endings, recursive, leave_out)
        elif entry.name.lower().endswith(endings) and (mode is None or stat.S_ISREG(mode)):
            yield below + entry.name


def _mode(path: str) -> int | None:
    """What a path is; None where that cannot be said (a link that leads nowhere): reading it will say why."""
    try:
        return os.stat(path).st_mode
    except OSError:
        return None


def inside(path: str, folder: str) -> bool:
    """Whether a path lies below a folder."""
    return path.startswith(os.path.join(folder, ""))


def _matched(pattern: str, endings: frozenset[str], leave_out: frozenset[str]) -> Sources:
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
    if below := [folder for folder in leave_out if inside(folder, os.path.realpath(root or "."))]:
        found = (path for path in found if not any(inside(os.path.realpath(path), folder) for folder in below))
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
    return sorted(keys, key=lambda key: split(key, endings))


def split(key: str, endings: frozenset[str]) -> tuple[str, str, str]:
    """Folder, name without ending, ending of a key."""
    folder, _, name = key.rpartition("/")
    lower = name.lower()
    known = (ending for ending in endings if lower.endswith(ending) and len(ending) < len(name))
    stem = name[: len(name) - len(max(known, key=len, default=os.path.splitext(name)[1]))]
    return folder, stem, name[len(stem) :]


def _sort_of_files(endings: frozenset[str]) -> str:
    """What is missing, in words: images, or files of the few endings that a reader of labels takes."""
    return "images" if len(endings) > _FEW else f"files called …{' or …'.join(sorted(endings))}"
