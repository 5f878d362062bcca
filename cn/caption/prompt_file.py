"""Captions in `prompt.json`: its images, and filling in prompts so that every other byte stays.

Own code, because a JSON library writes a file anew: other spaces, other escapes, other numbers.
"""

import json
import os
import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cn.errors import InputError
from cn.files import open_atomic, reason

TARGET, PROMPT = "target", "prompt"
_SPACE = re.compile(r"[ \t\r\n]*")
_DECODER = json.JSONDecoder()
_BOM = "\ufeff"


@dataclass(frozen=True)
class Entry:
    """A line, or an item of an array: the image as it is written there, and its prompt ("" without one)."""

    where: str
    target: str = ""
    prompt: str = ""
    problem: str | None = None


def entries(path: Path) -> Iterator[Entry]:
    """The images of a `prompt.json`; a line that cannot be used is an entry with a problem. Raises InputError."""
    for where, piece in _pieces(path):
        if isinstance(piece, _Item):
            yield Entry(where, piece.target, piece.prompt)
        elif piece is not None:
            yield Entry(where, problem=piece)


def image_path(file: Path, target: str) -> str:
    """Where an image is: relative to the file's folder; with Windows' separators, if only so it is there."""
    path = os.path.join(file.parent, target)
    other = os.path.join(file.parent, target.replace("\\", "/"))
    return other if not os.path.exists(path) and os.path.exists(other) else path


def fill(path: Path, caption: Callable[[str], str | None], *, overwrite: bool = False) -> int:
    """Put in the captions that `caption` gives for targets, where there is no prompt; the number of new prompts.

    The file is replaced as a whole, and only if something changes; all bytes but those of the prompts are the same.
    With `overwrite`, prompts are replaced, and the file as it was is kept as `prompt.json.bak`.
    Raises InputError when it cannot be read, OutputError when it cannot be written.
    """
    if not any(changed for _, changed in _filled(path, caption, overwrite)):
        return 0
    with open_atomic(path) as file:
        count = 0
        for data, changed in _filled(path, caption, overwrite):
            file.write(data)
            count += changed
        if overwrite:
            # Before the new file takes the name: the words are never lost.
            with open(path, "rb") as before, open_atomic(path.with_name(f"{path.name}.bak")) as kept:
                shutil.copyfileobj(before, kept)
    return count


def _filled(path: Path, caption: Callable[[str], str | None], overwrite: bool) -> Iterator[tuple[bytes, bool]]:
    """The file in pieces, and whether each is another than before."""
    for text, piece in _texts(path):
        new = text
        if isinstance(piece, _Item) and (overwrite or not piece.prompt):
            words = caption(piece.target)
            if words is not None and words != piece.prompt:
                new = piece.with_prompt(text, words)
        yield (new if isinstance(new, bytes) else new.encode()), new is not text


@dataclass(frozen=True)
class _Item:
    """An object: what its members say, and where in the text the prompt is, or would be inserted."""

    target: str
    prompt: str
    start: int
    end: int
    inserted: bool

    def with_prompt(self, text: str, words: str) -> str:
        value = json.dumps(words, ensure_ascii=False)
        if self.inserted:
            value = f', "{PROMPT}": {value}'
        return text[: self.start] + value + text[self.end :]


def _pieces(path: Path) -> Iterator[tuple[str, "_Item | str | None"]]:
    is_array = False
    for number, (text, piece) in enumerate(_texts(path), start=1):
        is_array = is_array or (number == 1 and isinstance(text, str) and text.lstrip(f"{_BOM} \t\r\n").startswith("["))
        yield (f"{path}, item {number}" if is_array else f"{path}:{number}"), piece


def _texts(path: Path) -> Iterator[tuple[Any, "_Item | str | None"]]:
    """The whole file in pieces, each with one object, or with why it is none (None: blank)."""
    try:
        with open(path, "rb") as file:
            first = file.read(4096).decode("utf-8", "replace").lstrip(f"{_BOM} \t\r\n")
            file.seek(0)
            if first.startswith("["):
                yield from _array(file.read(), path)
                return
            for data in file:
                yield _line(data)
    except OSError as error:
        raise InputError(f"cannot be read: {reason(error)}", path=path) from error


def _line(data: bytes) -> tuple[Any, "_Item | str | None"]:
    try:
        text = data.decode()
    except UnicodeDecodeError:
        return data, "is not UTF-8"
    start = _skip(text, 1 if text.startswith(_BOM) else 0)
    if start == len(text):
        return text, None
    try:
        item, end = _item(text, start)
        if _skip(text, end) != len(text):
            return text, "there is something after the object"
        return text, item
    except InputError as error:
        return text, error.what


def _array(data: bytes, path: Path) -> Iterator[tuple[Any, "_Item | str | None"]]:
    """An array, cut between its items."""
    try:
        text = data.decode()
        at = _skip(text, text.index("[") + 1)
        begin = 0
        while text[at] != "]":
            if text[at] == "{":
                item, end = _item(text, at)
                piece: _Item | str = _Item(
                    item.target, item.prompt, item.start - begin, item.end - begin, item.inserted
                )
            else:
                _, end = _DECODER.raw_decode(text, at)
                piece = "is no object"
            yield text[begin:end], piece
            begin, at = end, _skip(text, end)
            if text[at] == ",":
                at = _skip(text, at + 1)
            elif text[at] != "]":
                raise ValueError("expected , or ]")
        yield text[begin:], None
    except (ValueError, IndexError, RecursionError, InputError) as error:
        raise InputError(f"invalid JSON: {str(error).splitlines()[0]}", path=path) from error


def _item(text: str, at: int) -> tuple[_Item, int]:
    """The object that begins at `at`, and where it ends."""
    members, close = _members(text, at)
    target, prompt = members.get(TARGET), members.get(PROMPT)
    if target is None or not isinstance(target[0], str) or not target[0]:
        raise InputError(f'"{TARGET}" is missing or not a string')
    if prompt is None:
        last = max(end for _, _, end in members.values())
        return _Item(target[0], "", last, last, True), close
    if not isinstance(prompt[0], str | None):
        raise InputError(f'"{PROMPT}" is not a string')
    return _Item(target[0], (prompt[0] or "").strip(), prompt[1], prompt[2], False), close


def _members(text: str, at: int) -> tuple[dict[str, tuple[Any, int, int]], int]:
    """Name → value, and where it begins and ends; and where the object ends."""
    found: dict[str, tuple[Any, int, int]] = {}
    try:
        _expect(text, at, "{")
        at = _skip(text, at + 1)
        while text[at] != "}":
            _expect(text, at, '"')
            name, at = _DECODER.raw_decode(text, at)
            at = _skip(text, at)
            _expect(text, at, ":")
            at = _skip(text, at + 1)
            value, end = _DECODER.raw_decode(text, at)
            found[name] = (value, at, end)
            at = _skip(text, end)
            if text[at] == ",":
                at = _skip(text, at + 1)
                _expect(text, at, '"')
            else:
                _expect(text, at, "}")
    except IndexError:
        raise InputError("invalid JSON: it is cut off") from None
    except RecursionError:
        raise InputError("invalid JSON: it is nested too deeply") from None
    except ValueError as error:
        raise InputError(f"invalid JSON: {str(error).splitlines()[0]}") from None
    return found, at + 1


def _expect(text: str, at: int, character: str) -> None:
    if text[at] != character:
        raise InputError(f"invalid JSON: expected {character} at character {at + 1}")


def _skip(text: str, at: int) -> int:
    """After white space."""
    match = _SPACE.match(text, at)
    assert match is not None
    return match.end()
