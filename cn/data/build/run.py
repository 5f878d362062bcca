"""A build as a whole: planned, its shards run by an engine, and finished. `cn dataset build` and `merge` call this."""

import contextlib
import functools
import json
import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from cn import storage
from cn.data.build import changes, finish, plan, recipes
from cn.data.build.locks import locked, remove_unused, this_process
from cn.data.build.places import WORK, Places
from cn.data.build.plan import Plan
from cn.data.build.remove import remove_dataset
from cn.data.build.settings import BuildSettings
from cn.data.build.shard import ShardJob, ShardResult, build_shard
from cn.data.build.status import FAILURES, ImageStatus
from cn.data.sources.sample import Source
from cn.errors import InputError, PartialError, UsageError
from cn.files import make_folder
from cn.parallel import WorkerDiedError, available_cpus, map_unordered

_THREADS = 2
"""Threads of a single process, at least: one reads or writes while the other computes."""
_SHARDS_OF_PROCESS = 4
"""Starting a process takes about as long as so many small shards."""
_PLAN_SECONDS = 600
"""How long a process waits for another one that lists the source."""


@dataclass(frozen=True)
class Shares:
    """`--shard I/N`: which of the shards this process builds."""

    number: int = 0
    count: int = 1

    @classmethod
    def parse(cls, word: str) -> "Shares":
        """From "I/N", I from 0 to N - 1. Raises UsageError."""
        first, sign, second = word.partition("/")
        if not (sign and first.isdigit() and second.isdigit() and int(first) < int(second)):
            raise UsageError(f"--shard is I/N with I from 0 to N - 1, as 0/8 … 7/8, not {word!r}")
        return cls(int(first), int(second))

    def __contains__(self, shard: int) -> bool:
        return shard % self.count == self.number


@dataclass(frozen=True)
class Build:
    """A build that is planned."""

    places: Places
    settings: BuildSettings
    planned: Plan
    job: ShardJob
    shares: Shares = Shares()
    gone: int = 0
    """Images that are planned and not in the source any more."""

    @property
    def shards(self) -> list[int]:
        """The shards of this process."""
        return [shard for shard in range(self.planned.shards) if shard in self.shares]

    def pending(self) -> list[int]:
        """The shards that this process still has to build."""
        done = self.places.map(functools.partial(finish.is_done, self.places), self.shards)
        return [shard for shard, is_done in zip(self.shards, done, strict=True) if not is_done]

    def changed(self) -> list[int]:
        """The shards that have to be built again, because files of the source are newer."""
        found = [shard for shard in self.shards if changes.is_changed(self.places, shard)]
        if found and self.settings.layout == "webdataset":
            # Of an image that is there twice, the second was removed, and the first may be another one now.
            found += [shard for shard in self.shards if changes.has_duplicates(self.places, shard)]
        return sorted(set(found))


def prepare(
    open_source: Callable[[], Source],
    root: str | None,
    out: str,
    settings: BuildSettings,
    shares: Shares = Shares(),
    *,
    overwrite: bool = False,
) -> Build:
    """Plan a build, or take up one that was begun; with one process for all shards, what is new in the source is added.
    With `overwrite`, a dataset in `out` is removed first, once it is known that another one can be built.

    Raises InputError where the folder holds something else or was built with other settings, and what opening the
    source and creating the detectors raise.
    """
    if overwrite and shares.count > 1:
        raise UsageError("--overwrite with --shard would remove what the other parts built; remove OUT first")
    places = Places.of(out, settings)
    replaces = overwrite and storage.is_folder(places.path(WORK))
    is_new = not storage.exists(out)
    if not replaces:
        check_out(places)
    root = None if root is None else _full(root)
    if replaces and root is not None and storage.join(root, "").startswith(storage.join(_full(out), "")):
        raise UsageError("--overwrite might remove SRC, which is in OUT; name another OUT")
    planned, gone = None, 0
    try:
        with locked(places, "plan", wait=_PLAN_SECONDS):
            planned = None if replaces else plan.load(places)
            if planned is None:
                source = open_source()
                # Whatever is wrong with them is said before anything is written.
                made = recipes.create(settings, *_origins(plan.maps_of(source, settings)))
                if replaces:
                    with locked(places, "build", wait=0):
                        remove_dataset(out)
                planned = plan.create(places, settings, source, root, recipes.networks(made))
                _check_settings(places, planned, settings)
            else:
                _check_settings(places, planned, settings)
                made = recipes.create(settings, frozenset(planned.given), planned.measured)
                if recipes.networks(made) != planned.networks:
                    raise InputError(
                        "was built with other weights; name another folder, or --overwrite it", path=places.out
                    )
                if shares.count == 1:
                    planned, gone = plan.extend(places, planned, open_source())
    except BaseException:
        if planned is None and not storage.is_url(out):
            remove_unused(places, folder=is_new)
        raise
    return Build(places, settings, planned, ShardJob(places, settings, made, root), shares, gone)


def _full(path: str) -> str:
    return path if storage.is_url(path) else os.path.abspath(path)


def _origins(found: tuple[tuple[str, ...], bool]) -> tuple[frozenset[str], bool]:
    return frozenset(found[0]), found[1]


def check_out(places: Places) -> None:
    """Raises InputError where `out` is a file, or holds something that is no dataset of a build."""
    out = places.out
    if storage.is_url(out):
        # Within a bucket, what exists is not empty.
        if storage.exists(out) and not storage.is_folder(places.path(WORK)) and storage.files_below(out):
            raise InputError("holds other objects already; name a new or empty folder for the dataset", path=out)
        return
    if os.path.exists(out) and not os.path.isdir(out):
        raise InputError("is a file, but a folder is needed there", path=out)
    if os.path.isdir(out) and not os.path.isdir(os.path.join(out, WORK)) and _visible(out):
        raise InputError("holds other files already; name a new or empty folder for the dataset", path=out)
    make_folder(out)


def _visible(folder: str) -> list[str]:
    return [name for name in os.listdir(folder) if not name.startswith(".")]


def _check_settings(places: Places, planned: Plan, settings: BuildSettings) -> None:
    wanted = settings.record()
    for name in dict.fromkeys((*wanted, *planned.settings)):
        value = wanted.get(name)
        if name == "shard_size" and not value:
            continue
        if planned.settings.get(name) != value:
            label = "--cond" if name == "kinds" else f"--{name.rstrip('_').replace('_', '-')}"
            raise InputError(
                f"was built with other settings ({label}: {_shown(planned.settings.get(name))}, now {_shown(value)}); "
                "name another folder, or --overwrite it",
                path=places.out,
            )


def _shown(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)


@contextlib.contextmanager
def lock(build: Build) -> Iterator[None]:
    """Keeps a second build of the same shards out of the folder. Raises InputError where there is one."""
    shares = build.shares
    with locked(build.places, "build" if shares.count == 1 else f"build-{shares.number}-of-{shares.count}", wait=0):
        yield


def log_run(build: Build, images: int, seconds: float) -> None:
    """Keep how fast this run was, in a file of its own: stats.json has the same bytes however often it took."""
    if not images:
        return
    record = {"images": images, "seconds": round(seconds, 3), "images_per_second": round(images / seconds, 2)}
    name = f"{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}"
    text = json.dumps({**record, **this_process()})
    storage.write(build.places.path(f"{WORK}/runs/{name}.json"), f"{text}\n".encode())


Advance = Callable[[int, int], None]
"""Told how many more images are done, and how many of them could not be used."""

Engine = Callable[[ShardJob, Sequence[int], int | None, Advance], Iterator[ShardResult]]
"""Builds shards, with a number of workers (None: as many as suit the machines), and yields the result of each once it
is done."""


def run_local(job: ShardJob, shards: Sequence[int], workers: int | None, advance: Advance) -> Iterator[ShardResult]:
    """Build shards on this machine: by threads of this process, or by processes where no network needs its memory once.

    A worker that dies loses its shard, which is built once more by itself. Raises PartialError if it dies again.
    """
    workers = workers or default_workers(job)
    few = workers <= _THREADS and len(shards) < workers * _SHARDS_OF_PROCESS
    if uses_threads(job) or few or workers == 1 or len(shards) == 1:
        yield from _by_threads(replace(job, threads=max(_THREADS, workers, job.transfers)), shards, advance)
        return
    lost: list[int] = []
    yield from _by_processes(job, shards, workers, advance, lambda shard, error: lost.append(shard))
    if lost:
        # Alone: there may have been too little memory for all of them at once.
        yield from _by_processes(job, lost, 1, advance, _give_up)


def _give_up(shard: int, error: Exception) -> None:
    raise PartialError(
        f"the process that built shard {shard} died twice ({error}); if memory is short, fewer --workers help. "
        "What is done is kept, and the same command continues"
    )


def _by_processes(
    job: ShardJob, shards: Sequence[int], workers: int, advance: Advance, died: Callable[[int, Exception], None]
) -> Iterator[ShardResult]:
    with contextlib.closing(map_unordered(functools.partial(_in_process, job), shards, workers)) as results:  # type: ignore[type-var]
        for done in results:
            if isinstance(done.error, WorkerDiedError):
                died(done.item, done.error)
            elif done.error is not None:
                raise done.error
            else:
                result = done.value
                assert result is not None
                advance(result.counts.total(), sum(result.counts[status] for status in FAILURES))
                yield result


def uses_threads(job: ShardJob) -> bool:
    """Whether workers must be threads: a network is loaded once, and memory:// is the memory of this process."""
    if any(storage.is_url(path) and path.startswith("memory://") for path in (job.places.out, job.root or "")):
        return True
    return any(recipe.detector is not None and recipe.detector.uses_threads for recipe in job.recipes)


def _by_threads(job: ShardJob, shards: Sequence[int], advance: Advance) -> Iterator[ShardResult]:
    def on_image(status: ImageStatus) -> None:
        advance(1, int(status.status in FAILURES))

    for shard in shards:
        yield build_shard(job, shard, on_image)


def _in_process(job: ShardJob, shard: int) -> ShardResult:
    """`build_shard` in a worker process, where OpenCV's own threads would compete with the other workers."""
    import cv2

    cv2.setNumThreads(1)
    return build_shard(replace(job, threads=max(job.threads, job.transfers)), shard)


def default_workers(job: ShardJob) -> int:
    """How many workers to start where nobody says it."""
    from cn.detect.run.workers import GPU_THREADS, MEMORY, available_memory

    networks = [r.detector.network for r in job.recipes if r.detector is not None and r.detector.network is not None]
    if any(network.device != "cpu" for network in networks):
        return max(1, min(GPU_THREADS, available_cpus()))
    if networks:
        return max(1, min(available_cpus(), available_memory() // MEMORY))
    return available_cpus()
