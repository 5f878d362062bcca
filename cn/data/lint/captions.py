"""What is wrong with captions, one by one and all together."""

import hashlib
from collections import Counter
from collections.abc import Callable

from cn.text import percent, shown

MAX_TOKENS = 75
"""Of the text encoder's 77, the start and the end are its own."""
_MIN_SET = 20
"""Captions from which a set is judged."""
_TEMPLATE = 0.6
"""The share of captions with the same beginning from which that is a template."""
_WORDS = range(3, 7)
_REPEATS = 3
_REPEATED = 0.005
"""One caption may belong to three images, or to this share of all."""

TokenCounter = Callable[[str], int]


def caption_faults(caption: str, count_tokens: TokenCounter | None) -> list[tuple[str, str]]:
    """The rules and messages of what is wrong with one caption."""
    if not caption.strip():
        return [("empty-caption", "has no caption; write one, or let cn dataset caption do it")]
    faults = []
    if caption != clean(caption):
        faults.append(("caption-spaces", "its caption has white space at its ends, or line breaks; strip it"))
    # A token has at least one byte: short captions, which are most, need no tokenizer.
    if count_tokens is not None and len(caption.encode()) > MAX_TOKENS:
        count = count_tokens(caption)
        if count > MAX_TOKENS:
            faults.append(
                (
                    "long-caption",
                    f"its caption has {count} tokens; those after the first {MAX_TOKENS} are ignored: shorten it",
                )
            )
    return faults


def clean(caption: str) -> str:
    """The caption in one line without white space at its ends; single spaces within, where there were line breaks."""
    if any(mark in caption for mark in "\n\r\t\v\f\x85\u2028\u2029"):
        return " ".join(caption.split())
    return caption.strip()


class CaptionTally:
    """How often captions and their beginnings occur, with the place of the first."""

    def __init__(self) -> None:
        self.count = 0
        self._captions: Counter[bytes] = Counter()
        self._first: dict[bytes, tuple[str, str]] = {}
        self._places: dict[bytes, list[str]] = {}
        self._beginnings: Counter[tuple[str, ...]] = Counter()

    def add(self, caption: str, where: str) -> None:
        """Count the caption of an image."""
        words = caption.lower().split()
        if not words:
            return
        self.count += 1
        key = hashlib.sha256(" ".join(words).encode("utf-8", "surrogatepass")).digest()[:8]
        self._captions[key] += 1
        if key in self._first:
            self._places.setdefault(key, []).append(where)
        else:
            self._first[key] = (where, shown(caption, 60))
        for length in _WORDS:
            if len(words) > length:
                self._beginnings[tuple(words[:length])] += 1
        if len(self._beginnings) > 1_000_000:
            # A beginning of most captions is not among those that have occurred once.
            self._beginnings = Counter({words: count for words, count in self._beginnings.items() if count > 1})

    def repeated(self) -> list[tuple[str, tuple[str, ...], str]]:
        """(first place, further places, message) for each caption of too many images."""
        most = max(_REPEATS, int(_REPEATED * self.count))
        found = []
        for key, further in self._places.items():
            if self._captions[key] > most:
                where, caption = self._first[key]
                number = self._captions[key]
                text = f"“{caption}” is the caption of {number} of {self.count} images; write what is in each image"
                found.append((where, tuple(further), text))
        return found

    def template(self) -> str | None:
        """The message about the beginning that most captions share; None if there is none, or in a small set."""
        if self.count < _MIN_SET:
            return None
        common = [item for item in self._beginnings.items() if item[1] >= _TEMPLATE * self.count]
        if not common:
            return None
        words, count = max(common, key=lambda item: (len(item[0]), item[1]))
        return (
            f"{percent(count / self.count)} of the captions begin with “{' '.join(words)}”: it says nothing about the "
            "images; remove it"
        )
