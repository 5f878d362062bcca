"""Reading tars: the places of all members of an uncompressed one, or the members of a stream in order.

Tars that are cut off or damaged give what is before the damage, then an error.
"""

import bz2
import gzip
import lzma
import tarfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, BinaryIO, cast

from cn.errors import InputError
from cn.text import shown

_BLOCK = 512
_DAMAGE = (tarfile.TarError, EOFError, zlib.error, gzip.BadGzipFile, lzma.LZMAError, ValueError, OverflowError)
"""What tarfile and the decompressors raise for files that are broken."""
_COMPRESSED: Mapping[bytes, Callable[[Any], Any]] = {
    b"\x1f\x8b": gzip.open,
    b"BZh": bz2.open,
    b"\xfd7zXZ\0": lzma.open,
}
"""By how files begin."""


@dataclass(frozen=True)
class Member:
    """A file or link in a tar; `data` are its bytes where the tar is a stream."""

    name: str
    offset: int
    size: int
    data: bytes | None = None
    cut: bool = False
    """Whether the tar ends within it. It is the last one then."""
    is_link: bool = False
    """Whether it is a link to another one, without data of its own."""


def is_compressed(start: bytes) -> bool:
    """Whether a file that starts so is compressed."""
    return start.startswith(tuple(_COMPRESSED))


def members(file: BinaryIO) -> Iterator[Member]:
    """The members of an uncompressed tar, without their data. Raises InputError at the damage."""
    file.seek(0, 2)
    end = file.tell()
    file.seek(0)
    try:
        with tarfile.open(fileobj=file, mode="r:") as tar:
            while (info := tar.next()) is not None:
                # Otherwise it would keep all headers.
                _forget(tar)
                if info.islnk() or info.issym():
                    yield Member(info.name, info.offset_data, 0, is_link=True)
                elif info.isreg():
                    cut = info.offset_data + info.size > end
                    yield Member(info.name, info.offset_data, info.size, cut=cut)
                    if cut:
                        raise InputError(f"is cut off in {shown(info.name)}")
            stopped = cast(Any, tar).offset
    except _DAMAGE as error:
        raise _damaged(error) from error
    file.seek(stopped)
    _check_end(file.read(_BLOCK), stopped)


def _forget(tar: tarfile.TarFile) -> None:
    """Otherwise tarfile would keep the headers of all members."""
    cast(Any, tar).members = []


def _check_end(block: bytes, place: int) -> None:
    """InputError unless a tar ends where tarfile stopped, which takes a broken header for the end."""
    if len(block) < _BLOCK:
        raise InputError("has no end mark: it is cut off, or its writer did not close it")
    if block.strip(b"\0"):
        raise InputError(f"is damaged at byte {place}")


class _Remembering:
    """A stream that knows what it gave last."""

    def __init__(self, file: BinaryIO):
        self._file = file
        self._tail = b""
        self._end = 0

    def read(self, size: int) -> bytes:
        """The next bytes of the stream."""
        data = self._file.read(size)
        self._end += len(data)
        self._tail = (self._tail + data)[-4 * tarfile.RECORDSIZE :]
        return data

    def block(self, place: int) -> bytes:
        """A block that was read just now, or comes next."""
        start = place - (self._end - len(self._tail))
        while len(self._tail) < start + _BLOCK and self.read(_BLOCK):
            start = place - (self._end - len(self._tail))
        return self._tail[start : start + _BLOCK] if start >= 0 else b""


def streamed(file: BinaryIO) -> Iterator[Member]:
    """The members of a tar that is compressed or far away, with their data. Raises InputError at the damage."""
    try:
        stream = _Remembering(_decompressed(file))
        with tarfile.open(fileobj=cast(Any, stream), mode="r|") as tar:
            for info in tar:
                _forget(tar)
                if info.islnk() or info.issym():
                    yield Member(info.name, info.offset_data, 0, b"", is_link=True)
                    continue
                content = tar.extractfile(info) if info.isreg() else None
                if content is None:
                    continue
                data = content.read()
                cut = len(data) < info.size
                yield Member(info.name, info.offset_data, info.size, data, cut)
                if cut:
                    raise InputError(f"is cut off in {shown(info.name)}")
            stopped = cast(Any, tar).offset
            _check_end(stream.block(stopped), stopped)
    except _DAMAGE as error:
        raise _damaged(error) from error


def _decompressed(file: BinaryIO) -> BinaryIO:
    start = file.read(8)
    file.seek(0)
    opened = next((opener for mark, opener in _COMPRESSED.items() if start.startswith(mark)), None)
    return file if opened is None else cast(BinaryIO, opened(file))


def _damaged(error: Exception) -> InputError:
    text = shown(" ".join(str(error).split()), 200)
    cut = isinstance(error, EOFError) or "unexpected end" in text or "end-of-stream" in text
    return InputError(f"is cut off ({text})" if cut else f"is damaged, or not a tar ({text or type(error).__name__})")
