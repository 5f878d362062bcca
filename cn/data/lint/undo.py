"""The originals of what `--fix` changes, kept in OUT/lint/undo/ID, and how they come back.

Each change takes three steps: the original is copied, a line of the list says what will be written, the file is
replaced at once. Killed between any of them, the dataset is whole, and the list is enough to undo what was done.
"""

import contextlib
import fcntl
import hashlib
import json
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from cn.data.records import RECORDS
from cn.errors import InputError
from cn.files import make_folder, sha256, write_atomic

FOLDER = Path("lint") / "undo"
_LIST = "changes.jsonl"
_KEPT = "files"


@dataclass(frozen=True)
class Change:
    """A file that was replaced, or created (`old` is None)."""

    path: str
    """Relative to the dataset, with "/"."""
    old: str | None
    new: str
    """SHA-256 of its contents before and after."""


@contextlib.contextmanager
def exclusive(root: Path) -> Iterator[None]:
    """Only one process at a time repairs a dataset. Raises InputError while another one does."""
    folder = make_folder(root / FOLDER)
    # Not filelock, which would leave a file in a dataset that has all its bytes back.
    descriptor = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError:
        raise InputError("is being repaired by another cn dataset lint; wait for it", path=root) from None
    finally:
        os.close(descriptor)


class UndoLog:
    """The changes of one run, which gets its folder with the first one."""

    def __init__(self, root: Path):
        self._root = root
        self.folder: Path | None = None

    def write(self, path: Path, data: bytes) -> None:
        """Replace a file of the dataset, or create it, and keep what was there."""
        relative = path.relative_to(self._root).as_posix()
        if self.folder is None:
            numbers = [int(folder.name) for folder in _folders(self._root)]
            self.folder = make_folder(self._root / FOLDER / f"{max(numbers, default=0) + 1:04d}")
        old = None
        if path.exists():
            kept = self.folder / _KEPT / relative
            make_folder(kept.parent)
            original = path.read_bytes()
            old = hashlib.sha256(original).hexdigest()
            write_atomic(kept, original)
        change = Change(relative, old, hashlib.sha256(data).hexdigest())
        with open(self.folder / _LIST, "ab") as file:
            file.write((json.dumps(asdict(change)) + "\n").encode())
            file.flush()
            os.fsync(file.fileno())
        write_atomic(path, data)


def _folders(root: Path) -> list[Path]:
    """The folders of earlier runs, the first one first."""
    folder = root / FOLDER
    found = [path for path in folder.iterdir() if path.name.isdecimal() and path.is_dir()] if folder.is_dir() else []
    return sorted(found, key=lambda path: int(path.name))


def undo(root: Path) -> list[Path]:
    """Bring back what the last run of `--fix` changed, byte for byte, and return the files.

    Killed midway, it is complete after another call. Raises InputError where there is nothing to undo, and, before
    anything is changed, where a file was edited since.
    """
    with exclusive(root):
        folders = _folders(root)
        if not folders:
            raise InputError("has no changes of cn dataset lint --fix that could be undone", path=root)
        folder = folders[-1]
        changes = _first_of_each(_changes(folder))
        _check(root, folder, changes)
        # Lines name files: those they named come back before the lines, those they name go after them.
        for change in sorted(changes, key=lambda change: (change.old is None, change.path.endswith(RECORDS))):
            path = root / change.path
            if change.old is None:
                path.unlink(missing_ok=True)
            elif not path.exists() or sha256(path) != change.old:
                write_atomic(path, (folder / _KEPT / change.path).read_bytes())
        _remove(folder)
        with contextlib.suppress(OSError):
            # Earlier changes are kept there, or files of others.
            os.rmdir(root / FOLDER)
            os.rmdir((root / FOLDER).parent)
        return [root / change.path for change in changes]


def _changes(folder: Path) -> list[Change]:
    """Those of the list; a last line that is not complete stands for a change that was not made."""
    try:
        lines = (folder / _LIST).read_bytes().split(b"\n")[:-1]
    except FileNotFoundError:
        return []
    try:
        return [Change(**json.loads(line)) for line in lines]
    except (ValueError, TypeError) as error:
        raise InputError("is damaged", path=folder / _LIST) from error


def _first_of_each(changes: list[Change]) -> list[Change]:
    """One change for each file: what it was at first, what it is in the end."""
    merged: dict[str, Change] = {}
    for change in changes:
        first = merged.get(change.path)
        merged[change.path] = change if first is None else Change(change.path, first.old, change.new)
    return list(merged.values())


def _check(root: Path, folder: Path, changes: list[Change]) -> None:
    for change in changes:
        path = root / change.path
        if path.exists() and sha256(path) not in (change.old, change.new):
            kept = folder / _KEPT / change.path
            where = f"; its original is {kept}" if change.old is not None else ""
            raise InputError(f"was changed after cn dataset lint --fix; nothing is undone{where}", path=path)
        if change.old is not None and not (folder / _KEPT / change.path).is_file():
            raise InputError("is missing, so that nothing can be undone", path=folder / _KEPT / change.path)


def _remove(folder: Path) -> None:
    """Remove the folder of a run that was undone: its list first, so that what a kill leaves counts as empty."""
    (folder / _LIST).unlink(missing_ok=True)
    for place, folders, files in os.walk(folder, topdown=False):
        for name in files:
            os.unlink(os.path.join(place, name))
        for name in folders:
            os.rmdir(os.path.join(place, name))
    os.rmdir(folder)
