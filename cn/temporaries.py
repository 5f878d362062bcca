"""Temporary files and folders: locked while they are written, and swept when their process has died.

A killed process leaves its temporary files behind. Each carries a lock of the operating system (`flock`), which ends
with the process, whatever ends it. So the next process that writes into the folder can tell them from those that are
being written, also by another machine, and without a guess from process numbers or ages. (tempfile and filelock have
no such sweep.) Where the file system has no locks, nothing is swept.
"""

import contextlib
import fcntl
import os
import re
import secrets
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path

from cn.errors import InputError

_NAME = re.compile(r"\.cn-[0-9a-f-]+(?:\.tmp)?|\.cn-[0-9a-f-]+-old\.tmp|\.cn-metrics")
"""All names that temporary files and folders have, or had in earlier versions."""
_REPLACED = re.compile(r"\.cn-old-(.+)")
"""A folder that is being replaced, under its own name."""

_swept: set[str] = set()
_sweeping = threading.Lock()


@contextlib.contextmanager
def temporary_file(folder: str) -> Iterator[tuple[str, int]]:
    """A new file in a folder, as (path, descriptor open for writing); removed unless it was renamed in the block.

    It has the permissions of the umask. The block must not close the descriptor: it holds the lock.
    """
    sweep_once(folder)
    while True:
        path = _new_name(folder)
        # os.open rather than tempfile, whose 0600 would make the result unreadable to the group whatever the umask.
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
        if _lock_new(path, descriptor):
            break
    try:
        yield path, descriptor
    finally:
        # Looking costs less than a failing `unlink`.
        if os.path.lexists(path):
            os.unlink(path)
        os.close(descriptor)


@contextlib.contextmanager
def temporary_folder(parent: Path) -> Iterator[Path]:
    """A new folder in `parent`; removed with all its contents unless it was renamed in the block."""
    sweep_once(parent)
    while True:
        path = Path(_new_name(parent))
        path.mkdir()
        # Another process may sweep the folder before it is locked.
        with contextlib.suppress(FileNotFoundError):
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            if _lock_new(path, descriptor):
                break
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)
        os.close(descriptor)


def replace_folder(new: Path, target: Path) -> None:
    """Rename the folder `new` to `target`, whose old contents are removed; both are in one folder.

    Killed between its steps, this leaves the old folder, and the next sweep gives it its name back.
    """
    if not target.exists():
        os.rename(new, target)
        return
    old = target.with_name(f".cn-old-{target.name}")
    if not _settle(old, target):
        raise InputError("is being replaced by another process", path=target)
    with locked(target):
        os.rename(target, old)
        try:
            os.rename(new, target)
        except BaseException:
            os.rename(old, target)
            raise
        shutil.rmtree(old, ignore_errors=True)


def remove_folder(path: Path) -> None:
    """Remove a folder and its contents, at once for whoever looks: killed in the middle, the next sweep does the rest.

    Does nothing where it is not there. Raises OSError where it cannot be renamed.
    """
    gone = Path(_new_name(path.parent))
    with contextlib.suppress(FileNotFoundError):
        os.rename(path, gone)
        shutil.rmtree(gone, ignore_errors=True)


@contextlib.contextmanager
def locked(path: str | os.PathLike[str]) -> Iterator[None]:
    """Keeps a file or folder, under whatever temporary name it gets, from being swept during the block."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        with contextlib.suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        yield
    finally:
        os.close(descriptor)


def link_or_copy(source: Path, target: Path) -> None:
    """Make `target` a hard link to `source`, or a copy where there are no links; whole at every instant.

    Does nothing where it is one already (renaming one link to a file over another would leave both).
    """
    if target.exists() and os.path.samefile(source, target):
        return
    sweep_once(target.parent)
    temporary = _new_name(target.parent)
    try:
        with locked(source):
            os.link(source, temporary)
            os.replace(temporary, target)
    except OSError:
        with temporary_file(os.fspath(target.parent)) as (path, descriptor), open(source, "rb") as data:
            with open(descriptor, "wb", closefd=False) as copy:
                shutil.copyfileobj(data, copy)
                copy.flush()
                os.fsync(descriptor)
            os.replace(path, target)


def sweep_once(folder: str | os.PathLike[str]) -> None:
    """`sweep`, the first time that this process writes into a folder: a folder may have a million files."""
    # Not resolved, which costs more than writing a small file: another name of the folder is swept again, that is all.
    name = os.path.abspath(folder)
    with _sweeping:
        if name in _swept:
            return
        _swept.add(name)
    sweep(name)


def sweep(folder: str | os.PathLike[str]) -> None:
    """Remove the temporary files and folders that dead processes left in a folder, which may be missing."""
    try:
        names = [name for name in os.listdir(folder or ".") if name.startswith(".cn-")]
    except OSError:
        return
    for name in names:
        path = Path(folder, name)
        if _NAME.fullmatch(name):
            with _if_unused(path) as unused:
                if unused:
                    _remove(path)
        elif match := _REPLACED.fullmatch(name):
            _settle(path, path.with_name(match[1]))


def _settle(old: Path, target: Path) -> bool:
    """End the replacement of a folder that a killed process began: the new one stays, or else the old one returns.

    False if it is going on.
    """
    if not old.exists():
        return True
    with _if_unused(old) as unused:
        if unused and target.exists():
            _remove(old)
        elif unused:
            os.rename(old, target)
        return unused


@contextlib.contextmanager
def _if_unused(path: Path) -> Iterator[bool]:
    """Whether no process holds the lock of a file or folder; none can take it during the block."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        yield False
        return
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        unused = False
    else:
        unused = True
    try:
        yield unused
    finally:
        os.close(descriptor)


def _lock_new(path: str | os.PathLike[str], descriptor: int) -> bool:
    """Lock a file or folder that was just created; False, with the descriptor closed, if it was swept before that."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return False
    except OSError:
        # The file system has no locks: nobody can sweep it.
        return True
    if os.path.exists(path):
        return True
    os.close(descriptor)
    return False


def _new_name(folder: str | os.PathLike[str]) -> str:
    """A short unique name, so that long names fit and two writers never share a temporary file."""
    return os.path.join(folder, f".cn-{os.getpid():x}-{secrets.token_hex(6)}.tmp")


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
