"""An evaluation from beginning to end: images, scores, report.

job = open_job(check_request(["canny"], EvalOptions(count=16)))
report = evaluate(job)
"""

import os
import platform
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from cn import __version__
from cn.checkpoints.read.load import Control, check_fits
from cn.data.batch import to_images as to_batch
from cn.eval.bootstrap import Figure
from cn.eval.distances import fid, kid
from cn.eval.html import write_page
from cn.eval.job import Job, Task
from cn.eval.report import NONE, Report, Subject
from cn.eval.scorers import score
from cn.model.base import Base
from cn.model.engine import SamplingEngine
from cn.model.generate import Request, Sampling, generate, to_hint, to_images
from cn.model.guidance import ControlInput
from cn.sample.options import SpeedOptions
from cn.sample.speed import JobSize, make_engine

Image = NDArray[np.uint8]


def evaluate(
    job: Job,
    *,
    on_image: Callable[[int], Any] | None = None,
    warn: Callable[[str], Any] = lambda message: None,
) -> Report:
    """Make the images that are missing, measure all, and write report.json and report.html.

    `on_image` gets the number of images each time some are made or measured, of `job.work` in all; `warn` is told what
    makes sampling slower. Stopped at any moment, the images so far are kept, and the same evaluation goes on from there
    with the same figures.
    """
    on_image = on_image or (lambda count: None)
    job.start()
    for task in job.tasks:
        for count in make_images(job, task, warn):
            on_image(count)
    subjects = []
    for task in job.tasks:
        subjects.append(_scored(job, task))
        on_image(task.images.count)
    reconstruction, none, *controls = subjects
    report = Report(
        protocol=job.protocol,
        measures={scorer.name: scorer.measure for scorer in job.scorers},
        controls=[*controls, *(one for report in job.request.compared for one in _renamed(report, job))],
        none=none,
        reconstruction=reconstruction,
        pairs=[{"where": job.pairs.where(k), "prompt": example.prompt} for k, example in enumerate(job.pairs)],
        not_computed=job.not_computed,
        notes=job.notes,
        versions={"cn": __version__, "torch": torch.__version__, "numpy": np.__version__, "device": _device(job)},
        home=os.fspath(job.request.out),
    )
    report.write(job.request.out)
    write_page(report, job.pairs, job.request.out)
    return report


def make_images(job: Job, task: Task, warn: Callable[[str], Any] = lambda message: None) -> Iterable[int]:
    """Sample what is missing of one task; yields the number of images each time some are written."""
    batches = task.images.missing(job.request.options.batch_size)
    if not batches:
        return ()
    if task.candidate is None:
        if task.name != NONE:
            return task.images.make(batches, lambda batch: _reconstructed(job, batch))
        return task.images.make(batches, _sampler(job, job.base, None, _engine(job, job.base, (), batches, warn)))
    base, control = job.base_of(task.candidate), job.control_of(task.candidate)
    check_fits(control, base, task.name)
    engine = _engine(job, base, (control.model,), batches, warn)
    return task.images.make(batches, _sampler(job, base, control, engine))


def _engine(
    job: Job, base: Base, controls: tuple[nn.Module, ...], batches: Sequence[range], warn: Callable[[str], Any]
) -> SamplingEngine:
    """What computes the networks of these batches, chosen as `cn sample` does."""
    options, s = job.request.options, job.protocol.sampling
    size = JobSize(base, controls, (s.size, s.size), sum(map(len, batches)), s.steps)
    return make_engine(size, options.batch_size, SpeedOptions(compile=options.compile), base.device, warn)


def _sampler(
    job: Job, base: Base, control: Control | None, engine: SamplingEngine
) -> Callable[[range], Iterable[Image]]:
    """Samples a batch as `cn sample` does, image i with seed i."""
    s = job.protocol.sampling
    settings = Sampling(s.size, s.size, s.steps, s.scale)

    def sample(batch: range) -> Iterable[Image]:
        examples = [job.pairs[number] for number in batch]
        requests = [Request(example.prompt, number) for number, example in zip(batch, examples, strict=True)]
        inputs = []
        if control is not None:
            hints = torch.cat([to_hint(example.condition, base.device, base.dtype) for example in examples])
            inputs = [ControlInput(control.model, hints, s.strength)]
        return generate(base, requests, settings, inputs, batch_size=len(batch), engine=engine)

    return sample


@torch.inference_mode()
def _reconstructed(job: Job, batch: range) -> Iterable[Image]:
    """The true images through the autoencoder, without noise: the best that any control can do."""
    base = job.base
    pixels = to_batch([job.pairs[number].target for number in batch]).to(base.device, base.dtype)
    return list(to_images(base.vae.decode(base.vae.encode(pixels).mean)))


def _scored(job: Job, task: Task) -> Subject:
    images = task.images
    scores = {scorer.name: score(scorer, job.pairs, images) for scorer in job.scorers}  # type: ignore[arg-type]
    distances: dict[str, Figure] = {}
    if job.inception is not None:
        real = job.inception.features(example.target for example in job.pairs)
        made = job.inception.features(images[number] for number in range(images.count))
        distances = {"FID": Figure(fid(made, real)), "KID": kid(made, real)}
    folder = images.folder.relative_to(job.request.out).as_posix()
    return Subject(task.name, folder, scores, distances, dict(task.weights or {}))


def _renamed(report: Report, job: Job) -> list[Subject]:
    """The controls of an earlier report that are not evaluated now, under names of their own."""
    taken = {task.name for task in job.tasks}
    weights = [dict(task.weights or {}) for task in job.tasks]
    return [
        replace(
            one,
            name=f"{one.name} (earlier)" if one.name in taken else one.name,
            folder=os.path.relpath(os.path.join(report.home, one.folder), job.request.out),
        )
        for one in report.controls
        if dict(one.weights) not in weights
    ]


def _device(job: Job) -> str:
    return torch.cuda.get_device_name(job.device) if job.device.type == "cuda" else platform.machine()
