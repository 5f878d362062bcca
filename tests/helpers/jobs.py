"""Work for worker processes in tests: in a file of its own, so that they start without torch."""

import os
import time

from cn.errors import InputError


def slow_square(delay: float, n: int) -> int:
    """n², the later the smaller n is among four; 6 cannot be done."""
    time.sleep(delay * (3 - n % 4))
    if n == 6:
        raise InputError("six")
    return n * n


def die(n: int) -> int:
    """n, but 2 takes its process along."""
    if n == 2:
        os._exit(9)
    return n
