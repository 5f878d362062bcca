"""Work for worker processes in tests: in a file of its own, so that they start without torch."""

import os
from pathlib import Path

from cn.errors import InputError
from tests.helpers.waiting import wait_until


def square_out_of_order(folder: Path | None, n: int) -> int:
    """n²; 6 raises an error. With a `folder`, item 0 finishes only after item 2 has, which another process works on."""
    if folder is not None:
        wait_until(lambda: n > 0 or (folder / "2").exists())
        (folder / str(n)).touch()
    if n == 6:
        raise InputError("six")
    return n * n


def die(n: int) -> int:
    """n, but 2 kills its process."""
    if n == 2:
        os._exit(9)
    return n
