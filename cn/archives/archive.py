"""Opening a file of weights of any kind, known by its first bytes: what tensors it holds and where they lie.

Nothing in the file is run, no tensor is read, and neither torch nor NumPy is imported, so this takes an instant.
"""

import os
import pickletools
import stat
import struct
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

from cn.archives.entries import ITEM_SIZES, Entry, load_tensor, read_chunks
from cn.archives.safetensors_header import MAX_HEADER, read_safetensors
from cn.archives.torch_contents import tensors_of
from cn.archives.torch_files import read_legacy, read_zip
from cn.errors import InputError, WeightsError
from cn.files import reason

__all__ = ["ITEM_SIZES", "Archive", "Entry", "load_tensor", "open_archive", "read_chunks"]


@dataclass(frozen=True)
class Archive:
    """A file of tensors as its header or pickle describes it."""

    path: Path
    format: str
    """ "safetensors", "pickle" (a zip file of torch.save) or "legacy pickle"."""
    entries: dict[str, Entry]
    """By name, in the file's order."""
    metadata: dict[str, str]
    """The __metadata__ of a safetensors file; {} for pickles."""
    leftovers: dict[str, str]
    """What a pickle holds besides the tensors: name → a short description, as "global_step" → "840000"."""


_HEAD = 512
_UNPACK = "unpack it and give the file in it"
_OTHERS = (
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
    (b"GGUF", "is a GGUF file, which is not supported; give a .safetensors file"),
    (b"\x89HDF", "is an HDF5 file, which is not supported; give a .safetensors file"),
)
_WEB_PAGES = (b"<!doctype html", b"<html", b"<?xml", b"<head")


def open_archive(path: Path | str) -> Archive:
    """What is in the file of weights `path`, whatever its name.

    Raises WeightsError when there is no such file, or it holds no named tensors, or it tries to run something;
    InputError when it is damaged, cut off, or something else.
    """
    path = Path(path)
    try:
        # Looked at before it is opened: opening a pipe would wait for ever.
        if not stat.S_ISREG(os.stat(path).st_mode):
            raise InputError(f"{path}: is {'a folder' if path.is_dir() else 'no file'}; give a file of weights")
        with open(path, "rb") as file:
            return _read(file, path, os.fstat(file.fileno()).st_size)
    except FileNotFoundError:
        raise WeightsError(f"{path}: no such file") from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {reason(error)}") from error
    except ValueError:
        raise InputError(f"{str(path)!r}: cannot be the name of a file") from None


def _read(file: BinaryIO, path: Path, size: int) -> Archive:
    head = file.read(_HEAD)
    file.seek(0)
    if _begins_safetensors(head):
        entries, metadata = read_safetensors(file, path, size)
        return Archive(path, "safetensors", entries, metadata, {})
    if head.startswith(b"PK\3\4"):
        entries, leftovers = tensors_of(read_zip(file, path, size), path)
        return Archive(path, "pickle", entries, {}, leftovers)
    if head[:1] == b"\x80" or _is_text_pickle(head):
        entries, leftovers = tensors_of(read_legacy(file, path, size), path)
        return Archive(path, "legacy pickle", entries, {}, leftovers)
    raise _no_weights(head, path, size)


def _begins_safetensors(head: bytes) -> bool:
    """Whether a file with these first bytes is a safetensors file, if perhaps a damaged one.

    Its ninth byte opens the header. The length before it may itself begin like a pickle, but not like anything that
    a pickle goes on with: its upper bytes are zeros.
    """
    if head[8:9] != b"{":
        return False
    return struct.unpack("<Q", head[:8])[0] <= MAX_HEADER or head[:1] != b"\x80"


def _is_text_pickle(head: bytes) -> bool:
    """Whether these bytes begin with a whole pickle of the oldest protocols, which have no mark of their own."""
    try:
        return [code.name for code, _, _ in pickletools.genops(BytesIO(head))][-1:] == ["STOP"]
    except (ValueError, struct.error):
        return False


def _no_weights(head: bytes, path: Path, size: int) -> InputError:
    """What the file is that is no weights."""
    if not size:
        return InputError(f"{path}: is empty")
    for start, what in _OTHERS:
        if head.startswith(start):
            return InputError(f"{path}: {what}")
    if head.lstrip().lower().startswith(_WEB_PAGES):
        return InputError(f"{path}: is a web page; download the file itself")
    if head[257:262] == b"ustar":
        return InputError(f"{path}: is a tar archive, as torch 0.1 wrote them; save it again with a newer torch")
    return InputError(f"{path}: is no file of weights: neither safetensors nor what torch.save writes")
