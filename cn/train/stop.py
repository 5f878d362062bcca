"""What stops a run early: signals and `--max-hours`. The current step is finished and saved before the run ends."""

import contextlib
import signal
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import FrameType

from cn.errors import ExitCode, StoppedError
from cn.train.world import ALONE, World

EXIT_CODES = {
    signal.SIGINT: ExitCode.INTERRUPTED,
    signal.SIGTERM: ExitCode.TERMINATED,
    signal.SIGHUP: ExitCode.TERMINATED,
    signal.SIGUSR1: ExitCode.OK,
}
"""The signals that stop a run, and the exit code after each. SIGHUP: the terminal was closed. SIGUSR1: Slurm sends it
before a job's time is up (`--signal=USR1@300`), and a job that is continued by the next one has not failed."""


@dataclass(frozen=True)
class TimeLimit:
    """`hours` from the time `start` of the clock on; 0: no limit."""

    hours: float
    start: float
    clock: Callable[[], float] = time.monotonic

    @property
    def is_over(self) -> bool:
        return self.hours > 0 and self.clock() - self.start >= 3600 * self.hours


class StopRequest:
    """Whether a stop was requested, by a signal or by the time limit. A second Ctrl-C stops at once.

    Other signals may come twice: Slurm sends SIGTERM after SIGUSR1, and launchers pass on what the whole group got.
    """

    def __init__(self, limit: TimeLimit | None = None) -> None:
        self.signal: int | None = None
        self.limit = limit
        self.agreed = False
        """Whether all processes that train together know of it."""

    def __bool__(self) -> bool:
        return self.agreed or self.signal is not None or (self.limit is not None and self.limit.is_over)

    def agree(self, world: World = ALONE) -> bool:
        """Whether a stop was requested in any process; all of them call this after the same step.

        The clock and the signals are read, and nothing on the device.
        """
        self.agreed = self.agreed or world.any(bool(self))
        return self.agreed

    def receive(self, number: int, frame: FrameType | None = None) -> None:
        """As a signal handler."""
        if number == signal.SIGINT == self.signal:
            raise KeyboardInterrupt
        self.signal = self.signal or number

    def exit_code(self, world: World = ALONE) -> ExitCode:
        """That of the run, the same in all processes: 0 after SIGUSR1 and the time limit, else 130 or 143."""
        mine = ExitCode.OK if self.signal is None else EXIT_CODES[signal.Signals(self.signal)]
        for code in (ExitCode.INTERRUPTED, ExitCode.TERMINATED):
            if world.any(mine == code):
                return code
        return ExitCode.OK


class WarnedError(KeyboardInterrupt):
    """SIGUSR1 before anything is there that could be saved."""


@contextlib.contextmanager
def warned_early() -> Iterator[None]:
    """While a run is set up, SIGUSR1 ends it with a StoppedError, as Ctrl-C does; its exit code is 0."""

    def stop(number: int, frame: FrameType | None) -> None:
        raise WarnedError

    try:
        with _handled({signal.SIGUSR1: stop}):
            yield
    except WarnedError:
        error = StoppedError("stopped by SIGUSR1 before the first step: nothing was written")
        error.exit_code = ExitCode.OK
        raise error from None


@contextlib.contextmanager
def stop_requests(limit: TimeLimit | None = None) -> Iterator[StopRequest]:
    """Within the block, these signals are recorded instead of ending the process (in the main thread only)."""
    request = StopRequest(limit)
    # Under nohup SIGHUP is ignored, and stays so.
    wanted = [number for number in EXIT_CODES if signal.getsignal(number) != signal.SIG_IGN or number != signal.SIGHUP]
    with _handled(dict.fromkeys(wanted, request.receive)):
        yield request


Handler = Callable[[int, FrameType | None], None]


@contextlib.contextmanager
def _handled(handlers: dict[signal.Signals, Handler]) -> Iterator[None]:
    """Signal handlers for the length of a block; none outside the main thread, where Python allows none."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    previous = {number: signal.signal(number, handler) for number, handler in handlers.items()}
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
