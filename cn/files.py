"""Writing files atomically (they appear complete or not at all), creating folders, and hashing.

Imports nothing heavy, because every part of the package uses it.
"""

import contextlib
import hashlib
import os
import shutil
import stat
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import BinaryIO

from cn.errors import InputError, OutputError
from cn.temporaries import temporary_file
from cn.units import bytes_text

_HASHED_AT_ONCE = 8 << 20
_begun: dict[str, tuple[tuple[int, ...], Future[str]]] = {}
"""Hashes that threads compute or have computed, by path, with the `stamp` of the file that they began with."""


def reason(error: OSError) -> str:
    """The operating system's message for `error`, without number and path: "No space left on device"."""
    return error.strerror or type(error).__name__


def stamp(path: str | os.PathLike[str]) -> tuple[int, ...]:
    """A cache key that changes when the file does; () where there is no such file (standard input)."""
    try:
        status = os.stat(path)
    except OSError:
        return ()
    return status.st_ino, status.st_size, status.st_mtime_ns


def begin_sha256(path: str | os.PathLike[str]) -> None:
    """Let a thread compute what `sha256` will be asked for, while something else is done; the process need not wait.

    It is asked for any number of times: until the file changes, the hash is that.
    """
    future: Future[str] = Future()
    # The current folder may be another one when the thread comes to it.
    name = os.path.abspath(path)
    if _begun.get(name, ((),))[0] == stamp(path) != ():
        return

    def compute() -> None:
        try:
            future.set_result(_sha256(name))
        except BaseException as error:
            future.set_exception(error)

    # Where no thread can be started, the hash is computed when it is asked for.
    with contextlib.suppress(RuntimeError):
        threading.Thread(target=compute, daemon=True).start()
        _begun[name] = stamp(path), future


def sha256(path: str | os.PathLike[str]) -> str:
    """The SHA-256 of a file, hexadecimal. InputError when it cannot be read."""
    name = os.path.abspath(path)
    begun, future = _begun.get(name, ((), None))
    try:
        if future is not None and begun == stamp(path):
            return future.result()
    except BaseException:
        _begun.pop(name, None)
        raise
    _begun.pop(name, None)
    return _sha256(path)


def _sha256(path: str | os.PathLike[str]) -> str:
    # In large pieces, so that a thread that does this releases the GIL for long.
    digest, buffer = hashlib.sha256(), memoryview(bytearray(_HASHED_AT_ONCE))
    try:
        with open(path, "rb", buffering=0) as file:
            while count := file.readinto(buffer):
                digest.update(buffer[:count])
        return digest.hexdigest()
    except OSError as error:
        raise InputError(f"cannot be read: {reason(error)}", path=path) from error


def sha256_of_all(paths: Sequence[str | os.PathLike[str]]) -> str:
    """One hash for several files: see `combined_sha256`."""
    return combined_sha256([sha256(path) for path in paths])


def combined_sha256(hashes: Sequence[str]) -> str:
    """A single hash as it is; several as the SHA-256 of their hexadecimal digits in order."""
    return hashes[0] if len(hashes) == 1 else hashlib.sha256("".join(hashes).encode()).hexdigest()


def check_space(path: str | os.PathLike[str], needed: int, what: str) -> None:
    """InputError unless the disk of `path` (which need not exist yet) has room for `needed` bytes of `what`."""
    folder = next(p for p in (Path(path), *Path(path).absolute().parents) if p.exists())
    if (free := free_bytes(folder)) < needed:
        raise InputError(f"{bytes_text(free)} free, but {what} takes {bytes_text(needed)}", path=folder)


def free_bytes(folder: str | os.PathLike[str]) -> int:
    """The free space of the disk that a folder is on."""
    return shutil.disk_usage(folder).free


def user_cache() -> Path:
    """The folder of this user's caches of cn; it may not exist yet."""
    text = os.environ.get("XDG_CACHE_HOME", "").strip()
    return Path(text or "~/.cache").expanduser() / "cn"


def make_folder(path: str | os.PathLike[str]) -> Path:
    """Create the folder `path` and its parents if they do not exist; InputError or OutputError when that fails."""
    folder = Path(path)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except FileExistsError:
        raise InputError("is a file, but a folder is needed there", path=folder) from None
    except OSError as error:
        raise OutputError(f"the folder cannot be created: {reason(error)}", path=folder, number=error.errno) from error
    return folder


def write_atomic(path: str | os.PathLike[str], data: bytes | bytearray | memoryview, *, durable: bool = True) -> None:
    """Write `data` to `path` atomically: see `open_atomic`."""
    with open_atomic(path, durable=durable) as file:
        file.write(data)


@contextlib.contextmanager
def open_atomic(path: str | os.PathLike[str], *, durable: bool = True) -> Iterator[BinaryIO]:
    """A binary file that takes the name `path` only when the block ends without an exception.

    Until then it is a temporary file in the same folder (`cn.temporaries`); an exception (also Ctrl-C) removes it, and
    the previous file stays. The new file has the permissions of the umask, or of the file that it replaces. A symbolic
    link is followed, and a device or pipe (`/dev/null`, `/dev/stdout`) is written to and never replaced. `durable`
    waits until the bytes are on the disk, so that even a power failure leaves no incomplete file.
    Raises OutputError when the folder is missing, forbidden or full.
    """
    target = Path(path)
    try:
        mode = _mode(target)
        if mode is not None and stat.S_ISDIR(mode):
            raise InputError("is a folder, but a file is to be written there", path=target)
        if mode is not None and not stat.S_ISREG(mode):
            with open(target, "wb") as special:
                yield special
            return
        # Resolving every folder of the path costs as much as writing a small file.
        final = os.path.realpath(target) if os.path.islink(target) else os.fspath(target)
        with _temporary(final, mode, durable) as file:
            yield file
    except OSError as error:
        if isinstance(error, BrokenPipeError):
            raise
        raise OutputError(f"cannot be written: {reason(error)}", path=target, number=error.errno) from error


def _mode(path: Path) -> int | None:
    """`st_mode` of `path` (links followed), None if it does not exist."""
    try:
        return path.stat().st_mode
    except FileNotFoundError:
        return None


@contextlib.contextmanager
def _temporary(target: str, mode: int | None, durable: bool) -> Iterator[BinaryIO]:
    with temporary_file(os.path.dirname(target)) as (path, descriptor):
        if mode is not None:
            os.fchmod(descriptor, stat.S_IMODE(mode))
        with open(descriptor, "wb", closefd=False) as file:
            yield file
            file.flush()
            if durable:
                os.fsync(descriptor)
        os.replace(path, target)
