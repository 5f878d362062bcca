"""Many images to many maps: streamed, side by side, resumable, with a status for every file.

Reading, detecting and writing overlap, since several images are at work at once: in processes for what OpenCV and NumPy
detect, in threads of this process for networks, which share one copy of the weights.
"""

import functools
import os
import time
from collections.abc import Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from cn import conditions, images
from cn.conditions import ConditionInfo
from cn.detect.detector import Detection, Detector
from cn.detect.run.jobs import Job
from cn.errors import InputError
from cn.files import make_folder, write_atomic
from cn.images import pixel_values
from cn.images.resizing import bounded_short_side_size, resize
from cn.parallel import Done, map_threads, map_unordered

Status = Literal["written", "skipped", "empty", "failed"]
OnEmpty = Literal["keep", "skip", "fail"]

NOTHING = "nothing was found"


@dataclass(frozen=True)
class Outcome:
    """What became of one image."""

    path: str
    output: str
    status: Status
    seconds: float = 0.0
    size: tuple[int, int] | None = None
    """Width and height of the map, where one was made."""
    found: dict[str, Any] | None = None
    """What the map shows, in numbers."""
    note: str | None = None
    """Why it failed, what is odd about the file that made it be skipped, or what may be wrong with the map."""
    error: Exception | None = None

    def record(self) -> dict[str, Any]:
        """For `--json`."""
        record = {"path": self.path, "output": self.output, "status": self.status, "seconds": round(self.seconds, 4)}
        return record | {"size": self.size, "found": self.found} | ({"reason": self.note} if self.note else {})


@dataclass(frozen=True)
class Work:
    """What is to be done with every image."""

    detector: Detector
    overwrite: bool = False
    """Whether to make again what is already there whole."""
    resolution: int | None = None
    """The short side that images are brought to first (`images.resize_short_side`), or maps of labels afterwards."""
    on_empty: OnEmpty = "keep"
    """What to do where nothing was found: write the empty map, write nothing, or call it a failure."""
    beside: str | None = None
    """The folder for `Detection.beside`, where that is wanted."""

    def info(self, job: Job) -> ConditionInfo:
        """What the PNG of a job says."""
        info = self.detector.info(job.key)
        return replace(info, params={**info.params, "resolution": self.resolution}) if self.resolution else info

    def read(self, job: Job) -> NDArray[Any]:
        """What the detector gets."""
        image = self.detector.read(job.source, job.part)
        if self.resolution and self.detector.from_photographs:
            return self.detector.resized(image, self.resolution)
        return image

    def finished(self, made: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """The map at its final size."""
        if not self.resolution or self.detector.from_photographs:
            return made
        size = bounded_short_side_size(made.shape[0], made.shape[1], self.resolution)
        return resize(made, size, conditions.get(self.detector.kind).geometry)

    def path_beside(self, job: Job) -> str | None:
        """Where `Detection.beside` of a job goes."""
        return os.path.join(self.beside, f"{job.name}{self.detector.beside}") if self.beside is not None else None

    def is_done(self, job: Job) -> bool:
        """Whether all that is wanted of a job is there, whole."""
        other = self.path_beside(job)
        return _is_whole(job.output) and (other is None or _is_whole(other))


def run(work: Work, jobs: Iterable[Job], count: int, workers: int) -> Generator[Outcome, None, None]:
    """Do `count` jobs and yield what became of each, as soon as it is known; memory does not grow with their number.

    Neither the number of workers nor an interruption changes a byte: a network computes in one thread of each, and
    whoever was in a batch is in it again. (A single image has all processors, which may move its last bits.)
    Failures are yielded, never raised; an interrupt leaves whole files only.
    """
    batches = _batches(iter(jobs), work.detector.batch_size)
    if count == 1:
        for batch in batches:
            yield from process(work, batch)
    elif work.detector.network is not None:
        yield from _by_network(work, batches, workers)
    elif work.detector.in_threads or workers == 1:
        # One reads or writes while the other computes, with OpenCV's own threads.
        yield from _outcomes(map_threads(functools.partial(process, work), batches, max(workers, 2)))
    else:
        yield from _outcomes(map_unordered(functools.partial(_in_process, work), batches, workers))


def process(work: Work, batch: Sequence[Job]) -> list[Outcome]:
    """Read, detect and write one batch; an image that fails does not take the others along."""
    start = time.perf_counter()
    wanted = [job for job in batch if work.overwrite or not work.is_done(job)]
    outcomes = {job: _skip(work, job) for job in batch if job not in wanted}
    ready: list[tuple[Job, NDArray[Any]]] = []
    # The company in a batch changes the last bits of what a network gives: whoever is done goes along once more.
    for job in batch if wanted else ():
        try:
            ready.append((job, work.read(job)))
        except Exception as error:
            # Not swallowed: it is the outcome of this file, and the others go on.
            if job in wanted:
                outcomes[job] = _failure(job, error)
    found: dict[Job, Detection] = {}
    if ready:
        try:
            found = dict(zip((job for job, _ in ready), _detected(work, ready), strict=True))
        except Exception as error:
            if len(batch) == 1:
                return [_failure(batch[0], error)]
            # One of them spoilt the batch; alone, each shows for itself.
            return [outcome for job in batch for outcome in process(work, [job])]
    seconds = (time.perf_counter() - start) / max(len(found), 1)
    outcomes |= {job: _settle(work, job, found[job], seconds) for job in wanted if job in found}
    return [outcomes[job] for job in batch]


def _detected(work: Work, ready: Sequence[tuple[Job, NDArray[Any]]]) -> list[Detection]:
    return work.detector.detect([image for _, image in ready], [job.key for job, _ in ready])


def _in_process(work: Work, batch: Sequence[Job]) -> list[Outcome]:
    """`process` in a worker process, where OpenCV's own threads would only get into the other workers' way."""
    import cv2

    cv2.setNumThreads(1)
    return process(work, batch)


def _by_network(work: Work, batches: Iterator[list[Job]], workers: int) -> Iterator[Outcome]:
    import torch

    threads = torch.get_num_threads()
    try:
        one = functools.partial(torch.set_num_threads, 1)
        yield from _outcomes(map_threads(functools.partial(process, work), batches, workers, one))
    finally:
        # Threads that are started from now on would take over the number of the last one that was set.
        torch.set_num_threads(threads)


def _outcomes(results: Iterator[Done[list[Job], list[Outcome]]]) -> Iterator[Outcome]:
    for done in results:
        if done.value is not None:
            yield from done.value
        else:
            assert done.error is not None
            yield from (_failure(job, done.error) for job in done.item)


def _settle(work: Work, job: Job, detection: Detection, seconds: float) -> Outcome:
    """Write a map, or what is asked for where nothing was found."""
    found = dict(detection.found)
    if detection.empty and work.on_empty != "keep":
        if work.on_empty == "fail":
            return replace(_failure(job, InputError(f"{job.source}: nothing was found in it")), seconds=seconds)
        for earlier in (job.output, work.path_beside(job)) if work.overwrite else ():
            if earlier not in (None, "-") and os.path.isfile(earlier):
                os.unlink(earlier)  # An empty map of an earlier run, and what belonged to it.
        return Outcome(job.source, job.output, "empty", seconds, found=found, note=NOTHING)
    start = time.perf_counter()
    try:
        text = work.info(job).to_text()
        if (other := work.path_beside(job)) is not None and detection.beside is not None:
            _write_beside(work, other, detection.beside, text)
        if job.output != "-" and os.path.dirname(job.output):
            make_folder(os.path.dirname(job.output))
        made = work.finished(detection.map)
        # Last, so that what has a map has everything.
        images.write(job.output, made, text)
    except InputError as error:
        return _failure(job, error)
    size = (made.shape[1], made.shape[0])
    taken = seconds + time.perf_counter() - start
    doubt = detection.doubt or (NOTHING if detection.empty else None)
    return Outcome(job.source, job.output, "written", taken, size, found, doubt)


def _write_beside(work: Work, path: str, content: bytes | NDArray[np.uint8], text: dict[str, str]) -> None:
    make_folder(os.path.dirname(path))
    content = content if isinstance(content, bytes) else work.finished(content)
    if not work.overwrite and _is_whole(path):
        # Left by an interrupted run, or made by others and edited since.
        if _has(path, content):
            return
        raise InputError(f"{path}: is there already and says something else; --overwrite replaces it")
    if isinstance(content, bytes):
        write_atomic(path, content, durable=False)
    else:
        images.write(path, content, text)


def _has(path: str, content: bytes | NDArray[np.uint8]) -> bool:
    """Whether a file holds this already."""
    if isinstance(content, bytes):
        return Path(path).read_bytes() == content
    return np.array_equal(pixel_values.read(path), content)


def _skip(work: Work, job: Job) -> Outcome:
    there = images.read_info(job.output)
    # Other formats than PNG do not say how they were made.
    says = job.output.lower().endswith(".png")
    same = not says or all(there.get(key) == value for key, value in work.info(job).to_text().items())
    return Outcome(job.source, job.output, "skipped", note=None if same else "made with other settings")


def _is_whole(path: str) -> bool:
    """Whether a finished file is there ("-", standard output, never is)."""
    if path == "-" or not os.path.isfile(path):
        return False
    return images.is_complete_png(path) if path.lower().endswith(".png") else os.path.getsize(path) > 0


def _batches(jobs: Iterator[Job], size: int) -> Iterator[list[Job]]:
    while batch := list(islice(jobs, size)):
        yield batch


def _failure(job: Job, error: Exception) -> Outcome:
    if isinstance(error, InputError):
        if job.source not in str(error) and job.source != "-":
            error = InputError(f"{job.source}: {error}")
        return Outcome(job.source, job.output, "failed", note=str(error), error=error)
    note = f"{job.source}: {type(error).__name__}: {error}"
    return Outcome(job.source, job.output, "failed", note=note, error=error)
