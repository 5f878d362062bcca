"""Rounds in which all processes wait for each other and may tell each other something, through torch's store.

A collective of gloo or NCCL cannot wait long for a process that saves or samples and at the same time notice one that
is gone; the store can. A round in which nobody says anything costs each process two or three requests of the store.
"""

import json
import time
from collections.abc import Callable
from typing import Any

_SAID = 1 << 20
"""Added to a round's counter, besides the arrival itself, by a process that says something."""
_PAUSES = (0.0002, 0.02)
"""Seconds between two looks at the counter: at first, and after a while."""
_LOOK_EVERY = 1.0
"""Seconds of waiting between two looks at whether all the others live."""


class Exchange:
    """The rounds of one process; all processes take part in the same rounds. `check` raises where one is lost."""

    def __init__(self, store: Any, rank: int, size: int, check: Callable[[], None]):
        self.store, self.rank, self.size, self.check = store, rank, size, check
        self.round = 0

    def __call__(self, value: Any = None) -> list[Any]:
        """What each process said, by rank; None for those that said nothing."""
        key, before = f"round/{self.round}", f"round/{self.round - 1}"
        self.round += 1
        if value is not None:
            self.store.set(f"{key}/{self.rank}", json.dumps(value))
        counter = self._arrive(key, 1 if value is None else 1 + _SAID)
        # Whoever has come here has read all of the round before.
        if self.rank == 0:
            self.store.delete_key(before)
        self.store.delete_key(f"{before}/{self.rank}")
        if counter < _SAID:
            return [None] * self.size
        return [self._said(f"{key}/{rank}") for rank in range(self.size)]

    def _arrive(self, key: str, amount: int) -> int:
        """Count this process in, and return the counter once all are there."""
        counter = self.store.add(key, amount)
        started = looked = time.monotonic()
        while counter % _SAID < self.size:
            now = time.monotonic()
            if now - looked > _LOOK_EVERY:
                self.check()
                looked = now
            time.sleep(min(max((now - started) / 10, _PAUSES[0]), _PAUSES[1]))
            counter = self.store.add(key, 0)
        return counter

    def _said(self, key: str) -> Any:
        return json.loads(self.store.get(key)) if self.store.check([key]) else None
