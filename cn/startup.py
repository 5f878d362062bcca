"""How a command starts and ends: before torch is imported, and after everything is done."""

import atexit
import contextlib
import gc
import os
import platform
import sys
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


def let_gpu_memory_grow() -> None:
    """Let torch's memory on NVIDIA GPUs grow in place, where nothing else is asked for; before torch is imported.

    Fragments took a tenth to a fifth of the memory of training otherwise. Drivers for WSL before release 615 cannot do
    it on some GPUs (pytorch #192330).
    """
    if sys.platform == "linux" and "microsoft" not in platform.release().lower():
        if "PYTORCH_ALLOC_CONF" not in os.environ:
            os.environ.setdefault("PYTORCH_CUDA_ALLOC_CONF", "expandable_segments:True")
