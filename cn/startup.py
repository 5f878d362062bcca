"""Commands start and end sooner where Python's garbage collector does not look through what stays anyway."""

import atexit
import contextlib
import gc
from collections.abc import Iterator


@contextlib.contextmanager
def without_collection() -> Iterator[None]:
    """Pause the collector of reference cycles: while heavy packages are imported, and networks are made.

    Of the hundreds of thousands of objects that torch makes, none goes away again, and to search them takes a sixth of
    the time of its import.
    """
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def end_without_collection() -> None:
    """At the end of the process its memory goes back at once: with torch, the last search takes a third of a second."""
    atexit.register(gc.freeze)
