"""Options of a run's data that belong to each other."""

from collections.abc import Sequence
from typing import TypeVar

from cn.errors import UsageError
from cn.train.options.data import DataOptions

T = TypeVar("T")
MAX_REPEATS = 1000


def check_data(options: DataOptions) -> None:
    """UsageError for options of the data that do not fit each other."""
    if options.buckets and not options.data:
        raise UsageError("--buckets needs --data: the built-in scenes are square")
    if options.repeats and not options.data:
        raise UsageError("--repeats needs --data: the built-in scenes have no repeats")
    if len(options.repeats) not in (0, 1, len(options.data)):
        raise UsageError(
            f"--repeats is given {len(options.repeats)} times for {len(options.data)} --data: "
            "give it once, or once for each"
        )
    for times in options.repeats:
        if isinstance(times, bool) or not isinstance(times, int) or not 1 <= times <= MAX_REPEATS:
            raise UsageError(f"--repeats must be between 1 and {MAX_REPEATS}, not {times!r}")


def one_each(values: Sequence[T], count: int) -> list[T | None]:
    """One value for each of `count` things, from none (then None), one or as many."""
    found: list[T | None] = list(values)
    return found * count if len(found) == 1 else found or [None] * count
