"""All stages on all GPUs of a machine: scenes are rendered while the base is trained on them by all GPUs together; then
each GPU trains ControlNets and judges of its own."""

import argparse
import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from cn.errors import CnError, ExitCode, ReportedError
from cn.parallel import available_cpus
from cn.pretrain.control import STARTS
from cn.pretrain.evaluation.report import is_complete
from cn.train.distributed.launch import launch

PROGRAM = (sys.executable, "-m", "cn.pretrain")
BASE = ("autoencoder", "denoiser")
"""Stages that all GPUs train together."""
LAST = ("evaluate", "install")
"""Stages that need all others."""
CORES = 3
"""Cores that a process which trains keeps busy: the others render."""
POLL_SECONDS = 0.5


def name_of(word: str) -> str:
    """The stage of a word STAGE[=MINUTES]."""
    return word.partition("=")[0]


def lanes_of(words: Sequence[str], count: int) -> list[list[str]]:
    """Stages with their minutes, shared out among `count` GPUs: the longest first, each to the GPU that is free first.

    A ControlNet that starts from another one comes after it, on the same GPU.
    """
    groups = dict[str, list[str]]()
    for word in sorted(words, key=lambda word: name_of(word).removeprefix("control-") in STARTS):
        kind = name_of(word).removeprefix("control-")
        first = f"control-{STARTS.get(kind, kind)}"
        groups.setdefault(first if first in groups else name_of(word), []).append(word)
    lanes: list[list[str]] = [[] for _ in range(count)]
    busy = [0.0] * count
    for group in sorted(groups.values(), key=_minutes, reverse=True):
        lane = busy.index(min(busy))
        lanes[lane] += group
        busy[lane] += _minutes(group)
    return [lane for lane in lanes if lane]


def _minutes(words: Sequence[str]) -> float:
    return sum(float(word.partition("=")[2] or 1) for word in words)


@dataclass(frozen=True)
class Machine:
    """Runs the stages of `args` on `args.gpus` GPUs, or in as many processes on the CPU."""

    args: argparse.Namespace
    started: float

    def run(self) -> None:
        """All stages, in their order. Raises CnError where one of them failed, or was stopped before its end."""
        words: list[str] = self.args.stages
        base = [word for word in words if name_of(word) in BASE]
        begun = [word for word in base if not is_complete(self.args.work, name_of(word))]
        own = [word for word in words if name_of(word) not in (*BASE, *LAST, "render")]
        with self._rendered("render" in words) as wait:
            for word in begun:
                launch([word, *self._options()], self.args.gpus, PROGRAM)
                self._check([word])
            if not begun:
                wait()
        self._side_by_side(lanes_of(own, self.args.gpus))
        self._check(own)
        for word in words:
            if name_of(word) in LAST:
                _succeed(subprocess.run([*PROGRAM, word, *self._options()], env=self._environment(0)).returncode, word)

    def _options(self) -> list[str]:
        """The options of `python -m cn.pretrain` for a single stage that starts now."""
        args = self.args
        left = args.session_minutes - (time.monotonic() - self.started) / 60
        values = vars(args) | {"session_minutes": max(0.0, left)}
        skipped = ("stages", "gpus", "workers")
        return [
            word
            for name, value in values.items()
            if name not in skipped and value is not None
            for word in (f"--{name.replace('_', '-')}", str(value))
        ]

    def _environment(self, gpu: int) -> dict[str, str]:
        """That of a process which has one of the GPUs that this one sees."""
        seen = [name for name in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if name]
        chosen = seen[gpu] if gpu < len(seen) else str(gpu)
        threads = str(max(1, available_cpus() // self.args.gpus))
        return {"OMP_NUM_THREADS": threads, **os.environ, "CUDA_VISIBLE_DEVICES": chosen}

    @contextlib.contextmanager
    def _rendered(self, wanted: bool) -> Iterator[Callable[[], None]]:
        """Within the block scenes are rendered; it gives what waits until all are. Raises CnError where that fails."""
        if not wanted:
            yield lambda: None
            return
        workers = self.args.workers or max(1, available_cpus() - CORES * self.args.gpus)
        words = ["render", *self._options(), "--device", "cpu", "--workers", str(workers)]
        process = subprocess.Popen([*PROGRAM, *words], start_new_session=True)
        over = threading.Event()

        def watch() -> None:
            while not over.wait(POLL_SECONDS):
                if process.poll():
                    # Training waits for scenes: it ends by this signal, which goes to all its processes.
                    os.kill(os.getpid(), signal.SIGTERM)
                    return

        watcher = threading.Thread(target=watch, daemon=True)
        watcher.start()
        try:
            yield lambda: _succeed(process.wait(), "render")
        except BaseException:
            _succeed(process.poll() or 0, "render")
            raise
        finally:
            over.set()
            watcher.join()
            if process.poll() is None:
                # Its workers too: what they have begun is rendered anew by the next session.
                os.killpg(process.pid, signal.SIGTERM)
                process.wait()

    def _side_by_side(self, lanes: Sequence[Sequence[str]]) -> None:
        """Each of the lanes on a GPU of its own, until all are at their end."""
        processes = [
            subprocess.Popen([*PROGRAM, *lane, *self._options()], env=self._environment(gpu), start_new_session=True)
            for gpu, lane in enumerate(lanes)
        ]
        try:
            for process in processes:
                process.wait()
        except BaseException:
            for process in processes:
                process.terminate()
            for process in processes:
                process.wait()
            raise
        for process, lane in zip(processes, lanes, strict=True):
            _succeed(process.returncode, ", ".join(map(name_of, lane)))

    def _check(self, words: Sequence[str]) -> None:
        """CnError for stages that are not complete."""
        missing = [name for name in map(name_of, words) if not is_complete(self.args.work, name)]
        if missing:
            error = CnError(f"not complete: {', '.join(missing)}; the same command goes on")
            error.exit_code = ExitCode.PARTIAL
            raise error


def _succeed(code: int, what: str) -> None:
    """CnError for a process that failed; it has said itself why."""
    if code:
        raise CnError(f"{what} ended with exit code {code}")


def run_on_machine(args: argparse.Namespace) -> int:
    """All stages; the exit code of the command, which says on stderr what kept it from its end."""
    started = time.monotonic()

    def stop(number: int, frame: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, stop)
    try:
        Machine(args, started).run()
    except ReportedError as error:
        return int(error.exit_code)
    except CnError as error:
        print(f"error: {error}", file=sys.stderr)
        return int(error.exit_code)
    except KeyboardInterrupt:
        print("stopped: the same command goes on", file=sys.stderr)
        return int(ExitCode.TERMINATED)
    finally:
        signal.signal(signal.SIGTERM, before)
    return 0
