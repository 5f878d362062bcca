"""The input files that SRC names: a file, the images of a folder or of a glob pattern, or standard input."""

import glob
import os
import stat
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from cn.errors import InputError, UsageError
from cn.files import reason

_FEW = 8
"""A set of more suffixes than this is that of images."""


@dataclass(frozen=True)
class Sources:
    """The images that SRC names. Only their names are held in memory."""

    root: str
    keys: Sequence[str]
    """Paths relative to `root` with "/", sorted by folder, name without suffix, suffix."""
    single: bool
    """Whether SRC named one image, so that DST may be a file."""
    suffixes: frozenset[str] = frozenset()
    """Known suffixes; any other name's suffix is what follows its last dot."""
    parts: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """For files that describe several images: the names of their results, relative to DST, without suffix."""

    def __len__(self) -> int:
        return len(self.keys) + sum(len(names) - 1 for names in self.parts.values())

    def divided(self, parts: Callable[[str], Sequence[str]]) -> "Sources":
        """The same, where `parts` gives the names of the images that a file (its path) describes.

        If there are other files, the images of such a file get a folder of the file's name.
        """
        named = ((key, parts(os.path.join(self.root, key))) for key in self.keys)
        several = {key: names for key, names in named if len(names) != 1}
        if not several:
            return self
        if self.single:
            return replace(self, single=False, parts=several)
        taken = {os.path.join(*split(key, self.suffixes)[:2]) for key in self.keys}
        for key, names in several.items():
            folder = os.path.join(*split(key, self.suffixes)[:2])
            several[key] = [os.path.join(folder, name) for name in names]
            if not taken.isdisjoint(several[key]):
                raise InputError(f"its images would have the names of other files of the folder {folder}", path=key)
        return replace(self, parts=several)


def find(
    src: str,
    *results: str,
    suffixes: frozenset[str],
    recursive: bool = False,
    stdin_paths: Iterable[str] | None = None,
) -> Sources:
    """The images that `src` names: a file, a folder, a glob pattern, or "-".

    For "-", `stdin_paths` are the lines of standard input, or None when standard input is an image itself. Folders and
    patterns give files with one of `suffixes` (lower case); hidden files and files in the folders `results` are left
    out. Raises InputError when there are none.
    """
    leave_out = frozenset(map(os.path.realpath, results))
    if src == "-":
        return Sources("", ("-",), True, suffixes) if stdin_paths is None else _listed(stdin_paths, suffixes)
    if os.path.isdir(src):
        keys = _sorted(_walk(src, "", tuple(suffixes), recursive, leave_out), suffixes)
        if not keys:
            deeper = "" if recursive else " (with --recursive, its sub-folders are searched too)"
            raise InputError(f"no {_file_description(suffixes)} in this folder{deeper}", path=src)
        return Sources(src, keys, False, suffixes)
    if not os.path.lexists(src) and glob.has_magic(src):
        return _matched(src, suffixes, leave_out)
    return Sources(os.path.dirname(src), (os.path.basename(src),), True, suffixes)


def _walk(
    folder: str, below: str, suffixes: tuple[str, ...], recursive: bool, leave_out: frozenset[str]
) -> Iterator[str]:
    try:
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except OSError as error:
        raise InputError(f"the folder cannot be read: {reason(error)}", path=folder) from error
    for entry in entries:
        if entry.name.startswith("."):
            continue
        mode = _mode(entry.path)
        if mode is not None and stat.S_ISDIR(mode):
            # Links to folders may form cycles.
            if recursive and not entry.is_symlink() and os.path.realpath(entry.path) not in leave_out:
                yield from _walk(entry.path, f"{below}{entry.name}/", suffixes, recursive, leave_out)
        elif entry.name.lower().endswith(suffixes) and (mode is None or stat.S_ISREG(mode)):
            yield below + entry.name


def _mode(path: str) -> int | None:
    """The mode of a path; None where it cannot be read (a broken link): reading the file will report why."""
    try:
        return os.stat(path).st_mode
    except OSError:
        return None


def inside(path: str, folder: str) -> bool:
    """Whether a path is inside a folder."""
    return path.startswith(os.path.join(folder, ""))


def _matched(pattern: str, suffixes: frozenset[str], leave_out: frozenset[str]) -> Sources:
    """The files that match a glob pattern (`**`: sub-folders too). The folder before the first wildcard is the root."""
    fixed: list[str] = []
    parts = pattern.split("/")
    for part in parts[:-1]:
        if glob.has_magic(part):
            break
        fixed.append(part)
    root = "/".join(fixed) or ("/" if pattern.startswith("/") else "")
    found = (path for path in glob.iglob(pattern, recursive=True) if path.lower().endswith(tuple(suffixes)))
    found = (path for path in found if (mode := _mode(path)) is None or stat.S_ISREG(mode))
    if below := [folder for folder in leave_out if inside(folder, os.path.realpath(root or "."))]:
        found = (path for path in found if not any(inside(os.path.realpath(path), folder) for folder in below))
    keys = _sorted((Path(os.path.relpath(path, root or ".")).as_posix() for path in found), suffixes)
    if any(key.startswith("../") for key in keys):
        raise UsageError("'..' is not allowed after a wildcard", path=pattern)
    if not keys:
        raise InputError(f"no {_file_description(suffixes)} match this pattern", path=pattern)
    return Sources(root, keys, False, suffixes)


def _listed(lines: Iterable[str], suffixes: frozenset[str]) -> Sources:
    """Paths given one by one; their common folder is the root."""
    paths = [os.path.normpath(line) for line in dict.fromkeys(lines) if line.strip()]
    if not paths:
        raise InputError("standard input: no paths were given")
    folders = {os.path.dirname(os.path.abspath(path)) for path in paths}
    root = os.path.commonpath(folders)
    keys = _sorted({Path(os.path.relpath(os.path.abspath(path), root)).as_posix() for path in paths}, suffixes)
    # Messages and records show paths as they were given: relative ones stay relative.
    shown = root if any(os.path.isabs(path) for path in paths) else os.path.relpath(root)
    if len(keys) == 1:
        return Sources("" if shown == "." else shown, keys, True, suffixes)
    return Sources("" if shown == "." else shown, keys, False, suffixes)


def _sorted(keys: Iterable[str], suffixes: frozenset[str]) -> list[str]:
    return sorted(keys, key=lambda key: split(key, suffixes))


def split(key: str, suffixes: frozenset[str]) -> tuple[str, str, str]:
    """Folder, name without suffix, and suffix of a key."""
    folder, _, name = key.rpartition("/")
    lower = name.lower()
    known = (suffix for suffix in suffixes if lower.endswith(suffix) and len(suffix) < len(name))
    stem = name[: len(name) - len(max(known, key=len, default=os.path.splitext(name)[1]))]
    return folder, stem, name[len(stem) :]


def _file_description(suffixes: frozenset[str]) -> str:
    """What the files are, in words: images, or files with one of a few suffixes."""
    return "images" if len(suffixes) > _FEW else f"files called …{' or …'.join(sorted(suffixes))}"
