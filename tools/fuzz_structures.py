"""Damage inside a format: fields get impossible values while lengths and checksums stay right, so that it goes deep.

A format is recognized by its first bytes. Without this, nearly every changed PNG, zip file or safetensors header would
be refused at its checksum or its length, and what comes after would not be tested.
"""

import base64
import io
import json
import random
import re
import struct
import zipfile
import zlib
from collections.abc import Callable, Sequence
from typing import Any

from fuzz_bytes import INTEGERS, WORDS, damaged

Mutation = Callable[[bytes, random.Random, Sequence[bytes]], bytes]

_PNG = b"\x89PNG\r\n\x1a\n"
_VALUES: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 1, 1.5, -0.0, 1e308, float("nan"), float("inf"), 2**31, 2**63, 10**30),
    *("", "a", "\0", "\ud800", "../x", "/", "é" * 200, "x" * 5000, "\x1b[2J\n"),
    *([], {}, [[]], [None], {"": {}}),
)


def mutated(data: bytes, rng: random.Random, others: Sequence[bytes]) -> bytes:
    """`data` changed: half of the time by its format if that is known, else byte by byte."""
    structure = next((change for start, change in _STRUCTURES if re.match(start, data, re.DOTALL)), None)
    if structure is None or rng.random() < 0.5:
        return damaged(data, rng, others)
    try:
        return structure(data, rng, others)
    except (ValueError, IndexError, KeyError, struct.error, zlib.error, zipfile.BadZipFile, RecursionError):
        # A piece from another file, or a field of an earlier change, is not of the format any more.
        return damaged(data, rng, others)


def _png(data: bytes, rng: random.Random, others: Sequence[bytes]) -> bytes:
    chunks, at = [], len(_PNG)
    while at + 12 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, at)
        chunks.append((kind, data[at + 8 : at + 8 + length]))
        at += 12 + length
    for _ in range(rng.choice((1, 1, 2))):
        k = rng.randrange(len(chunks))
        kind, content = chunks[k]
        how = rng.randrange(6)
        if how == 0:
            chunks.insert(rng.randrange(len(chunks)), chunks[k])
        elif how == 1:
            del chunks[k]
        elif how == 2:
            new = rng.choice((b"tRNS", b"PLTE", b"gAMA", b"iCCP", b"eXIf", b"zTXt", b"iTXt", b"acTL", b"fcTL", b"sBIT"))
            chunks[k] = (new, content)
        else:
            chunks[k] = (kind, _chunk(kind, content, rng, others))
    return _PNG + b"".join(map(_packed, chunks))


def _packed(chunk: tuple[bytes, bytes]) -> bytes:
    kind, content = chunk
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def _chunk(kind: bytes, content: bytes, rng: random.Random, others: Sequence[bytes]) -> bytes:
    """A chunk's content, changed on the side of its compression where nothing would notice otherwise."""
    if kind == b"IHDR":
        fields = list(struct.unpack(">IIBBBBB", content))
        k = rng.randrange(len(fields))
        fields[k] = rng.choice(INTEGERS) & (0xFFFFFFFF if k < 2 else 0xFF)
        return struct.pack(">IIBBBBB", *fields)
    if kind in (b"IDAT", b"fdAT") and rng.random() < 0.5:
        return zlib.compress(damaged(zlib.decompress(content), rng, ()))
    if kind in (b"tEXt", b"iTXt", b"zTXt"):
        keyword, _, text = content.partition(b"\0")
        if kind == b"zTXt":
            return keyword + b"\0\0" + zlib.compress(mutated(zlib.decompress(text[1:]), rng, ()))
        head = text[:4] if kind == b"iTXt" else b""
        return keyword + b"\0" + head + mutated(text[len(head) :], rng, ())
    return damaged(content, rng, others)


def _tiff(data: bytes, rng: random.Random, others: Sequence[bytes]) -> bytes:
    """One field of one tag: its number, type, count, or value."""
    order = "<" if data[:2] == b"II" else ">"
    raw, (directory,) = bytearray(data), struct.unpack_from(f"{order}I", data, 4)
    (count,) = struct.unpack_from(f"{order}H", data, directory)
    for _ in range(rng.choice((1, 1, 2, 3))):
        at = directory + 2 + 12 * rng.randrange(count)
        offset, layout = rng.choice(((0, "H"), (2, "H"), (4, "I"), (8, "I"), (8, "H"), (8, "I")))
        value = rng.choice((rng.choice(INTEGERS), rng.randrange(12), rng.randrange(256, 340)))
        struct.pack_into(f"{order}{layout}", raw, at + offset, value & (0xFFFF if layout == "H" else 0xFFFFFFFF))
    return bytes(raw)


def _jpeg(data: bytes, rng: random.Random, others: Sequence[bytes]) -> bytes:
    """The content of one segment before the scan, or its marker."""
    segments, at = [], 2
    while data[at] == 0xFF and data[at + 1] != 0xDA:
        (length,) = struct.unpack_from(">H", data, at + 2)
        segments.append((data[at + 1], data[at + 4 : at + 2 + length]))
        at += 2 + length
    k = rng.randrange(len(segments))
    marker, content = segments[k]
    if rng.random() < 0.2:
        marker = rng.randrange(0xC0, 0x100)
    segments[k] = marker, damaged(content, rng, others)[:65533]
    head = b"".join(
        bytes((0xFF, marker)) + struct.pack(">H", len(content) + 2) + content for marker, content in segments
    )
    return data[:2] + head + data[at:]


def _json(data: bytes, rng: random.Random, others: Sequence[bytes]) -> bytes:
    """A value, a name or a level of one JSON document, or of one of several lines."""
    text = data.decode()
    try:
        tree = json.loads(text)
    except ValueError:
        lines = data.splitlines(keepends=True)
        k = rng.randrange(len(lines))
        lines[k] = _json(lines[k].strip(), rng, others) + b"\n" if rng.random() < 0.8 else rng.choice(WORDS) + b"\n"
        return b"".join(lines)
    for _ in range(rng.choice((1, 1, 2, 3))):
        tree = _changed(tree, rng)
    written = json.dumps(tree, ensure_ascii=rng.random() < 0.5).encode("utf-8", "surrogatepass")
    return rng.choice(
        (written, written, written, b"\xef\xbb\xbf" + written, written.decode("utf-8", "ignore").encode("utf-16"))
    )


def _changed(tree: Any, rng: random.Random) -> Any:
    """A JSON value with one value in it replaced, removed, repeated, renamed or put deeper."""
    if isinstance(tree, dict | list) and tree and rng.random() < 0.85:
        keys = list(tree) if isinstance(tree, dict) else list(range(len(tree)))
        key = rng.choice(keys)
        how = rng.randrange(12)
        if how == 0:
            del tree[key]
        elif how == 1 and isinstance(tree, dict):
            tree[rng.choice(("", "x" * 300, "\0", "a\nb", "é", str(key).upper()))] = tree[key]
        elif how == 1 and isinstance(tree, list):
            tree.extend(tree[:50])
        elif how == 2:
            tree[key] = tree[rng.choice(keys)]
        else:
            tree[key] = _changed(tree[key], rng)
        return tree
    if isinstance(tree, str) and tree.startswith("iVBOR") and rng.random() < 0.9:
        return base64.b64encode(mutated(base64.b64decode(tree), rng, ())).decode()
    if type(tree) in (int, float) and rng.random() < 0.5:
        return rng.choice((rng.choice(INTEGERS), -tree, tree + 1, tree * 1e6, tree / 3, str(tree)))
    value = rng.choice((*_VALUES, tree, [tree], {"a": tree}))
    for _ in range(rng.choice((0, 0, 0, 2, 200))):
        value = [value]
    return value


def _safetensors(data: bytes, rng: random.Random, others: Sequence[bytes]) -> bytes:
    """The header, with its length corrected; sometimes only a number, as a damaged file has it."""
    (length,) = struct.unpack_from("<Q", data)
    head, rest = data[8 : 8 + length], data[8 + length :]
    tree = json.loads(head)
    if "cn" in tree.get("__metadata__", {}) and rng.random() < 0.5:
        tree["__metadata__"]["cn"] = mutated(tree["__metadata__"]["cn"].encode(), rng, ()).decode("utf-8", "replace")
        head = json.dumps(tree).encode()
    elif rng.random() < 0.5:
        head = _json(head, rng, ())
    else:
        head = damaged(head, rng, ())
    return struct.pack("<Q", len(head)) + head + rest


def _zip(data: bytes, rng: random.Random, others: Sequence[bytes]) -> bytes:
    """The content of one member, with its checksum corrected; or a member removed, renamed or repeated."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        members = [(name, archive.read(name)) for name in archive.namelist()]
        method = archive.infolist()[0].compress_type
    k = rng.randrange(len(members))
    name, content = members[k]
    how = rng.randrange(8)
    if how == 0:
        del members[k]
    elif how == 1:
        members[k] = (rng.choice((name + "x", "../" + name, "", name.upper(), name[:3])), content)
    elif how == 2:
        method = rng.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED))
    else:
        members[k] = (name, mutated(content, rng, ()))
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as archive:
        for name, content in members:
            archive.writestr(zipfile.ZipInfo(name), content, method)
    return file.getvalue()


def _npy(data: bytes, rng: random.Random, others: Sequence[bytes]) -> bytes:
    """The header's text, with its length corrected."""
    (length,) = struct.unpack_from("<H", data, 8)
    head, rest = data[10 : 10 + length], data[10 + length :]
    if rng.random() < 0.6:
        kinds = (
            "'<f4'",
            "'>i8'",
            "'|O'",
            "'|u1'",
            "'<U3'",
            "[('a', '<f4')]",
            "'<c8'",
            "'|b1'",
            "'<M8[s]'",
            "'|V99999999'",
        )
        head = re.sub(rb"'descr': '[^']*'", b"'descr': " + rng.choice(kinds).encode(), head)
    if rng.random() < 0.6:
        sizes = b", ".join(str(rng.choice(INTEGERS)).encode() for _ in range(rng.randrange(5)))
        head = re.sub(rb"'shape': \([^)]*\)", b"'shape': (" + sizes + b",)", head)
    head = head if rng.random() < 0.7 else damaged(head, rng, ())
    return data[:8] + struct.pack("<H", len(head) & 0xFFFF) + head + rest


def _text(data: bytes, rng: random.Random, others: Sequence[bytes]) -> bytes:
    """A number, word or line of a text file (TOML, YAML, the header of a PFM or PPM)."""
    found = list(re.finditer(rb"-?\d[\d.e+-]*|\w+|[^\n]*\n", data[:4096]))
    for _ in range(rng.choice((1, 1, 2))):
        match = rng.choice(found)
        new = rng.choice((str(rng.choice(INTEGERS)).encode(), b"-" + match[0], rng.choice(WORDS), match[0] * 2, b""))
        data = data[: match.start()] + new + data[match.end() :]
    return data


_STRUCTURES: tuple[tuple[bytes, Mutation], ...] = (
    (re.escape(_PNG), _png),
    (rb"II\*\0|MM\0\*", _tiff),
    (rb"\xff\xd8\xff", _jpeg),
    (rb"PK\x03\x04", _zip),
    (rb"\x93NUMPY", _npy),
    (rb".{5}\0\0\0\{", _safetensors),
    (rb"\s*[\[{]", _json),
    (rb"P[1-7fF]\s|\w[\w.]*\s*[=:]|\[|[\d.]+ [\d.]+ ", _text),
)
"""The first bytes of each format (a pattern), and its mutation."""
