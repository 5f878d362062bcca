"""The text chunks of a PNG: keyword → text.

By hand, because Pillow would decode and encode the image again, and OpenCV, which encodes faster, writes no text.
"""

import struct
import zlib
from collections.abc import Mapping
from typing import BinaryIO

from cn.images.png_chunks import SIGNATURE, chunks

END = b"\x00\x00\x00\x00IEND\xaeB`\x82"
"""The last twelve bytes of every complete PNG."""

_HEADER = len(SIGNATURE) + 25
"""The end of the first chunk, IHDR: 13 bytes of data between length, type and checksum."""

_MAX_TEXT = 64 << 20
"""Characters of text that are read of one file: a few bytes can inflate to gigabytes."""


def read_text(file: BinaryIO) -> dict[str, str]:
    """All tEXt, zTXt and iTXt chunks (PNG specification, 11.3.3) of an open file; {} for any other file.

    Chunks after the pixels count as well. Of a file that is cut off, the chunks before the end are read; damaged chunks
    are skipped.
    """
    texts: dict[str, str] = {}
    size = 0
    for kind, length in chunks(file):
        if kind not in (b"tEXt", b"zTXt", b"iTXt") or length > _MAX_TEXT:
            continue
        data = file.read(length)
        if len(data) < length:
            break
        pair = _decode(kind, data)
        if pair is not None and (size := size + len(pair[1])) <= _MAX_TEXT:
            texts[pair[0]] = pair[1]
    return texts


def with_text(png: bytes, text: Mapping[str, str]) -> bytes:
    """The bytes of a PNG with `text` in chunks after its header: tEXt if Latin-1 can encode it, else iTXt.

    Keywords are 1 to 79 characters of Latin-1 (PNG specification, 11.3.3.1); ValueError for others.
    """
    chunks = b"".join(_encode(keyword, value) for keyword, value in text.items())
    return png[:_HEADER] + chunks + png[_HEADER:]


def _encode(keyword: str, value: str) -> bytes:
    name = keyword.encode("latin-1")
    if not 1 <= len(name) <= 79 or b"\0" in name:
        raise ValueError(f"invalid PNG keyword: {keyword!r}")
    try:
        kind, data = b"tEXt", name + b"\0" + value.encode("latin-1")
    except UnicodeEncodeError:
        # Uncompressed, without language and translated keyword.
        kind, data = b"iTXt", name + b"\0\0\0\0\0" + value.encode("utf-8", "surrogateescape")
    return struct.pack(">I4s", len(data), kind) + data + struct.pack(">I", zlib.crc32(kind + data))


def _decode(kind: bytes, data: bytes) -> tuple[str, str] | None:
    keyword, separator, rest = data.partition(b"\0")
    if not separator:
        return None
    try:
        if kind == b"tEXt":
            return keyword.decode("latin-1"), rest.decode("latin-1")
        if kind == b"zTXt":
            return keyword.decode("latin-1"), _inflate(rest[1:]).decode("latin-1")
        compressed, method_and_tags = rest[:1] == b"\1", rest[2:]
        _language, _, after = method_and_tags.partition(b"\0")
        _translated, _, text = after.partition(b"\0")
        return keyword.decode("latin-1"), (_inflate(text) if compressed else text).decode("utf-8")
    except (zlib.error, UnicodeDecodeError):
        return None


def _inflate(data: bytes) -> bytes:
    inflater = zlib.decompressobj()
    text = inflater.decompress(data, _MAX_TEXT)
    if inflater.unconsumed_tail:
        raise zlib.error("too long")
    return text
