"""Files on this machine and in object storage (`s3://`, `gs://`, `hf://` … through fsspec), by the same functions.

A path with "://" is a URL and goes through fsspec, which is imported then and installed with the extra `remote`. An
object appears whole or not at all there, because that is how object storage writes; on this machine `cn.files` sees to
it.
"""

import contextlib
import functools
import os
import posixpath
import shutil
import tempfile
from collections.abc import Iterator
from typing import Any, BinaryIO, cast

from cn.errors import InputError, OutputError, UsageError
from cn.files import make_folder, open_atomic, reason

_AT_ONCE, _IN_MEMORY = 8 << 20, 64 << 20
"""Bytes that are copied at a time, and bytes of an object that are kept in memory before it is written."""

StrPath = str | os.PathLike[str]


def is_url(path: StrPath) -> bool:
    """Whether a path names something that is not a file of this machine."""
    return "://" in os.fspath(path)


def join(base: StrPath, *parts: str) -> str:
    """A path below `base`, with "/" in URLs."""
    return posixpath.join(os.fspath(base), *parts) if is_url(base) else os.path.join(base, *parts)


def read_bytes(path: StrPath) -> bytes:
    """The contents of a file or an object. Raises InputError when it cannot be read."""
    with open_read(path) as file:
        return file.read()


@contextlib.contextmanager
def open_read(path: StrPath) -> Iterator[BinaryIO]:
    """A file or an object, open for reading and seeking. Raises InputError, also for what fails while it is read."""
    try:
        with _opened(path) as file:
            yield file
    except FileNotFoundError:
        raise InputError("no such file", path=path) from None
    except IsADirectoryError:
        raise InputError("is a folder, not a file", path=path) from None
    except PermissionError as error:
        raise InputError(f"cannot be read: {_why(error)}", path=path) from error
    except OSError as error:
        raise InputError(f"cannot be read: {_why(error)}", path=path) from error


def _opened(path: StrPath) -> BinaryIO:
    if not is_url(path):
        return open(path, "rb")
    system, name = _system(os.fspath(path))
    return cast(BinaryIO, system.open(name, "rb"))


def write(path: StrPath, data: bytes, *, durable: bool = False) -> None:
    """Write a file or an object, which appears whole or not at all; folders are created. Raises OutputError."""
    with open_write(path, durable=durable) as file:
        file.write(data)


@contextlib.contextmanager
def open_write(path: StrPath, *, durable: bool = False) -> Iterator[BinaryIO]:
    """A file or an object that appears when the block ends without an exception; folders are created.

    Raises OutputError. An object is put together in a temporary file first.
    """
    if not is_url(path):
        _make_parent(os.path.dirname(os.fspath(path)))
        with open_atomic(path, durable=durable) as file:
            yield file
        return
    system, name = _system(os.fspath(path))
    with tempfile.SpooledTemporaryFile(_IN_MEMORY) as content:
        yield cast(BinaryIO, content)
        content.seek(0)
        try:
            with system.open(name, "wb") as file:
                shutil.copyfileobj(content, file, _AT_ONCE)
        except OSError as error:
            raise OutputError(f"cannot be written: {_why(error)}", path=path, number=error.errno) from error


def _make_parent(folder: str) -> None:
    # Looking costs less than making a folder that is there.
    if folder and not os.path.isdir(folder):
        make_folder(folder)


def exists(path: StrPath) -> bool:
    """Whether there is a file, an object or a folder of this name."""
    if not is_url(path):
        return os.path.exists(path)
    system, name = _system(os.fspath(path))
    return bool(system.exists(name))


def is_folder(path: StrPath) -> bool:
    """Whether a path names a folder, or the beginning of the names of objects."""
    if not is_url(path):
        return os.path.isdir(path)
    system, name = _system(os.fspath(path))
    return bool(system.isdir(name))


def size(path: StrPath) -> int:
    """The bytes of a file or an object. Raises InputError where there is none."""
    try:
        if not is_url(path):
            return os.stat(path).st_size
        system, name = _system(os.fspath(path))
        return int(system.size(name) or 0)
    except FileNotFoundError:
        raise InputError("no such file", path=path) from None
    except OSError as error:
        raise InputError(f"cannot be read: {_why(error)}", path=path) from error


def remove(path: StrPath) -> None:
    """Remove a file or an object, if it is there."""
    with contextlib.suppress(FileNotFoundError):
        if is_url(path):
            system, name = _system(os.fspath(path))
            system.rm_file(name)
        else:
            os.unlink(path)


def files_below(folder: StrPath) -> list[str]:
    """The paths of all files below a folder, relative to it with "/", sorted; none where there is no such folder."""
    if is_url(folder):
        system, name = _system(os.fspath(folder))
        try:
            found = system.find(name)
        except OSError as error:
            raise InputError(f"cannot be read: {_why(error)}", path=folder) from error
        start = len(name.rstrip("/")) + 1
        return sorted(path[start:] for path in found if len(path) > start)
    found = []
    for place, _, names in os.walk(folder):
        below = os.path.relpath(place, folder)
        found += [name if below == "." else f"{below}/{name}".replace(os.sep, "/") for name in names]
    return sorted(found)


def _system(url: str) -> tuple[Any, str]:
    """The file system of a URL, and the path within it."""
    protocol = url.partition("://")[0]
    system = _file_system(protocol, os.getpid())
    return system, system._strip_protocol(url)


@functools.cache
def _file_system(protocol: str, process: int) -> Any:
    """One for each process: their connections and threads do not survive a fork."""
    try:
        import fsspec
    except ImportError:
        raise UsageError(
            f'{protocol}:// needs fsspec: pip install "controlnet-cn[remote]"',
        ) from None
    try:
        return fsspec.filesystem(protocol)
    except (ImportError, ValueError) as error:
        raise UsageError(f"{protocol}:// cannot be used: {error}") from None


def _why(error: OSError) -> str:
    """The message of an operating system's error, or that of a service."""
    return reason(error) if error.strerror else " ".join(str(error).split())[:300] or type(error).__name__
