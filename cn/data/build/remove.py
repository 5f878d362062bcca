"""Removing a dataset that a build made, and nothing else."""

import os
import re
import shutil

from cn import storage
from cn.conditions import KINDS
from cn.data.build.places import DESCRIPTION, STATISTICS, WORK
from cn.data.records import RECORDS

_TAR = re.compile(r"\d{5,}\.tar")


def remove_dataset(out: str) -> None:
    """Remove what a build wrote into a folder, so that it can start again; other files stay."""
    if storage.is_url(out):
        _remove_objects(out)
        return
    # The plan first: without it, what is left is no dataset that could be continued.
    for name in (f"{WORK}/plan.json", DESCRIPTION, STATISTICS, RECORDS):
        storage.remove(os.path.join(out, name))
    for name in ("target", "source", *KINDS):
        shutil.rmtree(os.path.join(out, name), ignore_errors=True)
    for name in os.listdir(out):
        if _TAR.fullmatch(name):
            os.unlink(os.path.join(out, name))
    for name in ("plan", "status"):
        shutil.rmtree(os.path.join(out, WORK, name), ignore_errors=True)


def _remove_objects(out: str) -> None:
    """The same in object storage."""
    names = storage.files_below(out)
    first = (f"{WORK}/plan.json", DESCRIPTION, STATISTICS, RECORDS)
    storage.remove_objects([storage.join(out, name) for name in names if name in first])
    folders = tuple(f"{name}/" for name in ("target", "source", *KINDS, f"{WORK}/plan", f"{WORK}/status"))
    storage.remove_objects(
        [storage.join(out, name) for name in names if name.startswith(folders) or _TAR.fullmatch(name)]
    )
