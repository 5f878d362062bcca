"""`cn train --nproc N`: the same command in N processes of this machine, as torchrun would start them.

Own code, because torch's launcher ends all processes 30 seconds after the first one, whatever they are writing, and
with exit code 1, whatever theirs was.
"""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from types import FrameType
from typing import Any

from cn.errors import ExitCode, ReportedError, UsageError
from cn.parallel import available_cpus

PROGRAM = (sys.executable, "-m", "cn")
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1)
"""What is passed on to all processes, which save and stop."""
END_SECONDS = 55
"""So long may the others take to end, once one has failed."""
_POLL_SECONDS = 0.1
_PER_CPU = 4
"""Processes on a CPU core: more take all memory, a gigabyte each, before the first step."""


def process_count(wanted: str, device: str) -> int:
    """`--nproc`: a number, or "auto" or "gpu" for all GPUs. UsageError for anything else, and for too many."""
    gpus = _gpus() if device != "cpu" else 0
    if wanted in ("auto", "gpu"):
        if not gpus:
            raise UsageError(f"--nproc {wanted}: this machine has no GPU; give a number and --device cpu")
        return gpus
    if not wanted.isdecimal() or not 1 <= int(wanted) <= 1024:
        raise UsageError(f"--nproc must be auto, gpu or a number of processes, not {wanted!r}")
    if int(wanted) > gpus > 0:
        raise UsageError(f"--nproc {wanted}: this machine has {gpus} GPU(s), and each process needs one of its own")
    if not gpus and int(wanted) > (most := _PER_CPU * available_cpus()):
        raise UsageError(f"--nproc {wanted}: this machine has no GPU, and CPU cores for {most} processes at most")
    return int(wanted)


def without_option(words: Sequence[str], option: str) -> list[str]:
    """A command line without an option and its value."""
    left = list[str]()
    skip = False
    for word in words:
        if skip:
            skip = False
        elif word == option:
            skip = True
        elif not word.startswith(f"{option}="):
            left.append(word)
    return left


def launch(words: Sequence[str], count: int, program: Sequence[str] | None = None) -> None:
    """Run `program` (`cn`, if not given) with these words in `count` processes, and wait for all of them.

    SIGINT, SIGTERM, SIGHUP and SIGUSR1 are passed on. Raises ReportedError with the exit code of the processes: they
    say themselves what is wrong, except those that were killed, of which the others say it.
    """
    from torch.distributed import TCPStore

    store = TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
    common = {**os.environ, "WORLD_SIZE": str(count), "LOCAL_WORLD_SIZE": str(count), "MASTER_ADDR": "127.0.0.1"}
    common |= {"MASTER_PORT": str(store.port), "TORCHELASTIC_USE_AGENT_STORE": "True"}
    common.setdefault("OMP_NUM_THREADS", str(max(1, available_cpus() // count)))
    processes = list[subprocess.Popen[bytes]]()
    with _passed_on(processes):
        for rank in range(count):
            environment = {**common, "RANK": str(rank), "LOCAL_RANK": str(rank)}
            # In a session of its own, because Ctrl-C would reach it twice otherwise: from the terminal and from here.
            processes.append(subprocess.Popen([*(program or PROGRAM), *words], env=environment, start_new_session=True))
        codes = _wait(processes, store)
    if failed := [code for code in codes if code]:
        # Positive: what the process itself ended with.
        raise ReportedError(next((code for code in failed if code > 0), ExitCode.PARTIAL))


def _wait(processes: Sequence["subprocess.Popen[bytes]"], store: Any) -> list[int]:
    """Wait for all, and tell the others of one that was killed. Those that do not end then are killed too."""
    from torch.distributed import PrefixStore

    from cn.train.distributed.group import SIGNS
    from cn.train.distributed.heartbeat import LostProcessError, leave

    signs = PrefixStore(SIGNS, PrefixStore("attempt 0", store))
    until: float | None = None
    told = set[int]()
    while None in [process.poll() for process in processes]:
        for rank, process in enumerate(processes):
            if process.returncode is None or process.returncode == 0 or rank in told:
                continue
            told.add(rank)
            until = until or time.monotonic() + END_SECONDS
            if process.returncode < 0:
                leave(signs, rank, LostProcessError(rank, f"was killed by {signal.Signals(-process.returncode).name}"))
        if until is not None and time.monotonic() > until:
            for process in processes:
                process.kill()
        time.sleep(_POLL_SECONDS)
    return [process.returncode for process in processes]


@contextlib.contextmanager
def _passed_on(processes: Sequence["subprocess.Popen[bytes]"]) -> Iterator[None]:
    """Within the block, signals that stop a run go to its processes."""

    def pass_on(number: int, frame: FrameType | None) -> None:
        for process in processes:
            process.send_signal(number)

    previous = {number: signal.signal(number, pass_on) for number in _SIGNALS}
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def _gpus() -> int:
    import torch

    return torch.cuda.device_count()
