"""Work for worker processes in tests: in a file of its own, so that they start without torch."""

import os
import time
from pathlib import Path

from cn.errors import InputError

_SAFETY_NET = 60.0
"""Seconds that a job waits for another one at most."""


def square_out_of_order(folder: Path | None, n: int) -> int:
    """n²; 6 raises an error. With a `folder`, item 0 finishes only after item 2 has, which another process works on."""
    if folder is not None:
        deadline = time.monotonic() + _SAFETY_NET
        while n == 0 and not (folder / "2").exists():
            assert time.monotonic() < deadline, "item 2 was never worked on"
            time.sleep(0.01)
        (folder / str(n)).touch()
    if n == 6:
        raise InputError("six")
    return n * n


def die(n: int) -> int:
    """n, but 2 kills its process."""
    if n == 2:
        os._exit(9)
    return n
