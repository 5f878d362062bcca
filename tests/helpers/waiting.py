"""Waiting for what another process does, however slow the machine is."""

import time
from collections.abc import Callable


def wait_until(condition: Callable[[], object]) -> None:
    """Return as soon as `condition()` is true; pytest's time limit for a test ends a wait that is in vain."""
    while not condition():
        time.sleep(0.005)
