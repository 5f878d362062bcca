"""Files on this machine and in object storage (`s3://`, `gs://`, `hf://` … through fsspec), by the same functions.

A path with "://" is a URL and goes through fsspec, which is imported then and installed with the extra `remote`. An
object appears whole or not at all there, because that is how object storage writes; on this machine `cn.files` sees to
it.
"""

import contextlib
import errno
import glob
import io
import os
import posixpath
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from typing import BinaryIO, cast
from urllib.parse import unquote

from cn import remote
from cn.errors import InputError, MissingError, OutputError, UnreadableError
from cn.files import make_folder, open_atomic

_AT_ONCE = 8 << 20
"""Bytes that are copied at a time."""

REQUESTS = 16
"""How many requests to object storage are under way at once, where there are many small ones."""

StrPath = str | os.PathLike[str]


def is_url(path: StrPath) -> bool:
    """Whether a path names something that is not a file of this machine."""
    return "://" in os.fspath(path)


def join(base: StrPath, *parts: str) -> str:
    """A path below `base`, with "/" in URLs."""
    return posixpath.join(os.fspath(base), *parts) if is_url(base) else os.path.join(base, *parts)


def from_user(path: str) -> str:
    """What a person typed: `file:///a/b` is the path /a/b, and a URL has no "/" at its end."""
    if path.startswith("file://"):
        return unquote(path.removeprefix("file://")) or "/"
    return path.rstrip("/") if is_url(path) and not path.endswith("://") else path


def read_bytes(path: StrPath) -> bytes:
    """The contents of a file or an object. Raises UnreadableError when it cannot be read."""
    with _reading(path):
        if is_url(path):
            system, name = remote.system_of(os.fspath(path))
            return cast(bytes, system.cat_file(name))
        with open(path, "rb") as file:
            return file.read()


def read_range(path: StrPath, start: int, size: int) -> bytes:
    """`size` bytes from `start` on, fewer where the file ends before. Raises UnreadableError as `read_bytes`."""
    with _reading(path):
        if is_url(path):
            system, name = remote.system_of(os.fspath(path))
            return cast(bytes, system.cat_file(name, start=start, end=start + size))
        with open(path, "rb") as file:
            file.seek(start)
            return file.read(size)


@contextlib.contextmanager
def open_read(path: StrPath) -> Iterator[BinaryIO]:
    """A file or an object, open for reading and seeking, of which a few megabytes are in memory at a time.

    Raises UnreadableError, also for what fails while it is read.
    """
    with _reading(path), _opened(path) as file:
        yield file


@contextlib.contextmanager
def _reading(path: StrPath) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError as error:
        raise MissingError(_missing(path, error), path=path) from None
    except IsADirectoryError:
        raise InputError("is a folder, not a file", path=path) from None
    except remote.failures() as error:
        raise UnreadableError(f"cannot be read: {remote.why(error)}", path=path) from error


def _missing(path: StrPath, error: FileNotFoundError) -> str:
    if is_url(path) and (
        "specified bucket" in str(error) or "/" not in os.fspath(path).partition("://")[2].rstrip("/")
    ):
        return _NO_BUCKET
    return "no such file"


_NO_BUCKET = "there is no such bucket"


def _opened(path: StrPath) -> BinaryIO:
    if not is_url(path):
        return open(path, "rb")
    system, name = remote.system_of(os.fspath(path))
    # fsspec's files lack what others have, as readline with a size.
    return cast(BinaryIO, io.BufferedReader(system.open(name, "rb")))


def write(path: StrPath, data: bytes, *, durable: bool = False) -> None:
    """Write a file or an object, which appears whole or not at all; folders are created. Raises OutputError."""
    if is_url(path):
        system, name = remote.system_of(os.fspath(path))
        with _writing(path):
            system.pipe_file(name, data)
        return
    with open_write(path, durable=durable) as file:
        file.write(data)


def create_object(url: str, data: bytes) -> bool:
    """Write a small object unless there is one; False if there is. Of several that try, one succeeds.

    Some services that resemble S3 do not know this condition; there, two that try at the same moment may both succeed.
    """
    if exists(url):
        return False
    system, name = remote.system_of(url)
    with _writing(url):
        try:
            system.pipe_file(name, data, mode="create")
        except FileExistsError:
            return False
        except (NotImplementedError, OSError) as error:
            if isinstance(error, OSError) and error.errno != errno.ENOSYS:
                raise
            system.pipe_file(name, data)
    return True


@contextlib.contextmanager
def _writing(path: StrPath) -> Iterator[None]:
    try:
        yield
    except remote.failures() as error:
        what = _missing(path, error) if isinstance(error, FileNotFoundError) else remote.why(error)
        raise OutputError(f"cannot be written: {what}", path=path, number=getattr(error, "errno", None)) from error


@contextlib.contextmanager
def open_write(path: StrPath, *, durable: bool = False) -> Iterator[BinaryIO]:
    """A file or an object that appears when the block ends without an exception; folders are created.

    Raises OutputError. An object is put together in a temporary file first: a file system that uploads what it gets
    would finish a piece of it, too, when it is interrupted.
    """
    if not is_url(path):
        _make_parent(os.path.dirname(os.fspath(path)))
        with open_atomic(path, durable=durable) as file:
            yield file
        return
    system, name = remote.system_of(os.fspath(path))
    with contextlib.ExitStack() as stack:
        with _spooling():
            content = stack.enter_context(tempfile.NamedTemporaryFile(prefix="cn-"))
            yield cast(BinaryIO, content)
            content.flush()
        with _writing(path):
            system.put_file(content.name, name, **remote.upload_options(os.fspath(path)))


@contextlib.contextmanager
def _spooling() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        what = f"cannot hold the file that is to be uploaded: {remote.why(error)}; TMPDIR can name another folder"
        raise OutputError(what, path=tempfile.gettempdir(), number=error.errno) from error


def _make_parent(folder: str) -> None:
    # Looking costs less than making a folder that is there.
    if folder and not os.path.isdir(folder):
        make_folder(folder)


def copy(source: StrPath, target: StrPath) -> None:
    """Copy a file or an object, piece by piece; within one object storage, nothing is downloaded."""
    if _scheme(source) == _scheme(target) != "":
        system, name = remote.system_of(os.fspath(source))
        with _writing(target):
            system.cp_file(name, remote.system_of(os.fspath(target))[1])
        return
    with open_read(source) as old, open_write(target) as new:
        shutil.copyfileobj(old, new, _AT_ONCE)


def _scheme(path: StrPath) -> str:
    return os.fspath(path).partition("://")[0] if is_url(path) else ""


def exists(path: StrPath) -> bool:
    """Whether there is a file, an object or a folder of this name. UnreadableError where a service does not say it."""
    return os.path.exists(path) if not is_url(path) else _type(path) is not None


def is_folder(path: StrPath) -> bool:
    """Whether a path names a folder, or the beginning of the names of objects. Raises as `exists`."""
    return os.path.isdir(path) if not is_url(path) else _type(path) == "directory"


def _type(url: StrPath) -> str | None:
    """ "file", "directory" or None."""
    system, name = remote.system_of(os.fspath(url))
    try:
        with _reading(url):
            # Not `isdir` and `exists`, which list whole folders, or take a failure for a no.
            return cast(str, system.info(name)["type"])
    except MissingError as error:
        if error.what == _NO_BUCKET:
            raise
        return None


def size(path: StrPath) -> int:
    """The bytes of a file or an object. Raises UnreadableError where there is none."""
    with _reading(path):
        if not is_url(path):
            return os.stat(path).st_size
        system, name = remote.system_of(os.fspath(path))
        return int(system.size(name) or 0)


def remove(path: StrPath) -> None:
    """Remove a file or an object, if it is there. Raises OutputError."""
    with _writing(path), contextlib.suppress(FileNotFoundError):
        if is_url(path):
            system, name = remote.system_of(os.fspath(path))
            system.rm_file(name)
        else:
            os.unlink(path)


def remove_objects(urls: Sequence[str]) -> None:
    """Remove objects of one object storage, many with one request. Raises OutputError."""
    patterns = [url for url in urls if glob.has_magic(url)]
    plain = [url for url in urls if not glob.has_magic(url)]
    for start in range(0, len(plain), _MOST_REMOVED):
        with _writing(plain[start]), contextlib.suppress(FileNotFoundError):
            system, _ = remote.system_of(plain[start])
            system.rm([remote.system_of(url)[1] for url in plain[start : start + _MOST_REMOVED]])
    # Names that look like patterns are patterns to `rm`.
    for url in patterns:
        remove(url)


_MOST_REMOVED = 1000


def files_below(folder: StrPath) -> list[str]:
    """The paths of all files below a folder, relative to it with "/", sorted; none where there is no such folder."""
    if is_url(folder):
        return _objects_below(os.fspath(folder))
    found = []
    for place, _, names in os.walk(folder):
        below = os.path.relpath(place, folder)
        found += [name if below == "." else f"{below}/{name}".replace(os.sep, "/") for name in names]
    return sorted(found)


def _objects_below(url: str) -> list[str]:
    system, name = remote.system_of(url)
    try:
        with _reading(url):
            found = system.find(name)
    except MissingError as error:
        if error.what == _NO_BUCKET:
            raise
        return []
    start = len(name.rstrip("/")) + 1
    # Tools create empty objects "folder/" to show folders.
    return sorted(path[start:] for path in found if len(path) > start and not path.endswith("/"))
