"""One input of the fuzzer: made from the seed and its number, read under bounds, and judged."""

import random
import shutil
import signal
import tempfile
import traceback
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from fuzz_readers import Reader, is_one_line
from fuzz_seeds import Seed
from fuzz_structures import mutated

from cn.errors import CnError, ExitCode


@dataclass(frozen=True)
class Bounds:
    """What one input may take."""

    seconds: float
    memory: int
    """Bytes beyond what the process has before."""


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


def kept(folder: Path, reader: Reader, seed: int, number: int) -> Path:
    """Write an input into `folder` for `--replay`."""
    target = folder / f"{reader.name} {seed} {number}"
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(parents=True)
    write_input(reader, seed, number, target)
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
    if not is_one_line(message):
        return "fault", f"the message ({len(message)} characters) is not one printable line: {message!r:.300}"
    if error.exit_code not in (ExitCode.USAGE, ExitCode.BAD_INPUT, ExitCode.WEIGHTS):
        return "fault", f"{type(error).__name__} has exit code {int(error.exit_code)}: {message:.200}"
    return "refused", message


def _described(error: Exception) -> str:
    """The exception, and the places in cn where it passed."""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if "/cn/" in frame.filename]
    places = " < ".join(f"{Path(frame.filename).name}:{frame.lineno}" for frame in reversed(frames[-3:]))
    return f"{type(error).__name__}: {str(error)!r:.200} at {places or 'the fuzzer'}"
