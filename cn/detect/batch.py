"""Many images to many maps: streamed, in several processes, resumable, with a status for every file."""

import functools
import os
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from cn import images
from cn.conditions import ConditionInfo
from cn.detect.protocol import Detector
from cn.detect.sources import Job
from cn.errors import InputError
from cn.files import make_folder
from cn.parallel import map_unordered, processors

Status = Literal["written", "skipped", "failed"]

_WORTH_A_PROCESS = 24
"""Starting a process costs about as much as this many images do."""


@dataclass(frozen=True)
class Outcome:
    """What became of one image."""

    path: str
    output: str
    status: Status
    seconds: float = 0.0
    size: tuple[int, int] | None = None
    """Width and height of the map, where one was made."""
    note: str | None = None
    """Why it failed, or what is odd about the file that made it be skipped."""
    error: Exception | None = None

    def record(self) -> dict[str, Any]:
        """For `--json`."""
        record = {"path": self.path, "output": self.output, "status": self.status, "seconds": round(self.seconds, 4)}
        return record | {"size": self.size} | ({"reason": self.note} if self.note else {})


def run(
    detector: Detector,
    jobs: Iterable[Job],
    *,
    workers: int = 1,
    overwrite: bool = False,
    resolution: int | None = None,
) -> Generator[Outcome, None, None]:
    """Do the jobs and yield what became of each, as soon as it is known; memory does not grow with their number.

    A whole file that is already there is skipped unless `overwrite`. `resolution` brings each image to that short side
    first (`images.resize_short_side`). With one worker everything happens in this process. Failures are yielded, never
    raised; an interrupt leaves whole files only.
    """
    work = functools.partial(process, detector, overwrite=overwrite, resolution=resolution)
    batches = _batches(iter(jobs), detector.batch_size)
    if workers == 1:
        for batch in batches:
            yield from work(batch)
        return
    for done in map_unordered(functools.partial(_process_alone, work), batches, workers):
        if done.value is not None:
            yield from done.value
        else:
            assert done.error is not None
            yield from (_failure(job, done.error) for job in done.item)


def automatic_workers(count: int) -> int:
    """How many processes are worth starting for `count` images."""
    return max(1, min(processors(), count // _WORTH_A_PROCESS))


def process(
    detector: Detector, batch: Sequence[Job], *, overwrite: bool = False, resolution: int | None = None
) -> list[Outcome]:
    """Read, detect and write one batch; an image that fails does not take the others along."""
    outcomes: list[Outcome] = []
    ready: list[tuple[Job, NDArray[np.uint8]]] = []
    start = time.perf_counter()
    for job in batch:
        if not overwrite and _is_whole(job.output):
            outcomes.append(_skip(detector, job, resolution))
            continue
        try:
            image = images.read(job.source)
            ready.append((job, images.resize_short_side(image, resolution) if resolution else image))
        except Exception as error:
            # Not swallowed: it is the outcome of this file, and the others go on.
            outcomes.append(_failure(job, error))
    if not ready:
        return outcomes
    try:
        maps = detector.detect([image for _, image in ready], [job.key for job, _ in ready])
    except Exception as error:
        if len(ready) == 1:
            return [*outcomes, _failure(ready[0][0], error)]
        # One of them spoilt the batch; alone, each shows for itself.
        alone = [process(detector, [job], overwrite=overwrite, resolution=resolution) for job, _ in ready]
        return outcomes + [outcome for one in alone for outcome in one]
    seconds = (time.perf_counter() - start) / len(ready)
    written = [_write(detector, job, made, resolution, seconds) for (job, _), made in zip(ready, maps, strict=True)]
    return outcomes + written


def _process_alone(work: Callable[[Sequence[Job]], list[Outcome]], batch: Sequence[Job]) -> list[Outcome]:
    """`work` in a worker process, where OpenCV's own threads would only get into the other workers' way."""
    import cv2

    cv2.setNumThreads(1)
    return work(batch)


def _write(detector: Detector, job: Job, made: NDArray[np.uint8], resolution: int | None, seconds: float) -> Outcome:
    start = time.perf_counter()
    try:
        if job.output != "-" and os.path.dirname(job.output):
            make_folder(os.path.dirname(job.output))
        images.write(job.output, made, _info(detector, job, resolution).to_text())
    except InputError as error:
        return _failure(job, error)
    return Outcome(
        job.source, job.output, "written", seconds + time.perf_counter() - start, (made.shape[1], made.shape[0])
    )


def _skip(detector: Detector, job: Job, resolution: int | None) -> Outcome:
    there = images.read_info(job.output)
    same = all(there.get(key) == value for key, value in _info(detector, job, resolution).to_text().items())
    return Outcome(job.source, job.output, "skipped", note=None if same else "made with other settings")


def _info(detector: Detector, job: Job, resolution: int | None) -> ConditionInfo:
    info = detector.info(job.key)
    return replace(info, params={**info.params, "resolution": resolution}) if resolution else info


def _is_whole(path: str) -> bool:
    """Whether a finished file is there ("-", standard output, never is)."""
    if path == "-" or not os.path.isfile(path):
        return False
    return images.is_whole_png(path) if path.lower().endswith(".png") else os.path.getsize(path) > 0


def _batches(jobs: Iterator[Job], size: int) -> Iterator[list[Job]]:
    while batch := list(islice(jobs, size)):
        yield batch


def _failure(job: Job, error: Exception) -> Outcome:
    expected = isinstance(error, InputError)
    note = str(error) if expected else f"{job.source}: {type(error).__name__}: {error}"
    return Outcome(job.source, job.output, "failed", note=note, error=error)
