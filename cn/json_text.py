"""Parsing JSON from files of others: whatever is wrong with it is an InputError of one line.

The standard library raises ValueError, RecursionError, UnicodeDecodeError, or nothing and a string that no file can
hold, and some of its messages are for programmers. Imports nothing heavy.
"""

import codecs
import json
from collections.abc import Callable
from typing import Any

from cn.errors import InputError

_OTHER_ENCODINGS = (
    (codecs.BOM_UTF32_LE, "UTF-32"),
    (codecs.BOM_UTF32_BE, "UTF-32"),
    (codecs.BOM_UTF16_LE, "UTF-16"),
    (codecs.BOM_UTF16_BE, "UTF-16"),
)
"""UTF-32 first: its little-endian mark begins with that of UTF-16."""


def parse_json(data: bytes | str, *, object_hook: Callable[[dict[str, Any]], Any] | None = None) -> Any:
    """The value of one JSON text, with or without a byte order mark; `object_hook` as for `json.loads`.

    Raises InputError, without a path, for anything else: invalid or cut-off JSON, other encodings than UTF-8, nesting
    deeper than Python's stack, numbers of thousands of digits, and strings with half of a surrogate pair, which could
    not be written or printed. NaN and Infinity, which Python and NumPy write, are accepted.
    """
    text = decode_text(data)
    try:
        value = json.loads(text, object_hook=object_hook)
    except RecursionError:
        raise InputError("invalid JSON: it is nested too deeply") from None
    except ValueError as error:
        # Python's message for long numbers is advice for programmers.
        too_long = not isinstance(error, json.JSONDecodeError) and "digits" in str(error)
        what = "it holds a number with too many digits" if too_long else str(error).splitlines()[0]
        raise InputError(f"invalid JSON: {what}") from None
    if "\\ud" in text or "\\uD" in text:
        _check_surrogates(text)
    return value


def decode_text(data: bytes | str) -> str:
    """UTF-8 text without its byte order mark. Raises InputError, without a path, for other encodings."""
    if isinstance(data, str):
        return data.removeprefix("\ufeff")
    for mark, name in _OTHER_ENCODINGS:
        if data.startswith(mark):
            raise InputError(f"is {name}; save it as UTF-8")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"is not UTF-8 (byte {error.start}); save it as UTF-8") from None


def _check_surrogates(text: str) -> None:
    """Parse once more, as `object_hook` may have dropped strings, and look for what UTF-8 cannot encode."""
    try:
        json.dumps(json.loads(text), ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise InputError("invalid JSON: a string holds half of a surrogate pair") from None
