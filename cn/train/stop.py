"""Ctrl-C and SIGTERM during training: the current step is finished and saved before the run ends."""

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType

from cn.errors import ExitCode, StoppedError


class StopRequest:
    """Whether a stop was requested, and by which signal. A second request stops at once (KeyboardInterrupt)."""

    def __init__(self) -> None:
        self.signal: int | None = None

    def __bool__(self) -> bool:
        return self.signal is not None

    def receive(self, number: int, frame: FrameType | None = None) -> None:
        """As a signal handler."""
        if self.signal is not None:
            raise KeyboardInterrupt
        self.signal = number

    def error(self, message: str) -> StoppedError:
        """The error to end with: exit code 143 after SIGTERM, 130 after Ctrl-C."""
        error = StoppedError(message)
        if self.signal == signal.SIGTERM:
            error.exit_code = ExitCode.TERMINATED
        return error


@contextlib.contextmanager
def stop_requests() -> Iterator[StopRequest]:
    """Within the block, SIGINT and SIGTERM are recorded instead of ending the process (in the main thread only)."""
    request = StopRequest()
    if threading.current_thread() is not threading.main_thread():
        yield request
        return
    previous = {number: signal.signal(number, request.receive) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield request
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
