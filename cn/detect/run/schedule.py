"""Many images to many maps: streamed, in parallel, resumable, with an outcome for every image.

Reading, detecting and writing overlap, because several images are processed at once: in processes for detectors of
OpenCV and NumPy, in threads of this process for networks, which share one copy of the weights.
"""

import functools
from collections.abc import Generator, Iterable, Iterator, Sequence
from itertools import islice

from cn.detect.run.batch import Outcome, Pipeline, failure, process
from cn.detect.run.frames import FrameFile
from cn.detect.run.frames import batches as frame_batches
from cn.detect.run.jobs import Job
from cn.parallel import Done, map_threads, map_unordered


def run(
    pipeline: Pipeline, jobs: Iterable[Job], count: int, workers: int, frame_files: Iterable[FrameFile] = ()
) -> Generator[Outcome, None, None]:
    """Do `count` jobs, then the frames of `frame_files`, and yield the outcome of each as soon as it is known.

    Memory does not grow with their number.

    Neither the number of workers nor an interruption changes a byte: a network computes in one thread per worker, and
    batches always have the same composition. (A single image uses all CPU cores, which may change its last bits.)
    Failures are yielded, never raised; an interrupt leaves complete files only.
    """
    size = pipeline.detector.batch_size
    batches = _batches(iter(jobs), size)
    processes = min(workers, count)
    if count <= 1:
        for batch in batches:
            yield from process(pipeline, batch)
    elif pipeline.detector.uses_threads or processes == 1:
        yield from _by_threads(pipeline, batches, processes)
    else:
        yield from _outcomes(map_unordered(functools.partial(_in_process, pipeline), batches, processes))

    def is_done(job: Job) -> bool:
        return not pipeline.overwrite and pipeline.is_done(job)

    if frame_files := list(frame_files):
        # By threads: handing images to other processes would take as long as much of the work.
        frames = (batch for file in frame_files for batch in frame_batches(file, size, is_done))
        yield from _by_threads(pipeline, frames, workers)


def _in_process(pipeline: Pipeline, batch: Sequence[Job]) -> list[Outcome]:
    """`process` in a worker process, where OpenCV's own threads would compete with the other workers."""
    import cv2

    cv2.setNumThreads(1)
    return process(pipeline, batch)


def _by_threads(pipeline: Pipeline, batches: Iterator[list[Job]], workers: int) -> Iterator[Outcome]:
    if pipeline.detector.network is None:
        # One thread reads or writes while the other computes, with OpenCV's own threads.
        yield from _outcomes(map_threads(functools.partial(process, pipeline), batches, max(workers, 2)))
        return
    import torch

    threads = torch.get_num_threads()
    try:
        one = functools.partial(torch.set_num_threads, 1)
        yield from _outcomes(map_threads(functools.partial(process, pipeline), batches, workers, one))
    finally:
        # Threads that start later would inherit the last number that was set.
        torch.set_num_threads(threads)


def _outcomes(results: Iterator[Done[list[Job], list[Outcome]]]) -> Iterator[Outcome]:
    for done in results:
        if done.value is not None:
            yield from done.value
        else:
            assert done.error is not None
            yield from (failure(job, done.error) for job in done.item)


def _batches(jobs: Iterator[Job], size: int) -> Iterator[list[Job]]:
    while batch := list(islice(jobs, size)):
        yield batch
