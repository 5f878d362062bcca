"""Paths that are valid in any folder, and datasets that have moved or changed since a run was saved."""

import os
from collections.abc import Mapping, Sequence
from typing import Any

from cn.errors import UsageError
from cn.storage import from_user, is_url

PATHS = ("data", "eval_data", "preview_cond")
"""Options that are paths of files or folders, one or several."""


def with_absolute_paths(given: Mapping[str, Any]) -> dict[str, Any]:
    """The same options with paths that a run can be resumed with from another folder; URLs stay what they are."""
    return {name: _absolute(value) if name in PATHS else value for name, value in given.items()}


def _absolute(value: str | Sequence[str]) -> str | tuple[str, ...]:
    if not isinstance(value, str):
        return tuple(os.fspath(_absolute(each)) for each in value)  # type: ignore[arg-type]
    path = from_user(value)
    return path if is_url(path) or path in ("", "-") else os.path.abspath(path)


def check_moved(before: Sequence[int] | None, now: Sequence[int], data: Sequence[str], *, given: bool) -> str | None:
    """What a resumed run says of datasets that had `before` pairs each (if that is known) and have `now`; None where
    that is the same.

    `given`: their paths are new, and name another place of the same datasets. Raises UsageError where they do not.
    """
    if before is None or list(before) == list(now):
        return None
    if given:
        raise UsageError(
            f"--data with --resume names another place of the same datasets, but these have {_counts(now)} pairs, and "
            f"those of the run had {_counts(before)}; start a new run with --init-from instead"
        )
    changes = [f"{path}: {a:,} → {b:,} pairs" for path, a, b in zip(data, before, now, strict=True) if a != b]
    return f"the data is not what it was ({'; '.join(changes)}): from here on the order of the images is another one"


def _counts(counts: Sequence[int]) -> str:
    return " + ".join(f"{count:,}" for count in counts)
