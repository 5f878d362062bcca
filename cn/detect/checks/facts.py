"""What the header of an image file says about its pixels: whether they were compressed with loss, and their bits."""

import os
import struct
from dataclasses import dataclass

from cn.images.reader import ImagePath

PNG = b"\x89PNG\r\n\x1a\n"


@dataclass(frozen=True)
class MapFacts:
    """What a file states about its pixels; the defaults stand for an array."""

    lossy: str | None = None
    """The name of the format, where it does not preserve values."""
    bits: int = 8
    """Of a sample, as far as it is known."""


def file_facts(path: ImagePath) -> MapFacts:
    """The facts about a file, from its first bytes; the defaults for any that cannot be read or is not known."""
    if not isinstance(path, str | os.PathLike):
        return facts_of(path.read()[:4096])
    try:
        with open(path, "rb") as file:
            return facts_of(file.read(4096))
    except OSError:
        return MapFacts()


def facts_of(head: bytes) -> MapFacts:
    """The facts about a file that begins with these bytes."""
    if head.startswith(b"\xff\xd8\xff"):
        return MapFacts("JPEG")
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        # An extended file (VP8X) has its pixels in a later chunk.
        return MapFacts("WebP" if b"VP8 " in head else None)
    if head.startswith(PNG) and len(head) > 24:
        return MapFacts(bits=head[24])
    if head[:4] in (b"II*\0", b"MM\0*"):
        return MapFacts(bits=_tiff_bits(head))
    if head[:2] in (b"P2", b"P3", b"P5", b"P6"):
        fields = head.split(maxsplit=4)
        return MapFacts(bits=16 if len(fields) > 3 and fields[3].isdigit() and int(fields[3][:6]) > 255 else 8)
    return MapFacts()


def _tiff_bits(head: bytes) -> int:
    """BitsPerSample (tag 258) of the first directory, where that lies within `head`; else 8."""
    order = "<" if head[:2] == b"II" else ">"
    try:
        (start,) = struct.unpack_from(f"{order}I", head, 4)
        (count,) = struct.unpack_from(f"{order}H", head, start)
        for k in range(count):
            tag, kind, number, value = struct.unpack_from(f"{order}HHIH", head, start + 2 + 12 * k)
            if tag == 258 and kind == 3 and number == 1:
                return int(value)
    except struct.error:
        pass
    return 8
