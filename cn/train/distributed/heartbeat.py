"""Which of the processes still live: each says so every few seconds, in the store that all are connected to.

A process that computes, saves or waits for data is silent in the network for minutes, and NCCL cannot tell it from one
whose machine has gone. So a thread of each process counts up its own key, and watches those of the others.
"""

import contextlib
import json
import os
import threading
import time
from collections.abc import Callable
from typing import Any

from cn.errors import ExitCode, PartialError

INTERVAL = 2.0
"""Seconds between two signs of life."""
PATIENCE = 20.0
"""A process without a sign of life for so many seconds is lost."""
GRACE = 30.0
"""So many seconds later a process ends that still waits for the lost one, in a collective that nothing can interrupt;
in the meantime rank 0 may finish a state that it is writing. Together: all end within a minute."""


class LostProcessError(PartialError):
    """Process `rank` was killed, or its machine has gone, so that the others cannot go on."""

    def __init__(self, rank: int, reason: str):
        super().__init__(f"rank {rank} {reason}")
        self.rank, self.reason = rank, reason

    def advise(self, advice: str) -> None:
        """Add to the message what is left, and what to do."""
        self.what = f"{self.what}; {advice}"


def leave(store: Any, rank: int, lost: LostProcessError) -> None:
    """Say that process `rank` has ended before the others, and which one was the first that was lost."""
    store.set(f"left/{rank}", json.dumps([lost.rank, lost.reason]))


class Watch:
    """Follows the signs of life of the other processes in a store of torch, by any clock."""

    def __init__(self, store: Any, rank: int, size: int):
        self.store, self.rank = store, rank
        self.others = [r for r in range(size) if r != rank]
        self.lost: LostProcessError | None = None
        self._seen: dict[int, tuple[int, float]] = {}

    def beat(self) -> None:
        """Give a sign of life."""
        self.store.add(f"alive/{self.rank}", 1)

    def look(self, now: float) -> LostProcessError | None:
        """The first process that left, or gave no sign of life for PATIENCE seconds. `now` is in seconds.

        A store that does not answer has gone with the process or the launcher that held it.
        """
        if self.lost is None:
            try:
                self.lost = self._look(now)
            except RuntimeError:
                self.lost = LostProcessError(0, "or its launcher does not answer")
        return self.lost

    def _look(self, now: float) -> LostProcessError | None:
        for rank in self.others:
            if self.store.check([f"left/{rank}"]):
                return LostProcessError(*json.loads(self.store.get(f"left/{rank}")))
            count = self.store.add(f"alive/{rank}", 0)
            before, since = self._seen.get(rank, (-1, now))
            if count != before:
                self._seen[rank] = count, now
            elif now - since > PATIENCE:
                return LostProcessError(rank, f"has given no sign of life for {PATIENCE:.0f} seconds")
        return None


class Heartbeat:
    """The thread of a `Watch`. It ends this process, after `on_end`, where a lost one keeps it waiting."""

    def __init__(self, watch: Watch):
        self.watch = watch
        self.on_end: Callable[[LostProcessError], None] = lambda lost: None
        self._stop, self._lock = threading.Event(), threading.Lock()
        self.watch.beat()
        self._thread = threading.Thread(target=self._run, name="heartbeat", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        self._thread.join()

    def lost(self) -> LostProcessError | None:
        """The process that is lost, if there is one."""
        with self._lock:
            return self.watch.look(time.monotonic())

    def _run(self) -> None:
        since: float | None = None
        while not self._stop.wait(INTERVAL):
            lost = self.lost()
            if lost is None:
                with contextlib.suppress(RuntimeError):
                    # The next look finds out what it means.
                    self.watch.beat()
                continue
            since = since or time.monotonic()
            if time.monotonic() - since > GRACE:
                self.on_end(lost)
                os._exit(ExitCode.PARTIAL)
