"""What lies in a source and is not processed, counted: nothing vanishes in silence."""

import bisect
import os
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from cn.images.formats import unread

MAX_NAMED = 10
"""Files that are named, and suffixes that are listed."""

_MAX_SUFFIXES = 1000
"""Of names like IMG.0001, IMG.0002, … not every suffix is counted on its own."""

WITHOUT_SUFFIX, OTHERS = "without suffix", "others"

_NOISE = frozenset({"thumbs.db", "desktop.ini", "icon\r"})
"""What file managers leave in folders (lower case), besides hidden files."""


@dataclass
class LeftOut:
    """Counts of what is not processed. Hidden files, what file managers leave and earlier results do not count."""

    suffixes: "Counter[str]" = field(default_factory=Counter)
    """Files by suffix (lower case), or by what they are where they have none."""
    named: list[tuple[str, str]] = field(default_factory=list)
    """The first of those that look like images or cannot be read: path, and what is wrong or to be done."""
    named_count: int = 0
    folders: int = 0
    """Folders that are not searched, because that was not asked for."""
    links: int = 0
    """Links to files and folders that are processed already under another name."""

    def __bool__(self) -> bool:
        return bool(self.suffixes or self.named or self.folders or self.links)

    def add_file(self, path: str, images: bool) -> None:
        """Count a file; where the source is one of `images`, one that looks like an image is named, too."""
        name = os.path.basename(path)
        if name.lower() in _NOISE:
            return
        suffix = os.path.splitext(name)[1].lower()
        self.add(suffix if 1 < len(suffix) <= 12 and suffix.isprintable() else WITHOUT_SUFFIX)
        if images and (advice := unread(name)):
            self.name(path, advice)

    def add(self, what: str) -> None:
        """Count a file under what it is."""
        self.suffixes[what if what in self.suffixes or len(self.suffixes) < _MAX_SUFFIXES else OTHERS] += 1

    def name(self, path: str, what: str) -> None:
        """Keep a path that the user should hear about, if it is among the first (by name)."""
        self.named_count += 1
        bisect.insort(self.named, (path, what))
        del self.named[MAX_NAMED:]

    def text(self, kinds: str = "left out") -> str:
        """In words: "12 files left out: 7 .txt, 3 .json, 2 .exr; 2 sub-folders not searched (--recursive)"."""
        parts = []
        if count := self.suffixes.total():
            listed = [_counted(number, what) for what, number in self._by_number()[:MAX_NAMED]]
            if more := count - sum(number for _, number in self._by_number()[:MAX_NAMED]):
                listed.append(f"{more} others")
            parts.append(f"{_counted(count, 'file')} {kinds}: {', '.join(listed)}")
        if self.folders:
            parts.append(f"{_counted(self.folders, 'sub-folder')} not searched (--recursive)")
        if self.links:
            parts.append(f"{_counted(self.links, 'link')} to what is processed already")
        return "; ".join(parts)

    def warnings(self) -> list[str]:
        """A line for each file that is named."""
        lines = [f"{path}: {what}" for path, what in self.named]
        if more := self.named_count - len(self.named):
            lines.append(f"{more} more files like these are left out")
        return lines

    def record(self, path: str) -> dict[str, Any]:
        """For `--json`: one record at the end, whose path is the source itself."""
        numbers = {"left_out": dict(self._by_number()), "folders_not_searched": self.folders, "links": self.links}
        return {"path": path, "status": "left out", **numbers, "named": dict(self.named)}

    def _by_number(self) -> list[tuple[str, int]]:
        return sorted(self.suffixes.items(), key=lambda item: (-item[1], item[0]))


def nothing(what: str, left_out: LeftOut) -> str:
    """The message for a source without a single file to process: what is there instead."""
    rest = left_out.text("of other kinds")
    example = "".join(f" ({os.path.basename(path)} {advice})" for path, advice in left_out.named[:1])
    return f"{what}{f': {rest}' if rest else ''}{example}"


def _counted(number: int, noun: str) -> str:
    unchanged = number == 1 or noun.startswith(".") or noun in (WITHOUT_SUFFIX, OTHERS)
    return f"{number} {noun}{'' if unchanged else 's'}"
