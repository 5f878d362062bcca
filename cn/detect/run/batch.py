"""One batch of images to maps, with an outcome for every image."""

import os
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from cn import images
from cn.conditions import ConditionInfo
from cn.detect.checks import check_map, check_photograph
from cn.detect.detector import Detection, Detector
from cn.detect.run.jobs import Job
from cn.errors import CnError, InputError, is_memory_error
from cn.files import make_folder, write_atomic
from cn.images import pixel_values
from cn.images.resizing import bounded_short_side_size
from cn.parallel import WorkerDiedError

Status = Literal["written", "skipped", "empty", "failed", "incomplete"]
"""What became of an image; "incomplete" is said of a whole video that ends too early."""
OnEmpty = Literal["keep", "skip", "fail"]

NOTHING = "nothing was found"


@dataclass(frozen=True)
class Outcome:
    """The result of one job."""

    path: str
    output: str
    status: Status
    seconds: float = 0.0
    size: tuple[int, int] | None = None
    """Width and height of the map, where one was made."""
    found: dict[str, Any] | None = None
    """What the map shows, in numbers."""
    message: str | None = None
    """Why it failed or was skipped, or what may be wrong with the map."""
    error: Exception | None = None
    frame: int | None = None
    """The number of the frame, where frames of a file become maps."""
    frames: int | None = None
    """How many frames, or pages, the file has, if that is known and more than one."""
    general: tuple[str, ...] = ()
    """The warnings of `message` as they are said once for many images, where that differs."""

    def record(self) -> dict[str, Any]:
        """For `--json`."""
        record = {"path": self.path, "output": self.output, "status": self.status, "seconds": round(self.seconds, 4)}
        record |= {"size": self.size, "found": self.found}
        more = {"frame": self.frame, "frames": self.frames, "reason": self.message}
        return record | {name: value for name, value in more.items() if value}


@dataclass(frozen=True)
class Pipeline:
    """The steps for every image: read, detect, resize, write."""

    detector: Detector
    overwrite: bool = False
    """Whether finished files are regenerated."""
    resolution: int | None = None
    """The short side that images are resized to first (`images.resize_short_side`), or finished maps of labels."""
    on_empty: OnEmpty = "keep"
    """What to do where nothing was found: write the empty map, write no file, or report a failure."""
    sidecars: str | None = None
    """The folder for `Detection.sidecar`, where sidecar files are requested."""

    def info(self, job: Job) -> ConditionInfo:
        """The description that is written into the PNG of a job."""
        info = self.detector.info(job.key)
        added = {"resolution": self.resolution, "fps": job.frame and job.frame.fps}
        return replace(info, params={**info.params, **{name: value for name, value in added.items() if value}})

    def read(self, job: Job) -> tuple[NDArray[Any], str | None]:
        """The detector's input, and what is wrong with it."""
        image = self.detector.read(job.source, job.part) if job.frame is None else job.frame.image
        if image is None:
            raise InputError("a map of it was deleted meanwhile; run the command again", path=job.source)
        warning = self._input_warning(job, image)
        if self.resolution and self.detector.from_photographs:
            return self.detector.resized(image, self.resolution), warning
        return image, warning

    def frame_count(self, job: Job) -> int:
        """The number of frames, or pages, of a job's file; 1 where it is not known."""
        if job.frame is not None:
            return job.frame.count or 1
        return images.frame_count(job.source) if job.source != "-" else 1

    def _input_warning(self, job: Job, image: NDArray[Any]) -> str | None:
        """Where a detector of photographs gets a condition map."""
        if not self.detector.from_photographs or self.detector.from_drawings or not isinstance(image, np.ndarray):
            return None
        text = images.read_info(job.source) if job.source != "-" else {}
        return _joined(check_photograph(image, text))

    def map_warning(self, detection: Detection) -> str | None:
        """What is wrong with a map that was made of people's own files, not of a photograph."""
        if detection.warning or detection.empty:
            return detection.warning or NOTHING
        if self.detector.from_photographs and not self.detector.from_drawings:
            return None
        return _joined(check_map(self.detector.usual_order(detection.map), self.detector.kind))

    def finished(self, made: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """The map at its final size."""
        if not self.resolution or self.detector.from_photographs:
            return made
        size = bounded_short_side_size(made.shape[0], made.shape[1], self.resolution)
        return self.detector.resized_map(made, size)

    def sidecar_path(self, job: Job) -> str | None:
        """The path of a job's sidecar file, where they are requested."""
        if self.sidecars is None:
            return None
        return os.path.join(self.sidecars, f"{job.name}{self.detector.sidecar_suffix}")

    def is_done(self, job: Job) -> bool:
        """Whether all files of a job are there and complete."""
        sidecar = self.sidecar_path(job)
        return _is_complete(job.output) and (sidecar is None or _is_complete(sidecar))


def process(pipeline: Pipeline, batch: Sequence[Job]) -> list[Outcome]:
    """Read, detect and write one batch; if an image fails, the others continue. Failures are returned, never raised."""
    if batch[0].frame is not None and (batch[0].frame.error or batch[0].frame.note):
        return [_of_file(batch[0])]
    start = time.perf_counter()
    wanted = [job for job in batch if pipeline.overwrite or not pipeline.is_done(job)]
    outcomes = {job: _skip(pipeline, job) for job in batch if job not in wanted}
    ready: list[tuple[Job, NDArray[Any]]] = []
    warnings: dict[Job, str | None] = {}
    counts: dict[Job, int] = {}
    # The batch composition changes the last bits of a network's output: images that are done are computed once more.
    for job in batch if wanted else ():
        try:
            image, warnings[job] = pipeline.read(job)
            counts[job] = pipeline.frame_count(job)
            ready.append((job, image))
        except Exception as error:
            # Reported as the outcome of this file; the others continue.
            if job in wanted:
                outcomes[job] = failure(job, error)
    found: dict[Job, Detection] = {}
    if ready:
        try:
            found = dict(zip((job for job, _ in ready), _detected(pipeline, ready), strict=True))
        except Exception as error:
            if len(batch) == 1:
                return [failure(batch[0], error)]
            # One of the images failed; processed one by one, the others succeed.
            return [outcome for job in batch for outcome in process(pipeline, [job])]
    seconds = (time.perf_counter() - start) / max(len(found), 1)
    outcomes |= {job: _finish(pipeline, job, found[job], seconds, warnings[job]) for job in wanted if job in found}
    return [_of_frame(outcomes[job], job, counts.get(job, 1)) for job in batch]


def _of_frame(outcome: Outcome, job: Job, count: int) -> Outcome:
    """The outcome with the number of the frame, and of all frames."""
    frame = None if job.frame is None else job.frame.number
    return (
        outcome if frame is None and count == 1 else replace(outcome, frame=frame, frames=count if count > 1 else None)
    )


def _of_file(job: Job) -> Outcome:
    """What is wrong with a file whose frames become maps."""
    assert job.frame is not None
    if job.frame.error is not None:
        return failure(job, job.frame.error)
    return Outcome(job.source, job.output, "incomplete", message=job.frame.note)


def _detected(pipeline: Pipeline, ready: Sequence[tuple[Job, NDArray[Any]]]) -> list[Detection]:
    return pipeline.detector.detect([image for _, image in ready], [job.key for job, _ in ready])


def _finish(pipeline: Pipeline, job: Job, detection: Detection, seconds: float, warning: str | None) -> Outcome:
    """Write a map, or do what `on_empty` says where nothing was found; `warning` is about the input."""
    found = dict(detection.found)
    if detection.empty and pipeline.on_empty != "keep":
        if pipeline.on_empty == "fail":
            return replace(failure(job, InputError("nothing was found in it", path=job.source)), seconds=seconds)
        for earlier in (job.output, pipeline.sidecar_path(job)) if pipeline.overwrite else ():
            if earlier not in (None, "-") and os.path.isfile(earlier):
                os.unlink(earlier)  # An empty map of an earlier run, and its sidecar.
        return Outcome(job.source, job.output, "empty", seconds, found=found, message=NOTHING)
    start = time.perf_counter()
    try:
        text = pipeline.info(job).to_text()
        if (sidecar := pipeline.sidecar_path(job)) is not None and detection.sidecar is not None:
            _write_sidecar(pipeline, sidecar, detection.sidecar, text)
        if job.output != "-" and os.path.dirname(job.output):
            make_folder(os.path.dirname(job.output))
        made = pipeline.finished(detection.map)
        general = () if warning else detection.general_warnings
        warning = warning or pipeline.map_warning(detection)
        # Last, so that whatever has a map is complete.
        images.write(job.output, made, text)
    except (InputError, MemoryError) as error:
        return failure(job, error)
    size = (made.shape[1], made.shape[0])
    taken = seconds + time.perf_counter() - start
    return Outcome(job.source, job.output, "written", taken, size, found, warning, general=general)


def _joined(warnings: Iterable[object]) -> str | None:
    return "; ".join(map(str, warnings)) or None


def _write_sidecar(pipeline: Pipeline, path: str, content: bytes | NDArray[np.uint8], text: dict[str, str]) -> None:
    make_folder(os.path.dirname(path))
    content = content if isinstance(content, bytes) else pipeline.finished(content)
    if not pipeline.overwrite and _is_complete(path):
        # Left by an interrupted run, or edited by somebody.
        if _has(path, content):
            return
        raise InputError("already exists with other content; --overwrite replaces it", path=path)
    if isinstance(content, bytes):
        write_atomic(path, content, durable=False)
    else:
        images.write(path, content, text)


def _has(path: str, content: bytes | NDArray[np.uint8]) -> bool:
    """Whether a file has this content already."""
    if isinstance(content, bytes):
        return Path(path).read_bytes() == content
    return np.array_equal(pixel_values.read(path), content)


def _skip(pipeline: Pipeline, job: Job) -> Outcome:
    existing = images.read_info(job.output)
    # Only PNGs carry a description.
    is_png = job.output.lower().endswith(".png")
    same = not is_png or all(existing.get(key) == value for key, value in pipeline.info(job).to_text().items())
    return Outcome(job.source, job.output, "skipped", message=None if same else "made with other settings")


def _is_complete(path: str) -> bool:
    """Whether a complete file is there (never for "-", standard output)."""
    if path == "-" or not os.path.isfile(path):
        return False
    return images.is_complete_png(path) if path.lower().endswith(".png") else os.path.getsize(path) > 0


def failure(job: Job, error: Exception) -> Outcome:
    """The outcome of a job that failed."""
    message = f"{job.source}: {type(error).__name__}: {error}"
    if isinstance(error, CnError):
        if error.path is None and job.source != "-":
            error.path = job.source
        message = str(error)
    elif isinstance(error, WorkerDiedError):
        message = f"{job.source}: {error}; if memory is short, --workers 1 helps"
    elif is_memory_error(error):
        message = f"{job.source}: needs more memory than there is; --resolution N makes it smaller, --workers 1 helps"
    return Outcome(job.source, job.output, "failed", message=message, error=error)
