"""Locks that keep two processes from planning or building the same at once."""

import contextlib
import json
import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock, Timeout

from cn import storage
from cn.data.build.places import WORK, Places
from cn.errors import InputError
from cn.files import make_folder


@contextlib.contextmanager
def locked(places: Places, name: str, wait: float) -> Iterator[None]:
    """A lock of the file system.

    Object storage has none. There, processes that plan at once agree (`cn.data.build.claim`), and those that build the
    same shards at once do the work twice, with the same result.
    """
    if storage.is_url(places.out):
        yield
        return
    path = os.path.join(make_folder(places.path(f"{WORK}/locks")), name)
    held = FileLock(f"{path}.lock", timeout=wait)
    try:
        held.acquire()
    except Timeout:
        raise InputError(f"{_holder(path)}; wait for it, or name another folder", path=places.out) from None
    try:
        storage.write(f"{path}.json", json.dumps(this_process()).encode())
        yield
    finally:
        for suffix in (".json", ".lock"):
            Path(f"{path}{suffix}").unlink(missing_ok=True)
        held.release()


def this_process() -> dict[str, object]:
    """Which one it is, and since when."""
    return {"pid": os.getpid(), "host": socket.gethostname(), "since": time.strftime("%Y-%m-%d %H:%M:%S")}


def _holder(path: str) -> str:
    try:
        with open(f"{path}.json", "rb") as file:
            holder = json.load(file)
        return f"process {holder['pid']} on {holder['host']} has been building here since {holder['since']}"
    except (OSError, ValueError, KeyError, TypeError):
        return "another process is building here"


def remove_unused(places: Places, *, folder: bool) -> None:
    """Remove the folders of locks where nothing was planned; with `folder`, the dataset's own too, if it is empty."""
    names = [f"{WORK}/locks", WORK]
    for path in [places.path(name) for name in names] + ([places.out] if folder else []):
        with contextlib.suppress(OSError):
            os.rmdir(path)
