"""The input files that SRC names: a file, the images of a folder or of a glob pattern, or standard input."""

import functools
import glob
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from cn.detect.run.left_out import LeftOut, nothing
from cn.detect.run.walk import walk
from cn.errors import InputError, UsageError

_FEW = 8
"""A set of more suffixes than this is that of images."""


@dataclass(frozen=True)
class Sources:
    """The images and videos that SRC names. Only their names are held in memory."""

    root: str
    keys: Sequence[str]
    """Paths relative to `root` with "/", sorted by folder, name without suffix, suffix."""
    single: bool
    """Whether SRC named one image, so that DST may be a file."""
    suffixes: frozenset[str] = frozenset()
    """Known suffixes; any other name's suffix is what follows its last dot."""
    parts: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """For files that describe several images: the names of their results, relative to DST, without suffix."""
    sequences: Mapping[str, int] = field(default_factory=dict)
    """Of the files whose frames become one map each: the number of frames, 0 for videos (`cn.detect.run.frames`)."""
    left_out: LeftOut = field(default_factory=LeftOut)
    """What lies in the folder and is not processed."""

    def __len__(self) -> int:
        """The number of images, without those of `sequences`."""
        return len(self.keys) - len(self.sequences) + sum(len(names) - 1 for names in self.parts.values())

    def divided(self, parts: Callable[[str], Sequence[str]]) -> "Sources":
        """The same, where `parts` gives the names of the images that a file (its path) describes.

        If there are other files, the images of such a file get a folder of the file's name.
        """
        files = (key for key in self.keys if key not in self.sequences)
        named = ((key, parts(os.path.join(self.root, key))) for key in files)
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
    images: bool = True,
    companions: frozenset[str] = frozenset(),
) -> Sources:
    """The images that `src` names: a file, a folder, a glob pattern, or "-".

    For "-", `stdin_paths` are the lines of standard input, or None when standard input is an image itself. Folders and
    patterns give files with one of `suffixes` (lower case), each once (`cn.detect.run.walk`), and what is left out is
    counted; hidden files and files in the folders `results` do not count. `images`: whether files of other image
    formats are worth naming. `companions`: suffixes of files that belong to others. Raises InputError when there are
    none, naming what there is.
    """
    if src == "-":
        return Sources("", ("-",), True, suffixes) if stdin_paths is None else _listed(stdin_paths, suffixes)
    if os.path.isdir(src):
        root, pattern, where = src, ["*"], "in this folder"
    elif not os.path.lexists(src) and glob.has_magic(src):
        root, pattern = _divided(src)
        where = "match this pattern"
    else:
        if not os.path.lexists(src) and os.access(os.path.dirname(src) or ".", os.X_OK):
            raise InputError("no such file", path=src)
        return Sources(os.path.dirname(src), (os.path.basename(src),), True, suffixes)
    keys, left_out = walk(root, pattern, suffixes, results, recursive=recursive, images=images, companions=companions)
    if not keys:
        raise InputError(nothing(f"no {_file_description(suffixes)} {where}", left_out), path=src)
    return Sources(root, _sorted(keys, suffixes), False, suffixes, left_out=left_out)


def _divided(pattern: str) -> tuple[str, list[str]]:
    """The folder before a pattern's first wildcard, and the parts of the pattern from there on."""
    parts = pattern.split("/")
    first = next(number for number, part in enumerate(parts) if glob.has_magic(part))
    root = "/".join(parts[:first]) or ("/" if pattern.startswith("/") else "")
    if ".." in parts[first:]:
        raise UsageError("'..' is not allowed after a wildcard", path=pattern)
    if not parts[-1]:
        raise UsageError("names folders; add * for the files in them", path=pattern)
    if not os.path.isdir(root or "."):
        raise InputError("no such folder", path=root)
    return root, [part for part in parts[first:] if part not in ("", ".")]


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
    suffix = os.path.splitext(name)[1]
    if compound := _compound(suffixes):
        lower = name.lower()
        known = (other for other in compound if lower.endswith(other) and len(other) < len(name))
        suffix = max(known, key=len, default=suffix)
    stem = name[: len(name) - len(suffix)]
    return folder, stem, name[len(stem) :]


@functools.cache
def _compound(suffixes: frozenset[str]) -> tuple[str, ...]:
    """The suffixes that are more than what follows a name's last dot: `_depth.npy`."""
    return tuple(suffix for suffix in suffixes if os.path.splitext(f"name{suffix}")[1] != suffix)


def _file_description(suffixes: frozenset[str]) -> str:
    """What the files are, in words: images, or files with one of a few suffixes."""
    return "images" if len(suffixes) > _FEW else f"files called …{' or …'.join(sorted(suffixes))}"
