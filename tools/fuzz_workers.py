"""The fuzzer's processes: each feeds a share of the inputs under bounds, and is replaced when an input ends it."""

import contextlib
import ctypes
import multiprocessing
import os
import random
import re
import resource
import shutil
import signal
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any, NoReturn

from fuzz_readers import Reader
from fuzz_seeds import Seed
from fuzz_structures import mutated

from cn.errors import CnError, ExitCode

_CHUNK = 100
"""Inputs that a process gets at a time."""
_MAX_MESSAGE = 700
_WAIT = 12
"""A process that does not answer for so many times its CPU time is ended: it hangs where no signal reaches it."""


@dataclass(frozen=True)
class Bounds:
    """What one input may take."""

    seconds: float
    memory: int
    """Bytes beyond what the process has before."""


@dataclass
class Tally:
    """The results of some inputs; `slowest` in milliseconds of CPU time, `peak` in megabytes beyond what was there."""

    inputs: int = 0
    accepted: int = 0
    refused: int = 0
    faults: int = 0
    slowest: float = 0.0
    peak: float = 0.0

    def add(self, other: "Tally") -> None:
        self.inputs += other.inputs
        self.accepted += other.accepted
        self.refused += other.refused
        self.faults += other.faults
        self.slowest = max(self.slowest, other.slowest)
        self.peak = max(self.peak, other.peak)


@dataclass(frozen=True)
class Fault:
    """An input that a reader neither read nor refused as it should."""

    reader: str
    number: int
    what: str

    def line(self, seed: int) -> str:
        return f"FAULT {self.reader} --seed {seed} input {self.number}: {self.what}"


@dataclass
class _Task:
    """The inputs `start` … `end` - 1 of a reader."""

    reader: int
    start: int
    end: int


@dataclass
class _Worker:
    process: Any
    pipe: Connection
    current: Any
    """Shared: the number of the input that is being read."""
    task: _Task | None = None
    seen: tuple[int, float] = field(default=(-1, 0.0))
    """That number when it was last looked at, and when it changed."""


class _TooSlow(BaseException):
    """Not an Exception: no reader may take it for damage to a file."""


def write_input(reader: Reader, seed: int, number: int, folder: Path) -> None:
    """Write one input into an empty folder: a seed in which one file is damaged."""
    rng = random.Random(f"{seed}/{reader.name}/{number}")
    seeds = (*reader.seeds, *reader.others)
    # Damage to what is accepted goes deepest.
    files = dict(rng.choice(seeds if rng.random() < 0.2 else reader.seeds))
    names = [name for name in files if not reader.mutable or name.endswith(reader.mutable)]
    name = rng.choice(names)
    others = [other[name] for other in seeds if name in other]
    files[name] = mutated(files[name], rng, others)
    if len(names) > 1 and rng.random() < 0.02:
        del files[name]
    _write(files, folder)


def _write(files: Seed, folder: Path) -> None:
    for path, data in files.items():
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(data)


def refused_seeds(readers: Sequence[Reader], bounds: Bounds) -> Iterator[str]:
    """The seeds that their reader does not accept: with such ones most of it would stay untested."""
    for reader in readers:
        for number, files in enumerate(reader.seeds):
            with tempfile.TemporaryDirectory() as folder:
                _write(files, Path(folder))
                what, detail = verdict(reader, Path(folder), bounds)
            if what != "accepted":
                yield f"{reader.name}, seed {number} ({', '.join(files)}) is {what}: {detail}"


def kept(folder: Path, fault: Fault, readers: Sequence[Reader], seed: int) -> Path:
    """Write the input of a fault into `folder` for `--replay`."""
    target = folder / f"{fault.reader} {seed} {fault.number}"
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(parents=True)
    write_input(next(row for row in readers if row.name == fault.reader), seed, fault.number, target)
    return target


def verdict(reader: Reader, folder: Path, bounds: Bounds) -> tuple[str, str]:
    """ "accepted", "refused" or "fault", and the message or what happened."""
    signal.signal(signal.SIGPROF, _too_slow)
    signal.setitimer(signal.ITIMER_PROF, bounds.seconds)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            reader.read(folder)
        return "accepted", ""
    except CnError as error:
        return _judged(error, folder)
    except _TooSlow:
        return "fault", f"takes more than {bounds.seconds:g} s of CPU time"
    except Exception as error:
        return "fault", _described(error)
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)


def _too_slow(number: int, frame: object) -> NoReturn:
    raise _TooSlow


def _judged(error: CnError, folder: Path) -> tuple[str, str]:
    """A refusal is right if it is one bounded line that a terminal shows, with an exit code for what is wrong."""
    message = str(error).replace(str(folder), "")
    if not message.isprintable() or not message.strip():
        return "fault", f"the message is not one printable line: {message!r:.300}"
    if len(message) > _MAX_MESSAGE:
        return "fault", f"the message has {len(message)} characters: {message:.200}"
    if error.exit_code not in (ExitCode.USAGE, ExitCode.BAD_INPUT, ExitCode.WEIGHTS):
        return "fault", f"{type(error).__name__} has exit code {int(error.exit_code)}: {message:.200}"
    return "refused", message


def _described(error: Exception) -> str:
    """The exception, and the places in cn where it passed."""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if "/cn/" in frame.filename]
    places = " < ".join(f"{Path(frame.filename).name}:{frame.lineno}" for frame in reversed(frames[-3:]))
    return f"{type(error).__name__}: {str(error)!r:.200} at {places or 'the fuzzer'}"


def results(
    readers: Sequence[Reader], inputs: int, seed: int, jobs: int, bounds: Bounds
) -> Iterator[tuple[str, Tally, list[Fault]]]:
    """Feed all inputs, on `jobs` processes; gives results as they come: the reader, the counts, the faults."""
    shares = [inputs // len(readers) + (k < inputs % len(readers)) for k in range(len(readers))]
    tasks = [
        _Task(k, start, min(start + _CHUNK, share))
        for k, share in enumerate(shares)
        for start in range(0, share, _CHUNK)
    ]
    # The chunks of all readers take turns, so that a slow one is not what all processes wait for at the end.
    tasks.sort(key=lambda task: task.start)
    tasks.reverse()
    with tempfile.TemporaryDirectory(dir=_memory_folder()) as folder:
        workers = [_started(readers, seed, bounds, folder) for _ in range(jobs)]
        try:
            while tasks or any(worker.task for worker in workers):
                for worker in workers:
                    if worker.task is None and tasks:
                        worker.task = tasks.pop()
                        worker.pipe.send(worker.task)
                ready = wait([worker.pipe for worker in workers if worker.task], timeout=1)
                for k, worker in enumerate(workers):
                    if worker.task is None:
                        continue
                    task, name = worker.task, readers[worker.task.reader].name
                    ended = None
                    if worker.pipe in ready:
                        with contextlib.suppress(EOFError, ConnectionError):
                            tally, faults = worker.pipe.recv()
                            worker.task = None
                            yield name, tally, faults
                            continue
                        ended = "ended the process"
                    elif _hangs(worker, bounds):
                        ended = "hangs"
                        worker.process.kill()
                    if ended is not None:
                        worker.process.join()
                        status = worker.process.exitcode
                        number = worker.current.value
                        how = f" by signal {-status}" if ended != "hangs" and status < 0 else ""
                        yield name, Tally(1, faults=1), [Fault(name, number, f"{ended}{how}")]
                        # The counts of the inputs before it went with the process: they are fed again.
                        rest = (_Task(task.reader, task.start, number), _Task(task.reader, number + 1, task.end))
                        tasks.extend(part for part in rest if part.start < part.end)
                        workers[k] = _started(readers, seed, bounds, folder)
        finally:
            for worker in workers:
                worker.process.kill()
                worker.process.join()


def _memory_folder() -> str | None:
    """A folder in memory, where there is one: a million files are written."""
    return "/dev/shm" if os.access("/dev/shm", os.W_OK) else None


def _hangs(worker: _Worker, bounds: Bounds) -> bool:
    now, number = time.monotonic(), worker.current.value
    if number != worker.seen[0]:
        worker.seen = number, now
    return now - worker.seen[1] > _WAIT * bounds.seconds


def _started(readers: Sequence[Reader], seed: int, bounds: Bounds, folder: str) -> _Worker:
    # Forked: the readers' libraries and seeds are there already.
    context = multiprocessing.get_context("fork")
    current = context.RawValue(ctypes.c_int64, -1)
    ours, theirs = context.Pipe()
    process = context.Process(target=_work, args=(readers, seed, bounds, folder, theirs, current), daemon=True)
    process.start()
    theirs.close()
    return _Worker(process, ours, current, seen=(-1, time.monotonic()))


def _work(readers: Sequence[Reader], seed: int, bounds: Bounds, folder: str, pipe: Connection, current: Any) -> None:
    """A process: reads inputs until the pipe is closed."""
    # Libraries in C write their own warnings of damaged files.
    sink = os.open(os.devnull, os.O_WRONLY)
    os.dup2(sink, 1)
    os.dup2(sink, 2)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    place = Path(tempfile.mkdtemp(dir=folder))
    limit = _virtual_size() + bounds.memory
    if sys.platform == "linux":
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    with contextlib.suppress(EOFError, ConnectionError):
        while True:
            task = pipe.recv()
            pipe.send(_fed(readers[task.reader], task, seed, bounds, place, current))


def _fed(
    reader: Reader, task: _Task, seed: int, bounds: Bounds, place: Path, current: Any
) -> tuple[Tally, list[Fault]]:
    tally, faults = Tally(), []
    for number in range(task.start, task.end):
        current.value = number
        folder = place / f"{number}"
        folder.mkdir()
        write_input(reader, seed, number, folder)
        before, started = _reset_peak(), time.process_time()
        what, detail = verdict(reader, folder, bounds)
        tally.slowest = max(tally.slowest, 1000 * (time.process_time() - started))
        tally.peak = max(tally.peak, (_peak() - before) / 1e6)
        tally.inputs += 1
        tally.accepted += what == "accepted"
        tally.refused += what == "refused"
        tally.faults += what == "fault"
        if what == "fault":
            faults.append(Fault(reader.name, number, detail))
        shutil.rmtree(folder)
    return tally, faults


def _reset_peak() -> int:
    """Make the peak of the process's memory what it is now, in bytes; 0 where the system does not tell."""
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")
    return _peak()


def _peak() -> int:
    return _status("VmHWM")


def _virtual_size() -> int:
    return _status("VmSize")


def _status(name: str) -> int:
    try:
        found = re.search(rf"{name}:\s*(\d+)", Path("/proc/self/status").read_text())
    except OSError:
        return 0
    return int(found[1]) << 10 if found else 0
