"""The chunks of a PNG: what they are and how long, without decoding it. Source: PNG specification, third edition."""

import io
import struct
import zlib
from collections.abc import Iterator
from typing import BinaryIO

SIGNATURE = b"\x89PNG\r\n\x1a\n"

_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
"""Samples per pixel of each color type (11.2.1)."""
_COMPRESSED = (b"zTXt", b"iTXt", b"iCCP")
_METADATA = (*_COMPRESSED, b"tEXt", b"eXIf")
_MAX_COMPRESSED = 16 << 10
"""Compressed bytes of metadata that are inflated at all: they may become a thousand times as many."""


def chunks(file: BinaryIO) -> Iterator[tuple[bytes, int]]:
    """(type, length) of each chunk of an open PNG up to IEND; the file then stands at the chunk's data.

    The caller may read there. Ends where the file ends; yields nothing for any other file.
    """
    if file.read(len(SIGNATURE)) != SIGNATURE:
        return
    following = len(SIGNATURE)
    while len(header := file.read(8)) == 8:
        length, kind = struct.unpack(">I4s", header)
        if kind == b"IEND":
            return
        yield kind, length
        following += length + 12
        file.seek(following)


def is_whole(data: bytes) -> bool:
    """Whether a PNG has all its chunks up to IEND, each with the checksum that it states (5.3); nothing is decoded."""
    start, view = len(SIGNATURE), memoryview(data)
    while len(head := data[start : start + 8]) == 8:
        length, kind = struct.unpack(">I4s", head)
        end = start + 8 + length
        if data[end : end + 4] != zlib.crc32(view[start + 4 : end]).to_bytes(4, "big"):
            return False
        if kind == b"IEND":
            return True
        start = end + 4
    return False


def count_frames(file: BinaryIO) -> int:
    """The number of frames of an animated PNG (11.3.6) that are really there; 1 without animation.

    The image before the animation counts where it is not part of it.
    """
    animated, frames, before = False, 0, 0
    for kind, _ in chunks(file):
        if kind == b"acTL":
            animated = True
        elif kind == b"fcTL":
            frames += 1
        elif kind == b"IDAT":
            if not animated:
                return 1
            before = before or int(not frames)
    return frames + before if animated else 1


def max_pixels(data: bytes, ratio: int) -> float:
    """The most pixels that the compressed data of a PNG can hold if each byte holds at most `ratio`; 0 if it is broken.

    Each row also holds a byte that names its filter (9.2).
    """
    stored = width = bits = 0
    file = io.BytesIO(data)
    for kind, length in chunks(file):
        if kind == b"IHDR" and length == 13:
            width, _, depth, color = struct.unpack(">IIBB", file.read(10))
            bits = depth * _CHANNELS.get(color, 0)
        elif kind in (b"IDAT", b"fdAT"):
            stored += min(length, len(data) - file.tell())
    return stored * ratio * 8 / (bits + 8 / width) if width and bits else 0.0


def without_bad_metadata(data: bytes) -> bytes:
    """A PNG without the text, profile and EXIF chunks whose checksum is wrong, or that would inflate to too much.

    Pillow would refuse the image for the former, and inflate the latter, although its pixels need neither.
    """
    file = io.BytesIO(data)
    bad: list[tuple[int, int]] = []
    compressed: list[tuple[int, int]] = []
    for kind, length in chunks(file):
        if kind in _METADATA:
            start, end = file.tell() - 4, file.tell() + length
            place = (start - 4, end + 4)
            if zlib.crc32(data[start:end]) != int.from_bytes(data[end : end + 4], "big"):
                bad.append(place)
            elif kind in _COMPRESSED:
                compressed.append(place)
    if sum(end - start for start, end in compressed) > _MAX_COMPRESSED:
        bad += compressed
    kept, position = [], 0
    for start, end in sorted(bad):
        kept.append(data[position:start])
        position = end
    return b"".join([*kept, data[position:]]) if bad else data
