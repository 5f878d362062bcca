"""Places for runs: each is a process that stays, on one of the GPUs."""

import multiprocessing
import os
from collections.abc import Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass, field

from tools.paper.spec import Run
from tools.paper.work import in_process
from tools.paper.workplace import Workplace

VISIBLE = "CUDA_VISIBLE_DEVICES"


@dataclass
class Slot:
    """One run at a time. torch and the networks are loaded by the first; where a process dies, no other run ends."""

    gpu: str | None
    """What `CUDA_VISIBLE_DEVICES` is to say; None leaves the choice of the device to cn."""
    threads: int
    fresh: bool = False
    """A new process for each run, because memory is measured."""
    _pool: ProcessPoolExecutor | None = field(default=None, init=False)

    def start(self, run: Run, place: Workplace) -> Future[str]:
        """Begin a run; the result is that of `work.in_process`."""
        if self.fresh:
            self.close()
        if self._pool is None:
            context = multiprocessing.get_context("spawn")
            self._pool = ProcessPoolExecutor(1, context, _begin, initargs=(self.gpu, self.threads))
        return self._pool.submit(in_process, run, place)

    def close(self) -> None:
        """End the process after its run; the next run begins another one."""
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)
        self._pool = None


def make_slots(jobs: int, gpus: Sequence[str], *, fresh: bool = False) -> list[Slot]:
    """So many places, spread evenly over the GPUs."""
    threads = max(1, (os.cpu_count() or 1) // max(1, jobs))
    return [Slot(gpus[k % len(gpus)] if gpus else None, threads, fresh) for k in range(jobs)]


def visible_gpus(device: str) -> list[str]:
    """What `CUDA_VISIBLE_DEVICES` calls each GPU, for several of which runs may be spread over; else nothing.

    A device with a number (`cuda:1`) is that one alone.
    """
    import torch

    if device not in ("auto", "cuda") or not torch.cuda.is_available():
        return []
    named = [name.strip() for name in os.environ.get(VISIBLE, "").split(",") if name.strip()]
    found = named or [str(k) for k in range(torch.cuda.device_count())]
    return found if len(found) > 1 else []


def _begin(gpu: str | None, threads: int) -> None:
    """In a new process, before it uses a GPU. Threads of several processes would wait for each other."""
    if gpu is not None:
        os.environ[VISIBLE] = gpu
    import torch

    torch.set_num_threads(threads)
