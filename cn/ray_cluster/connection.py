"""The connection to the Ray cluster that is running."""

import contextlib
import io
import os
import signal
import socket
import sys
import threading
from collections.abc import Iterator
from typing import IO, Any

from cn import remote
from cn.errors import UsageError

_NO_CLUSTER = (
    "start one with `ray start --head`, and on each other machine `ray start --address=HOST:6379`; from a machine "
    "outside of it, set RAY_ADDRESS=HOST:6379"
)
_ANSWER_SECONDS = 5.0


def check() -> None:
    """UsageError where Ray is not installed or nothing answers, before a source is listed for minutes."""
    _ray()
    _check_answer(os.environ.get("RAY_ADDRESS") or "auto")


def _ray() -> Any:
    try:
        import ray
    except ImportError:
        raise UsageError('--engine ray needs Ray: pip install "controlnet-cn[ray]"') from None
    return ray


@contextlib.contextmanager
def connected() -> Iterator[Any]:
    """Ray, connected to the cluster that is running, with nothing of it on the terminal. UsageError without one."""
    # Else Ray warns of a change of its own.
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    ray = _ray()
    with contextlib.redirect_stdout(_OwnThread(sys.stdout)):
        if ray.is_initialized():
            # The connection of the program that calls us.
            yield ray
            return
        with contextlib.redirect_stdout(io.StringIO()):
            _init(ray)
        try:
            yield ray
        finally:
            with contextlib.redirect_stdout(io.StringIO()):
                ray.shutdown()


class _OwnThread:
    """Standard output for the thread that makes it. What a thread of Ray writes (a node died) is dropped."""

    def __init__(self, stream: IO[str]):
        self._stream, self._thread = stream, threading.get_ident()

    def write(self, text: str) -> int:
        return self._stream.write(text) if threading.get_ident() == self._thread else len(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def _init(ray: Any) -> None:
    address = os.environ.get("RAY_ADDRESS") or "auto"
    _check_answer(address)
    # Ray replaces the handler of SIGTERM.
    main = threading.current_thread() is threading.main_thread()
    handler = signal.getsignal(signal.SIGTERM)
    try:
        ray.init(address=address, log_to_driver=False, logging_level="CRITICAL")
    except ConnectionError:
        raise UsageError(f"no Ray cluster is running: {_NO_CLUSTER}") from None
    except (RuntimeError, ValueError) as error:
        raise UsageError(f"the Ray cluster cannot be used: {' '.join(str(error).split())}") from error
    finally:
        if main:
            signal.signal(signal.SIGTERM, handler)


def _check_answer(address: str) -> None:
    """UsageError where nothing answers at HOST:PORT: Ray would try for minutes."""
    if address == "auto":
        address = _current_cluster()
    host, sign, port = address.rpartition("://")[2].rpartition(":")
    if not sign or not port.isdigit():
        return
    try:
        socket.create_connection((host.strip("[]"), int(port)), _ANSWER_SECONDS).close()
    except OSError as error:
        reason = remote.why(error)
        raise UsageError(f"no Ray cluster answers at {address} ({reason}): {_NO_CLUSTER}") from None


def _current_cluster() -> str:
    """What `ray start` wrote on this machine, and a cluster that was killed leaves behind; "" without it."""
    try:
        with open(os.path.join(os.environ.get("RAY_TMPDIR", "/tmp"), "ray", "ray_current_cluster")) as file:
            return file.read().strip()
    except OSError:
        return ""
