"""Open a file of weights, identified by its first bytes: which tensors it holds and where their bytes are.

Nothing in the file is run, no tensor is read, and neither torch nor NumPy is imported: opening takes milliseconds.
"""

import os
import pickletools
import re
import stat
import struct
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

from cn.archives.entries import Entry
from cn.archives.safetensors_header import MAX_HEADER, read_safetensors
from cn.archives.torch_contents import tensors_of
from cn.archives.torch_files import read_legacy, read_zip
from cn.errors import InputError, WeightsError, about
from cn.files import reason


@dataclass(frozen=True)
class Archive:
    """A file of tensors as described by its header or pickle."""

    path: Path
    format: str
    """ "safetensors", "pickle" (a zip file of torch.save) or "legacy pickle"."""
    entries: dict[str, Entry]
    """By name, in the file's order."""
    metadata: dict[str, str]
    """The __metadata__ of a safetensors file; {} for pickles."""
    extras: dict[str, str]
    """What a pickle holds besides the tensors: name → a short description, such as "global_step" → "840000"."""


_HEAD = 512
_UNSUPPORTED = "which is not supported; give a .safetensors file"
_UNPACK = "unpack it and give the file inside"
_OTHER_FORMATS = (
    (b"version https://git-lfs", "is a Git LFS pointer, not the file itself; run git lfs pull"),
    (b"\x1f\x8b", f"is a gzip archive; {_UNPACK}"),
    (b"BZh", f"is a bzip2 archive; {_UNPACK}"),
    (b"\xfd7zXZ", f"is an xz archive; {_UNPACK}"),
    (b"\x28\xb5\x2f\xfd", f"is a zstd archive; {_UNPACK}"),
    (b"7z\xbc\xaf\x27\x1c", f"is a 7z archive; {_UNPACK}"),
    (b"Rar!", f"is a rar archive; {_UNPACK}"),
    (b"PK\5\6", "is an empty zip file"),
    (b"\x89PNG", "is an image, not weights"),
    (b"\xff\xd8\xff", "is an image, not weights"),
    (b"GGUF", f"is a GGUF file, {_UNSUPPORTED}"),
    (b"\x89HDF", f"is an HDF5 file (Keras), {_UNSUPPORTED}"),
    (b"ptrt", f"is a TensorRT engine, {_UNSUPPORTED}"),
    (b"ftrt", f"is a TensorRT engine, {_UNSUPPORTED}"),
)
_PATTERNS = (
    # Protocol buffers: the version of ONNX's format, then the name of the program that wrote it.
    (rb"\x08[\x01-\x20]\x12[\x01-\x40][\w.-]{2}", f"is an ONNX model, {_UNSUPPORTED}"),
    (rb".{4}TFL3", f"is a TensorFlow Lite model, {_UNSUPPORTED}"),
    (rb"([\x81-\x8f]|\xde..)[\xa1-\xbf]\w", f"is a msgpack file (Flax), {_UNSUPPORTED}"),
    (rb"\s*[{\[]\s*[\"{\[\]}]", "is JSON, not weights; give the folder that it is in"),
)
_WEB_PAGES = (b"<!doctype html", b"<html", b"<?xml", b"<head")


def open_archive(path: Path | str) -> Archive:
    """The contents of a file of weights, whatever its name.

    Raises WeightsError when the file does not exist, holds no named tensors, or tries to run something; InputError
    when it is damaged, cut off, or not a file of weights.
    """
    path = Path(path)
    try:
        with about(path):
            # Checked before opening: opening a pipe would block.
            if not stat.S_ISREG(os.stat(path).st_mode):
                kind = "a folder" if path.is_dir() else "not a regular file"
                raise InputError(f"is {kind}; give a file of weights")
            with open(path, "rb") as file:
                return _read(file, path, os.fstat(file.fileno()).st_size)
    except FileNotFoundError:
        raise WeightsError("no such file", path=path) from None
    except OSError as error:
        raise InputError(f"cannot be read: {reason(error)}", path=path) from error
    except ValueError:
        # Names with a NUL byte.
        raise InputError(f"{str(path)!r} is not a valid file name") from None


def _read(file: BinaryIO, path: Path, size: int) -> Archive:
    head = file.read(_HEAD)
    file.seek(0)
    if _begins_safetensors(head):
        entries, metadata = read_safetensors(file, path, size)
        return Archive(path, "safetensors", entries, metadata, {})
    if head.startswith(b"PK\3\4"):
        entries, extras = tensors_of(read_zip(file, size), path)
        return Archive(path, "pickle", entries, {}, extras)
    if head[:1] == b"\x80" or _is_text_pickle(head):
        entries, extras = tensors_of(read_legacy(file, size), path)
        return Archive(path, "legacy pickle", entries, {}, extras)
    raise _not_weights(head, size)


def _begins_safetensors(head: bytes) -> bool:
    """Whether a file with these first bytes is a safetensors file, perhaps a damaged one.

    Its ninth byte opens the header. The header's length, in the eight bytes before, may begin like a pickle; its upper
    bytes are zeros, and no pickle continues with zeros.
    """
    if head[8:9] != b"{":
        return False
    return struct.unpack("<Q", head[:8])[0] <= MAX_HEADER or head[:1] != b"\x80"


def _is_text_pickle(head: bytes) -> bool:
    """Whether these bytes begin with a complete pickle of protocol 0 or 1, which have no signature."""
    try:
        return [code.name for code, _, _ in pickletools.genops(BytesIO(head))][-1:] == ["STOP"]
    except (ValueError, struct.error):
        return False


def _not_weights(head: bytes, size: int) -> InputError:
    """The error for a file that is not weights, saying what it is instead."""
    if not size:
        return InputError("is empty")
    for start, what in _OTHER_FORMATS:
        if head.startswith(start):
            return InputError(what)
    for pattern, what in _PATTERNS:
        if re.match(pattern, head, re.DOTALL):
            return InputError(what)
    if head.lstrip().lower().startswith(_WEB_PAGES):
        return InputError("is a web page; download the file itself")
    if head[257:262] == b"ustar":
        return InputError("is a tar archive, as torch 0.1 wrote them; save it again with a newer torch")
    return InputError("is not a file of weights: neither safetensors nor written by torch.save")
