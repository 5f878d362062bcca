"""The names of all files of a source: of a folder, of a glob pattern, on this machine or in object storage.

Files are listed and never looked at one by one, so that millions of them take seconds.
"""

import fnmatch
import glob
import itertools
import os
import posixpath
import re
from collections.abc import Iterable
from dataclasses import dataclass, field

from cn import storage
from cn.data.sources.captions import text_files
from cn.data.sources.request import CAPTION_SUFFIXES, Request
from cn.detect.run.left_out import LeftOut
from cn.detect.run.walk import walk
from cn.errors import InputError, UsageError

_RANGE = re.compile(r"\{(\d+)\.\.(\d+)\}")
_CHOICE = re.compile(r"\{([^{}]*,[^{}]*)\}")
_MAX_EXPANDED = 10_000_000


@dataclass
class Listing:
    """Files below `root`, by paths relative to it with "/", sorted."""

    root: str
    keys: list[str]
    whole: bool
    """Whether these are all files of a folder; else those that were named or match a pattern."""
    left_out: LeftOut = field(default_factory=LeftOut)
    _suffixes: dict[str, list[str]] | None = None

    def path(self, key: str) -> str:
        """The path of a file."""
        return located(self.root, key)

    def with_suffix(self, suffixes: Iterable[str]) -> list[str]:
        """The files with one of these suffixes (lower case), in order."""
        if self._suffixes is None:
            self._suffixes = {}
            for key in self.keys:
                self._suffixes.setdefault(suffix(key), []).append(key)
        found = [self._suffixes[each] for each in suffixes if each in self._suffixes]
        return found[0] if len(found) == 1 else sorted(itertools.chain.from_iterable(found))

    def captions(self, keys: Iterable[str]) -> set[str]:
        """The text files that may belong to these images, in the same folders."""
        if self.whole:
            return set(self.with_suffix(CAPTION_SUFFIXES))
        return {
            posixpath.join(folder, name)
            for folder in {posixpath.dirname(key) for key in keys}
            for name in text_files(self.path(folder) if folder else self.root or ".")
        }

    def key(self, path: str) -> str:
        """The inverse of `path`; the path itself for a file elsewhere."""
        return path.removeprefix(storage.join(self.root, "")) if self.root else path

    def leave_out(self, keys: Iterable[str]) -> None:
        """Count files that are not read."""
        for key in keys:
            self.left_out.add_file(self.path(key), images=True)


def located(root: str, key: str) -> str:
    """The path of a file that is named relative to `root`, or by a full path or URL."""
    if storage.is_url(key) or os.path.isabs(key):
        return key
    while storage.is_url(root) and key.startswith("../"):
        # Object storage has no "..".
        root, key = root.rpartition("/")[0], key[3:]
    return storage.join(root, key)


def suffix(key: str) -> str:
    """The suffix of a name in lower case, with the dot."""
    return posixpath.splitext(key)[1].lower()


def list_source(request: Request) -> Listing:
    """The files of SRC: a folder, a pattern with `*`, `?`, `[…]` and `{00000..00012}`, or one file or URL.

    Hidden files do not count, nor what is in the folders `results`. Raises InputError where there is nothing.
    """
    src = request.src
    if storage.is_url(src):
        return _remote(request)
    if os.path.isdir(src):
        keys, left_out = _walk(src, ["*"], request)
        return Listing(src, sorted(keys), True, left_out)
    if os.path.lexists(src):
        return Listing(os.path.dirname(src), [os.path.basename(src)], False)
    return _patterns(request)


def _walk(root: str, pattern: list[str], request: Request) -> tuple[list[str], LeftOut]:
    # Every name ends with "": all files are wanted, because captions and lists are found among them.
    return walk(root, pattern, frozenset({""}), request.results, recursive=request.recursive, images=True)


def _patterns(request: Request) -> Listing:
    """The files that match a pattern, and those that a range in braces names."""
    names = expand_braces(request.src)
    root = _common_root(names)
    keys: dict[str, None] = {}
    left_out = LeftOut()
    for name in names:
        if not glob.has_magic(name):
            if not os.path.lexists(name):
                raise InputError("no such file or folder", path=name)
            keys[os.path.relpath(name, root or ".")] = None
            continue
        if ".." in name[len(root) :].split("/"):
            raise UsageError("'..' is not allowed after a wildcard", path=name)
        parts = [part for part in os.path.relpath(name, root or ".").split("/") if part]
        if not os.path.isdir(root or "."):
            raise InputError("no such folder", path=root)
        matched, out = _walk(root, parts, request)
        keys |= dict.fromkeys(matched)
        left_out.suffixes.update(out.suffixes)
        left_out.links += out.links
    if not keys:
        raise InputError("nothing matches this pattern", path=request.src)
    return Listing(root, sorted(keys), False, left_out)


def _common_root(names: list[str]) -> str:
    """The folder that all names begin with, before the first wildcard of any."""
    folders = []
    for name in names:
        parts = os.path.dirname(name).split("/")
        magic = next((number for number, part in enumerate(parts) if glob.has_magic(part)), len(parts))
        folders.append("/".join(parts[:magic]) or ("/" if name.startswith("/") else ""))
    return "" if "" in folders else os.path.commonpath(folders)


def expand_braces(name: str) -> list[str]:
    """ "{00000..00012}" and "{a,b}" as shells expand them; the name itself where there are no braces."""
    if match := _RANGE.search(name):
        first, last = match.groups()
        width = len(first) if first.startswith("0") or len(first) == len(last) else 0
        numbers = range(int(first), int(last) + 1)
        if not numbers or len(numbers) > _MAX_EXPANDED:
            raise UsageError(f"{match[0]} names no range", path=name)
        choices = [f"{number:0{width}}" for number in numbers]
    elif match := _CHOICE.search(name):
        choices = match[1].split(",")
    else:
        return [name]
    before, after = name[: match.start()], name[match.end() :]
    return [each for choice in choices for each in expand_braces(f"{before}{choice}{after}")]


def _remote(request: Request) -> Listing:
    """The objects below a URL, or those that match a pattern, or one object."""
    names = expand_braces(request.src)
    roots = {_literal(name) for name in names}
    if names == [request.src] and not glob.has_magic(request.src):
        if storage.is_folder(request.src):
            root = request.src.rstrip("/")
            return Listing(root, _below(root, request), True)
        if not storage.exists(request.src):
            raise InputError("there is no such file or folder", path=request.src)
        root, _, name = request.src.rpartition("/")
        return Listing(root, [name], False)
    root = next(iter(roots)) if len(roots) == 1 else request.src[: request.src.index("{")].rpartition("/")[0]
    wanted = [name[len(root) + 1 :] for name in names]
    if any(glob.has_magic(name) for name in wanted):
        patterns = [name.split("/") for name in wanted]
        keys = [key for key in storage.files_below(root) if any(_matches(key.split("/"), each) for each in patterns)]
    else:
        keys = sorted(wanted)
    if not keys:
        raise InputError("nothing matches this pattern", path=request.src)
    return Listing(root, keys, False)


def _below(root: str, request: Request) -> list[str]:
    keys = storage.files_below(root)
    results = [result[len(root) + 1 :].rstrip("/") + "/" for result in request.results if result.startswith(f"{root}/")]
    return [
        key
        for key in keys
        if not any(part.startswith(".") for part in key.split("/"))
        and not any(key.startswith(result) for result in results)
        and (request.recursive or "/" not in key)
    ]


def _literal(name: str) -> str:
    """The folder of a URL before its first wildcard."""
    magic = re.search(r"[*?\[]", name)
    return (name[: magic.start()] if magic else name).rpartition("/")[0]


def _matches(parts: list[str], pattern: list[str]) -> bool:
    """Whether the parts of a path match those of a pattern, of which `**` stands for any number of folders."""
    if not pattern:
        return not parts
    if pattern[0] == "**":
        return any(_matches(parts[start:], pattern[1:]) for start in range(len(parts) + 1))
    return bool(parts) and fnmatch.fnmatchcase(parts[0], pattern[0]) and _matches(parts[1:], pattern[1:])
