"""Writing files so that they appear whole or not at all, and the folders that they go to.

No heavy imports: training, checkpoints, images and data sets all share this.
"""

import contextlib
import hashlib
import os
import secrets
import shutil
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

from cn.errors import InputError
from cn.units import bytes_text

TEMPORARY_PREFIX = ".cn-"
TEMPORARY_SUFFIX = ".tmp"
_HASHED_AT_ONCE = 8 << 20


def reason(error: OSError) -> str:
    """The operating system's words for `error`, without number and path: "No space left on device"."""
    return error.strerror or type(error).__name__


def sha256(path: str | os.PathLike[str]) -> str:
    """Of the whole file, hexadecimal. InputError when it cannot be read.

    In pieces so large that a thread which does this leaves the interpreter to the others.
    """
    digest, buffer = hashlib.sha256(), memoryview(bytearray(_HASHED_AT_ONCE))
    try:
        with open(path, "rb", buffering=0) as file:
            while count := file.readinto(buffer):
                digest.update(buffer[:count])
        return digest.hexdigest()
    except OSError as error:
        raise InputError(f"{os.fspath(path)}: cannot be read: {reason(error)}") from error


def sha256_of_all(paths: Sequence[str | os.PathLike[str]]) -> str:
    """One hash for several files: see `combined_sha256`."""
    return combined_sha256([sha256(path) for path in paths])


def combined_sha256(hashes: Sequence[str]) -> str:
    """A single hash as it is; several as the SHA-256 of their hexadecimal digits in order."""
    return hashes[0] if len(hashes) == 1 else hashlib.sha256("".join(hashes).encode()).hexdigest()


def check_space(path: str | os.PathLike[str], needed: int, what: str) -> None:
    """InputError unless the disk of `path` (which need not be there yet) has room for `needed` bytes of `what`."""
    folder = next(p for p in (Path(path), *Path(path).absolute().parents) if p.exists())
    if (free := shutil.disk_usage(folder).free) < needed:
        raise InputError(f"{folder}: {bytes_text(free)} free, but {what} takes {bytes_text(needed)}")


def make_folder(path: str | os.PathLike[str]) -> Path:
    """Create the folder `path` and its parents if need be; InputError when that cannot be done."""
    folder = Path(path)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except FileExistsError:
        raise InputError(f"{folder}: is a file, but a folder is needed there") from None
    except OSError as error:
        raise InputError(f"{folder}: the folder cannot be made: {reason(error)}") from error
    return folder


def write_atomic(path: str | os.PathLike[str], data: bytes | bytearray | memoryview, *, durable: bool = True) -> None:
    """Write `data` to `path`, whole or not at all: see `open_atomic`."""
    with open_atomic(path, durable=durable) as file:
        file.write(data)


@contextlib.contextmanager
def open_atomic(path: str | os.PathLike[str], *, durable: bool = True) -> Iterator[BinaryIO]:
    """A binary file that takes the name `path` only when the block ends without an exception.

    It is a temporary file in the same folder until then; an exception (Ctrl-C too) removes it, and what was at `path`
    before stays. The new file has the permissions that the umask gives, or those of the file it replaces. A symbolic
    link is followed, and a device or pipe (`/dev/null`, `/dev/stdout`) is written to and never replaced.
    `durable` waits until the bytes are on the disk, so that not even a power failure leaves half a file.
    Raises InputError, naming the file, when the folder is missing, forbidden or full.
    """
    target = Path(path)
    try:
        mode = _mode(target)
        if mode is not None and stat.S_ISDIR(mode):
            raise InputError(f"{target}: is a folder, but a file is to be written there")
        if mode is not None and not stat.S_ISREG(mode):
            with open(target, "wb") as special:
                yield special
            return
        # Resolving every folder of the path costs as much as writing a small file does.
        final = os.path.realpath(target) if os.path.islink(target) else os.fspath(target)
        with _temporary(final, mode, durable) as file:
            yield file
    except OSError as error:
        if isinstance(error, BrokenPipeError):
            raise
        raise InputError(f"{target}: cannot be written: {reason(error)}") from error


def _mode(path: Path) -> int | None:
    """`st_mode` of what is at `path` (links followed), None when nothing is."""
    try:
        return path.stat().st_mode
    except FileNotFoundError:
        return None


@contextlib.contextmanager
def _temporary(target: str, mode: int | None, durable: bool) -> Iterator[BinaryIO]:
    # A short name of its own, so that long target names fit and two writers of one file never share a temporary.
    name = f"{TEMPORARY_PREFIX}{os.getpid()}-{secrets.token_hex(6)}{TEMPORARY_SUFFIX}"
    temporary = os.path.join(os.path.dirname(target), name)
    # os.open rather than tempfile: tempfile's 0600 would make the result unreadable to the group whatever the umask.
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_CLOEXEC", 0), 0o666)
    try:
        with os.fdopen(descriptor, "wb") as file:
            if mode is not None:
                os.chmod(temporary, stat.S_IMODE(mode))
            yield file
            file.flush()
            if durable:
                os.fsync(file.fileno())
        os.replace(temporary, target)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)
        raise
