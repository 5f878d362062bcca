"""One walk for folders and for glob patterns: links are followed, and each real folder and file is taken once.

Which of several names is taken does not depend on the order of the disk: a real path before one that leads through a
link, then the first by name. Plain files cost no system call, so that a million of them is a matter of seconds.
"""

import fnmatch
import glob
import os
import re
import stat
from collections.abc import Callable, Iterable, Sequence

from cn.detect.run.left_out import LeftOut
from cn.errors import InputError
from cn.files import reason

ANY_FOLDERS = "**"
"""The part of a pattern that stands for any number of folders."""

_Matches = Callable[[str], object]
_Identity = tuple[int, int]


def walk(
    root: str,
    pattern: Sequence[str],
    suffixes: frozenset[str],
    results: Iterable[str],
    *,
    recursive: bool,
    images: bool,
    companions: frozenset[str] = frozenset(),
) -> tuple[list[str], LeftOut]:
    """The files below `root` that match a pattern and have one of `suffixes` (lower case), and what is left out.

    `pattern` are the parts of a glob pattern relative to `root` (`*`: all that is in it, but hidden names, as in a
    shell); with `recursive`, what is in folders that match is taken, too. Files are relative paths with "/", in no
    order. Folders named in `results` are left out, through links too, and not counted. Links that lead nowhere are
    taken: reading them says why. `images`: whether the source is one of images, so that files of other image formats
    are worth naming. `companions`: suffixes of files that belong to others and are read with them. Raises InputError
    when `root` cannot be read.
    """
    search = _Walk(root, pattern, suffixes, results, recursive, images, companions)
    search.start()
    return search.keys, search.left_out


def inside(path: str, folder: str) -> bool:
    """Whether a path is inside a folder."""
    return path.startswith(os.path.join(folder, ""))


class _Walk:
    """The pattern is followed as by an automaton: a state is the number of its parts that a path has matched."""

    def __init__(
        self,
        root: str,
        pattern: Sequence[str],
        suffixes: frozenset[str],
        results: Iterable[str],
        recursive: bool,
        images: bool,
        companions: frozenset[str],
    ):
        self.root = root
        parts = [*pattern, "*"] if pattern[-1] == ANY_FOLDERS else [*pattern]
        self.last = [len(parts) - 1]
        """The parts that the names of files match."""
        if recursive:
            parts += [ANY_FOLDERS, "*"]
            self.last.append(len(parts) - 1)
        self.parts: list[_Matches | None] = [None if part == ANY_FOLDERS else _matcher(part) for part in parts]
        self.suffixes = tuple(suffixes)
        self.companions = tuple(companions)
        self.images = images
        results = list(results)
        # Not those that the source is in: all its files would be results.
        source = os.path.realpath(root or ".")
        real = map(os.path.realpath, results)
        self.results = [folder for folder in real if source != folder and not inside(source, folder)]
        self.result_ids = {identity for folder in results if (identity := _identity(folder))}
        self.keys: list[str] = []
        self.left_out = LeftOut()
        self.visited: set[tuple[_Identity, frozenset[int]]] = set()
        self.places: dict[_Identity, list[str]] = {}
        """Of each folder that was searched, the beginnings of its files' keys."""
        self.links: list[tuple[str, frozenset[int]]] = []
        """Links that were met: key, and state of the folder that they are in."""
        self.targets: set[str] = set()
        """Files outside that were taken through links."""
        self._known: set[str] | None = None

    def start(self) -> None:
        states = self._closed({0})
        self._folders("", states)
        files: list[tuple[str, frozenset[int]]] = []
        # Folders behind links first: a file in them has a name there that is no link.
        while self.links:
            links, self.links = sorted(self.links, key=lambda link: link[0]), []
            for key, states in links:
                if self._is_folder(key):
                    self._linked_folder(key, states)
                else:
                    files.append((key, states))
        for key, states in sorted(files, key=lambda link: link[0]):
            self._linked_file(key, states)

    def _folders(self, below: str, states: frozenset[int]) -> bool:
        """Search a folder and those in it; whether it had not been searched with these states before."""
        searched = False
        pending = [(below, states)]
        while pending:
            below, states = pending.pop()
            path = os.path.join(self.root, below)
            identity = _identity(path or ".")
            if below and identity in self.result_ids:
                continue
            if identity is not None:
                if (identity, states) in self.visited:
                    continue
                self.visited.add((identity, states))
                self.places.setdefault(identity, []).append(below)
            searched = True
            pending += reversed(self._folder(path, below, states, len(self.places.get(identity or (0, 0), ())) > 1))
        return searched

    def _folder(self, path: str, below: str, states: frozenset[int], again: bool) -> list[tuple[str, frozenset[int]]]:
        """Take the files of a folder; the folders in it that are to be searched, by name."""
        folders = []
        try:
            with os.scandir(path or ".") as entries:
                for entry in entries:
                    name = entry.name
                    if entry.is_symlink():
                        self.links.append((below + name, states))
                    elif entry.is_dir(follow_symlinks=False):
                        if deeper := self._deeper(below + name, name, states):
                            folders.append((f"{below}{name}/", deeper))
                    elif self._is_match(name, states) and not (again and self._is_taken(path, name)):
                        self._file(below + name, name, entry.is_file(follow_symlinks=False))
        except OSError as error:
            if not below:
                raise InputError(f"the folder cannot be read: {reason(error)}", path=path or ".") from error
            self.left_out.name(path.rstrip("/"), f"the folder cannot be read: {reason(error)}")
        return sorted(folders, key=lambda folder: folder[0])

    def _file(self, key: str, name: str, regular: bool) -> None:
        if not regular:
            self.left_out.add("special file")
        elif self.companions and name.lower().endswith(self.companions):
            return
        elif name.lower().endswith(self.suffixes):
            self._take(key)
        else:
            self.left_out.add_file(os.path.join(self.root, key), self.images)

    def _take(self, key: str) -> None:
        self.keys.append(key)
        if self._known is not None:
            self._known.add(key)

    def _deeper(self, key: str, name: str, states: frozenset[int]) -> frozenset[int]:
        """The states in a folder of this name; none where it is not searched, which is counted if it matches."""
        after = self._closed(
            {state for state in states if self.parts[state] is None and name[0] != "."}
            | {state + 1 for state in states if self._matches(state, name)}
        )
        deeper = after - {len(self.parts)}
        if after and not deeper and not self._is_result(os.path.join(self.root, key)):
            self.left_out.folders += 1
        return deeper

    def _closed(self, states: set[int]) -> frozenset[int]:
        """With the states that are reached where `**` stands for no folder."""
        states = set(states)
        for state, part in enumerate(self.parts):
            if part is None and state in states:
                states.add(state + 1)
        return frozenset(states)

    def _matches(self, state: int, name: str) -> bool:
        matches = self.parts[state]
        return matches is not None and bool(matches(name))

    def _is_match(self, name: str, states: frozenset[int]) -> bool:
        """Whether a file of this name is at the end of the pattern."""
        return any(part in states and self._matches(part, name) for part in self.last)

    def _linked_folder(self, key: str, states: frozenset[int]) -> None:
        if self._is_result(os.path.join(self.root, key)):
            return
        deeper = self._deeper(key, os.path.basename(key), states)
        if deeper and not self._folders(f"{key}/", deeper):
            self.left_out.links += 1

    def _linked_file(self, key: str, states: frozenset[int]) -> None:
        path, name = os.path.join(self.root, key), os.path.basename(key)
        if not self._is_match(name, states) or self._is_result(path):
            return
        try:
            mode = os.stat(path).st_mode
        except OSError:
            # It leads nowhere: with the suffix of an input it is taken, and reading it says why.
            if name.lower().endswith(self.suffixes):
                self._take(key)
            else:
                self.left_out.add("broken link")
            return
        target = os.path.realpath(path)
        if name.lower().endswith(self.suffixes) and stat.S_ISREG(mode):
            if target in self.targets or self._is_taken(os.path.dirname(target), os.path.basename(target)):
                self.left_out.links += 1
                return
            self.targets.add(target)
        self._file(key, name, stat.S_ISREG(mode))

    def _is_taken(self, folder: str, name: str) -> bool:
        """Whether a file is taken already under the name that it has in its own folder."""
        if self._known is None:
            self._known = set(self.keys)
        identity = _identity(folder or ".")
        return identity is not None and any(below + name in self._known for below in self.places.get(identity, ()))

    def _is_folder(self, key: str) -> bool:
        return os.path.isdir(os.path.join(self.root, key))

    def _is_result(self, path: str) -> bool:
        """Whether a path is, or is in, one of the folders of results, followed through links."""
        real = os.path.realpath(path)
        return any(real == folder or inside(real, folder) for folder in self.results)


def _identity(path: str) -> _Identity | None:
    """What two names of one file or folder have in common; None where there is no such file."""
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _matcher(part: str) -> _Matches:
    """Whether a name matches a part of a pattern, as in a shell: `*` and `?` do not match a leading dot."""
    if part == "*":
        return lambda name: name[0] != "."
    if not glob.has_magic(part):
        return part.__eq__
    matches = re.compile(fnmatch.translate(part)).match
    return matches if part.startswith(".") else lambda name: name[0] != "." and matches(name)
