"""One process at a time in a run's folder; a second is told who is there."""

import contextlib
import errno
import json
import os
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from filelock import FileLock, Timeout

from cn.errors import InputError
from cn.files import write_atomic
from cn.train.distributed.environment import is_first_process

LOCK, HOLDER = "run.lock", "run.lock.json"
_NO_LOCKS = {errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOTSUP}
"""What a file system without locks answers."""


@contextlib.contextmanager
def run_lock(run: Path, warn: Callable[[str], None]) -> Iterator[None]:
    """Keeps other processes out of a run's folder during the block; the lock ends with this process, even killed.

    Raises InputError, naming the process, where another one holds it. `warn` is told if the file system has no locks.
    """
    lock = FileLock(run / LOCK, timeout=0)
    try:
        lock.acquire()
    except Timeout:
        raise _in_use(run) from None
    except (OSError, NotImplementedError) as error:
        # Which of the two depends on the release of filelock.
        if isinstance(error, OSError) and error.errno not in _NO_LOCKS:
            raise
        warn(f"{run}: this file system has no locks; make sure that no other process trains in this folder")
        yield
        return
    try:
        # Not inside the lock file, which older releases of filelock empty when they try the lock.
        holder = {"pid": os.getpid(), "host": socket.gethostname(), "since": time.strftime("%Y-%m-%d %H:%M:%S")}
        write_atomic(run / HOLDER, json.dumps(holder).encode(), durable=False)
        yield
    finally:
        for name in (HOLDER, LOCK):
            (run / name).unlink(missing_ok=True)
        lock.release()


def check_not_in_use(run: Path) -> None:
    """InputError where another process trains in this folder: an early answer, before networks are loaded.

    Of processes that train together only the first one looks, because the lock is held for a moment by whoever does.
    """
    if not is_first_process() or not (run / LOCK).exists():
        return
    lock = FileLock(run / LOCK, timeout=0)
    try:
        lock.acquire()
    except Timeout:
        raise _in_use(run) from None
    except (OSError, NotImplementedError):
        return
    lock.release()


def _in_use(run: Path) -> InputError:
    try:
        holder = json.loads((run / HOLDER).read_bytes())
        who = f"process {holder['pid']} on {holder['host']} has trained here since {holder['since']}"
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        who = "another process trains here"
    return InputError(f"{who}; wait for it, stop it, or choose another folder with --out", path=run)
