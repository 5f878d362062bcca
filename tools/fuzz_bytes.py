"""Damage to bytes, numbers and text that knows nothing of the format."""

import random
import struct
from collections.abc import Callable, Sequence

INTEGERS = (
    *(0, 1, 2, 3, 7, 8, 16, 31, 32, 64, 127, 128, 255, 256, 1000, 4096, 32767, 32768, 65535, 65536, 100_000),
    *(0x7FFFFFFF, 0x80000000, 0xFFFFFFFE, 0xFFFFFFFF, 0x7FFFFFFFFFFFFFFF, 0x8000000000000000, 0xFFFFFFFFFFFFFFFF),
)
"""Values at which sizes, signs and types overflow."""

WORDS = (
    b"",
    b"\0",
    b"\n",
    b"-1",
    b"NaN",
    b"Infinity",
    b"1e999",
    b"null",
    b"true",
    b"9" * 400,
    b"9" * 4301,
    b"[" * 3000,
    b'{"a":' * 3000,
    b"\xef\xbb\xbf",
    b"\xff\xfe",
    b"\xed\xa0\x80",
    b"\x1b[31m",
    b"../" * 9,
    b"/dev/stdin",
    b"A" * 300,
    "\u202e\u2028\x85".encode(),
    b"%s%n",
    b"0x10",
    b"1_0",
)
"""Text at which readers of text stumble."""

_LAYOUTS = ("<B", "<H", ">H", "<I", ">I", "<Q", ">Q")
_MAX_SIZE = 1 << 18


def damaged(data: bytes, rng: random.Random, others: Sequence[bytes]) -> bytes:
    """`data` after one to four changes; `others` are files that pieces are taken from."""
    raw = bytearray(data)
    for _ in range(rng.choice((1, 1, 1, 2, 2, 3, 4))):
        rng.choice(_CHANGES)(raw, rng, others)
    return bytes(raw[:_MAX_SIZE])


def _place(raw: bytearray, rng: random.Random) -> int:
    """A position; half of the time among the first bytes, where headers are."""
    return rng.randrange(min(len(raw), 64) + 1) if rng.random() < 0.5 else rng.randrange(len(raw) + 1)


def _length(rng: random.Random) -> int:
    return rng.choice((1, 1, 2, 4, 8, rng.randrange(1, 200)))


def _flip(raw: bytearray, rng: random.Random, others: Sequence[bytes]) -> None:
    if raw:
        raw[_place(raw, rng) % len(raw)] ^= 1 << rng.randrange(8)


def _set(raw: bytearray, rng: random.Random, others: Sequence[bytes]) -> None:
    if raw:
        raw[_place(raw, rng) % len(raw)] = rng.randrange(256)


def _integer(raw: bytearray, rng: random.Random, others: Sequence[bytes]) -> None:
    layout = rng.choice(_LAYOUTS)
    value = rng.choice(INTEGERS) & ((1 << 8 * struct.calcsize(layout)) - 1)
    at = _place(raw, rng)
    raw[at : at + struct.calcsize(layout)] = struct.pack(layout, value)


def _insert(raw: bytearray, rng: random.Random, others: Sequence[bytes]) -> None:
    at = _place(raw, rng)
    raw[at:at] = rng.randbytes(_length(rng))


def _word(raw: bytearray, rng: random.Random, others: Sequence[bytes]) -> None:
    at = _place(raw, rng)
    raw[at : at + rng.choice((0, 1, 4))] = rng.choice(WORDS)


def _delete(raw: bytearray, rng: random.Random, others: Sequence[bytes]) -> None:
    at = _place(raw, rng)
    del raw[at : at + _length(rng)]


def _cut(raw: bytearray, rng: random.Random, others: Sequence[bytes]) -> None:
    del raw[_place(raw, rng) :]


def _blank(raw: bytearray, rng: random.Random, others: Sequence[bytes]) -> None:
    at = _place(raw, rng)
    end = min(len(raw), at + _length(rng))
    raw[at:end] = bytes([rng.choice((0, 255, 32))]) * (end - at)


def _repeat(raw: bytearray, rng: random.Random, others: Sequence[bytes]) -> None:
    at = _place(raw, rng)
    raw[at:at] = raw[at : at + _length(rng)] * rng.choice((1, 2, 50))


def _swap(raw: bytearray, rng: random.Random, others: Sequence[bytes]) -> None:
    one, two, length = _place(raw, rng), _place(raw, rng), _length(rng)
    raw[one : one + length], raw[two : two + length] = raw[two : two + length], raw[one : one + length]


def _splice(raw: bytearray, rng: random.Random, others: Sequence[bytes]) -> None:
    """The beginning of this file with the end of another one."""
    if others:
        other = rng.choice(others)
        raw[_place(raw, rng) :] = other[rng.randrange(len(other) + 1) :]


_CHANGES: tuple[Callable[[bytearray, random.Random, Sequence[bytes]], None], ...] = (
    _flip,
    _flip,
    _set,
    _set,
    _integer,
    _integer,
    _insert,
    _word,
    _delete,
    _cut,
    _blank,
    _repeat,
    _swap,
    _splice,
)
