"""SRC given as "-": paths, or one image, on standard input."""

import codecs
import os
import re
import sys
from io import BufferedReader
from typing import cast

from cn.errors import UsageError

_CONTENT = re.compile(
    rb"\x89PNG|\xff\xd8\xff|GIF8[79]a|RIFF....WEBP|BM....\0\0\0\0|II[*+]\0|MM\0[*+]|\0\0[\0\1]|\x93NUMPY|v/1\x01"
    rb"|PK\x03\x04|P[Ff1-7]\s+[#\d]|\xff\x0a|\xff\x4f\xff\x51|\x1a\x45\xdf\xa3|RIFF....AVI ",
    re.DOTALL,
)
"""How images and arrays begin; no list of paths begins so."""


def stdin_paths(src: str, suffixes: frozenset[str], *, name: str = "SRC") -> list[str] | None:
    """The paths on standard input, one a line or separated by NUL; None when `src` is not "-" or the input is an image.

    For detectors that read ".json", input that begins as JSON is not a list of paths. `name` is what messages call it.
    """
    if src != "-":
        return None
    if sys.stdin.isatty():
        raise UsageError(f"{name} is '-', but nothing is piped in")
    stream = cast(BufferedReader, sys.stdin.buffer)
    head = stream.peek(16)
    is_json = head.removeprefix(codecs.BOM_UTF8).lstrip().startswith((b"{", b"["))
    if _CONTENT.match(head) or (".json" in suffixes and is_json):
        return None
    data = stream.read()
    lines = data.split(b"\0") if b"\0" in data else data.splitlines()
    return [os.fsdecode(line) for line in lines]
