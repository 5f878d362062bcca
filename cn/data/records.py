"""Datasets on disk: a folder with `prompt.json`, one JSON object per line, in the format of fill50k (official trainer).

Each line holds {"source", "target", "prompt"}; source (the condition) and target are paths relative to the folder.
Further keys are kept in `Pair.extra`. A file that is one JSON array of such objects is read as well.

People's files have faults. A broken line is a pair with a `problem`, which keeps its number: what was trained from the
others does not depend on it, nor on whether it is repaired later.
"""

import json
import os
import stat
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cn import errors
from cn.data.blobs import Blob
from cn.errors import InputError
from cn.files import reason
from cn.json_text import decode_text, parse_json

RECORDS = "prompt.json"
MAX_LINE = 1 << 20
"""Bytes of a line. A longer one is no record but a file of something else."""
_MAX_ARRAY = 1 << 30
_PATHS = ("source", "target")
_KNOWN = (*_PATHS, "prompt")

ImageFile = Path | Blob
"""An image of a pair: a file, or bytes that are somewhere else."""


@dataclass(frozen=True)
class Pair:
    """One training example: the condition map `source`, the image `target`. `where` is "FILE:LINE", for messages."""

    source: ImageFile
    target: ImageFile
    prompt: str
    where: str = ""
    extra: Mapping[str, Any] = field(default_factory=dict)
    problem: str | None = None
    """Why it cannot be used, where its line is broken or an image is missing."""
    captioned: bool = True
    """Whether its line has a caption; if not, the prompt is empty."""
    stated: bool = True
    """Whether its line has a prompt, if only an empty one."""

    def check(self) -> None:
        """Raises InputError, with file and line, for a pair with a problem."""
        if self.problem is not None:
            raise InputError(self.problem, path=self.where)


def records_file(path: Path) -> Path:
    """The `prompt.json` of a dataset, given its folder or that file. Raises InputError if there is none."""
    file = path / RECORDS if path.is_dir() else path
    if not file.is_file():
        what = f"no {RECORDS} in it" if path.is_dir() else "no such file or folder"
        raise InputError(f"{what}; a dataset is a folder with source/, target/ and {RECORDS}", path=path)
    return file


def parse_line(line: bytes | str, root: Path, where: str) -> Pair:
    """One line of `prompt.json` → a Pair. Raises InputError, with `where` as its path, for an invalid line."""
    with errors.about(where):
        return _pair(parse_json(line), root, where)


def _pair(record: Any, root: Path, where: str) -> Pair:
    if not isinstance(record, dict):
        raise InputError(f"expected a JSON object, not {type(record).__name__}")
    for key in _PATHS:
        if not isinstance(record.get(key), str) or not record[key]:
            raise InputError(f'"{key}" is missing or not a string; each line needs source and target')
    prompt = record.get("prompt")
    if not isinstance(prompt, str | None):
        raise InputError('"prompt" is not a string')
    extra = {k: v for k, v in record.items() if k not in _KNOWN}
    captioned = bool(prompt and prompt.strip())
    source, target = (root / record[key] for key in _PATHS)
    return Pair(source, target, prompt or "", where, extra, captioned=captioned, stated=prompt is not None)


def iterate_records(path: Path) -> Iterator[Pair]:
    """Yield the pairs of a dataset line by line, skipping blank lines; a broken line is a pair with a problem.

    Raises InputError for a file that is no text in UTF-8 or no JSON at all.
    """
    file = records_file(path)
    try:
        with file.open("rb") as stream:
            start = stream.read(512)
            with errors.about(file):
                _check_text(start)
            stream.seek(0)
            if _is_array(stream, file.parent):
                if os.fstat(stream.fileno()).st_size > _MAX_ARRAY:
                    raise InputError("an array of more than 1 GiB; write one object per line", path=file)
                yield from _array(stream.read(), file)
            else:
                yield from _lines(stream, file)
    except OSError as error:
        raise InputError(f"cannot be read: {reason(error)}", path=file) from error


def _check_text(start: bytes) -> None:
    """InputError for a file in UTF-16 or UTF-32, which holds no line that could be read."""
    if start.startswith((b"\xff\xfe", b"\xfe\xff")):
        decode_text(start)
    # Without a byte order mark, every other byte of mostly English text is zero; a crash leaves zeros without text.
    if any(start[k::2].count(0) > len(start) // 4 > start[1 - k :: 2].count(0) for k in (0, 1)):
        raise InputError("is UTF-16 or UTF-32; save it as UTF-8")


def _is_array(stream: Any, root: Path) -> bool:
    """Whether a file is one JSON array rather than lines of which the first is broken; back at the file's start."""
    try:
        first, second = b"", b""
        while (line := stream.readline(MAX_LINE)) and not second:
            if line := line.removeprefix(b"\xef\xbb\xbf").strip():
                first, second = first or line, line if first else b""
        if not first.startswith(b"["):
            return False
        # Of an array, an object on a line of its own ends with a comma, or is followed by a comma or the bracket.
        try:
            parse_line(second, root, "")
        except InputError:
            return True
        return line.strip().startswith((b"]", b","))
    finally:
        stream.seek(0)


def _lines(stream: Any, file: Path) -> Iterator[Pair]:
    number = 0
    while line := stream.readline(MAX_LINE + 1):
        number += 1
        where = f"{file}:{number}"
        if len(line) > MAX_LINE:
            while line and not line.endswith(b"\n"):
                line = stream.readline(MAX_LINE)
            yield _broken("the line is longer than 1 MiB", where)
        elif line.strip() and line.strip() != b"\xef\xbb\xbf":
            yield _tolerant(line, file.parent, where)


def _tolerant(line: bytes, root: Path, where: str) -> Pair:
    try:
        return parse_line(line.rstrip(b"\r\n"), root, where)
    except InputError as error:
        cut = not line.endswith(b"\n") and not line.rstrip().endswith(b"}")
        return _broken(f"{error.what}; is the line cut off?" if cut else error.what, where)


def _array(data: bytes, file: Path) -> Iterator[Pair]:
    with errors.about(file):
        records = parse_json(data)
    for number, record in enumerate(records, start=1):
        where = f"{file}, item {number}"
        try:
            yield _pair(record, file.parent, where)
        except InputError as error:
            yield _broken(error.what, where)


def _broken(problem: str, where: str) -> Pair:
    return Pair(Path(), Path(), "", where, problem=problem)


def read_records(path: Path) -> tuple[Pair, ...]:
    """All pairs of a `prompt.json`, those whose images are missing with that problem. InputError: there are none.

    `cn.data.pairs` reads the other layouts, too, and needs less memory.
    """
    pairs = tuple(checked_records(path))
    if not pairs:
        raise InputError("no pairs in it", path=records_file(path))
    refuse_if_most([f"{pair.where}: {pair.problem}" for pair in pairs if pair.problem], len(pairs), path)
    return pairs


def checked_records(path: Path) -> Iterator[Pair]:
    """`iterate_records`, with the problem of each pair whose images are missing."""
    return map(_with_images, iterate_records(path))


def refuse_if_most(problems: Sequence[str], checked: int, path: str | os.PathLike[str]) -> None:
    """InputError, listing the first problems, where more than half of the pairs that were checked have one."""
    if 2 * len(problems) > checked:
        listed = "; ".join(problems[:3])
        more = f"; and {len(problems) - 3} more" if len(problems) > 3 else ""
        raise InputError(f"{len(problems)} of {checked} pairs are broken: {listed}{more}", path=path)


def _with_images(pair: Pair) -> Pair:
    if pair.problem is not None:
        return pair
    found: list[ImageFile] = []
    for role, path in (("source", pair.source), ("target", pair.target)):
        if isinstance(path, Blob):
            found.append(path)
            continue
        path, problem = _existing(path)
        if problem is not None:
            return Pair(**{**vars(pair), "problem": f"the {role} image {problem}"})
        found.append(path)
    return (
        pair if found == [pair.source, pair.target] else Pair(**{**vars(pair), "source": found[0], "target": found[1]})
    )


def _existing(path: Path) -> tuple[Path, str | None]:
    """The path of an image, with Windows' separators replaced if that is what it takes, and why it is not there."""
    for candidate in (path, Path(str(path).replace("\\", "/"))):
        try:
            mode = os.stat(candidate).st_mode
        except FileNotFoundError:
            continue
        except (OSError, ValueError) as error:
            why = reason(error) if isinstance(error, OSError) else str(error)
            return path, f"{_short(path)} cannot be read: {why}"
        return candidate, None if stat.S_ISREG(mode) else f"{_short(path)} is not a file"
    return path, f"{_short(path)} is missing"


def _short(path: Path) -> str:
    text = ascii(str(path))[1:-1] if not str(path).isprintable() else str(path)
    return text if len(text) <= 200 else f"{text[:99]}…{text[-100:]}"


def format_line(source: str, target: str, prompt: str, **extra: Any) -> str:
    """One line of `prompt.json`, newline included."""
    return json.dumps({"source": source, "target": target, "prompt": prompt, **extra}, ensure_ascii=False) + "\n"


def complete_records(file: Path) -> tuple[list[Pair], int]:
    """The pairs of a dataset that may be incomplete, and the number of bytes that their lines take.

    A last line without newline, as a killed writer leaves it, is not counted. A missing file has no pairs. Raises
    InputError for an invalid line elsewhere.
    """
    if not file.exists():
        return [], 0
    raw = file.read_bytes()
    length = raw.rfind(b"\n") + 1
    lines = raw[:length].decode("utf-8", "replace").splitlines()
    pairs = [parse_line(line, file.parent, f"{file}:{n}") for n, line in enumerate(lines, start=1) if line.strip()]
    return pairs, length
