"""What the nodes of a Ray cluster do: `caption_all`, with a network that stays loaded."""

import functools
import os
import pickle
from collections.abc import Sequence
from dataclasses import dataclass, replace

from cn.caption.captioner import Captioner
from cn.caption.run import Outcome, Task, caption_all
from cn.caption.settings import CaptionSettings
from cn.errors import CnError, InputError, UsageError, WeightsError
from cn.ray_cluster import work

_READERS = 4
"""Threads that read images ahead for a GPU."""
_DONE = Task("", "")
"""Instead of the task of an outcome, which whoever sent it has."""


@dataclass(frozen=True)
class RayJob:
    """What all images have in common; `settings` with the size of a batch."""

    settings: CaptionSettings
    engine: str | None
    weights: str | None
    device: str
    precision: str
    folder: str | None
    """Where the names of images that are not whole paths begin."""
    src: str | None


def caption_here(job: bytes, batches: Sequence[bytes], node: str) -> list[Outcome] | CnError:
    """Caption images, pickled lists of `Task`, for a pickled RayJob: their outcomes in order, or an error of ours as a
    value, so that it arrives as it is.
    """
    try:
        captioner = _captioner(job, node)
        size = captioner.settings.batch_size
        assert size is not None
        tasks = [task for batch in batches for task in pickle.loads(batch)]
        readers = 1 if captioner.compute.device.type == "cpu" else _READERS
        outcomes = caption_all(captioner, tasks, batch_size=size, workers=readers)
        return [replace(outcome, task=_DONE) for outcome in outcomes]
    except CnError as error:
        return error


@functools.lru_cache(maxsize=1)
def _captioner(data: bytes, node: str) -> Captioner:
    """The network of a job, in this process, which is prepared for it."""
    import cv2

    # Each actor has one CPU.
    cv2.setNumThreads(1)
    job: RayJob = pickle.loads(data)
    if job.folder is not None:
        try:
            os.chdir(job.folder)
        except OSError:
            raise InputError(
                f"the Ray node {node} has no such folder; give SRC as a whole path, the same on all nodes, or as a URL",
                path=job.folder,
            ) from None
    work.check_visible({path: path for path in (job.src,) if path is not None}, node)
    try:
        # Here: it loads torch, which whoever sends the job does not need.
        from cn.caption.create import open_captioner

        return open_captioner(job.engine, job.weights, job.device, job.precision, job.settings)
    except (WeightsError, UsageError) as error:
        error.what += f" (on the Ray node {node})"
        raise
