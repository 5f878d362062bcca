"""Sampling from beginning to end: a request, its output paths, its images as files.

job = prepare(request, out="samples")        # networks are loaded, nothing is written yet
rows = plan(job)
for written in sample(job): ...
"""

import contextlib
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from cn import images
from cn.errors import InputError, PartialError
from cn.options import check_device
from cn.sample.lora_choice import Lora
from cn.sample.output_paths import OutputPaths, choose_paths
from cn.sample.request import SampleRequest, with_detected
from cn.sample.weights import check_files

if TYPE_CHECKING:
    from cn.sample.pipeline import Sample, SamplingPipeline


@dataclass(frozen=True)
class Job:
    """A pipeline that is ready to sample, and where its images go."""

    pipeline: "SamplingPipeline"
    paths: OutputPaths

    @property
    def total_steps(self) -> int:
        """Denoising steps of all images."""
        return len(self.paths.images) * self.pipeline.request.steps

    def warnings(self) -> list[str]:
        """What a user should know before sampling starts."""
        return [*self.pipeline.warnings(), *self.paths.warnings()]


@dataclass(frozen=True)
class Written:
    """A file that was written ("-": standard output); prompt and seed are None for the sheet."""

    path: str
    prompt: str | None = None
    seed: int | None = None


def prepare(
    request: SampleRequest,
    *,
    out: str | None = None,
    grid: bool = False,
    overwrite: bool = False,
    device: str = "auto",
    detect: bool = False,
) -> Job:
    """Check weights and output paths, then load the networks, and detect the conditions where they are photographs.

    Nothing heavy is imported before all is checked that can be. Raises what `check_files`, `choose_paths` and
    `SamplingPipeline.open` raise.
    """
    check_device(device)
    check_files(request)
    paths = choose_paths(request, out, grid=grid, overwrite=overwrite)
    if detect:
        request = replace(request, conditions=with_detected(request.conditions))
    from cn.sample.pipeline import SamplingPipeline

    return Job(SamplingPipeline.open(request, device=device), paths)


def plan(job: Job) -> dict[str, str | None]:
    """What will be sampled, as name → value rows."""
    request, (height, width) = job.pipeline.request, job.pipeline.size
    controls = []
    for c in request.conditions:
        window = "" if (c.start, c.end) == (0, 1) else f", from {c.start:g} to {c.end:g} of the steps"
        controls.append(f"{c.control}, strength {c.strength:g}{window}, follows {c.name}")
    how = f"{request.steps} steps, guidance {request.scale:g}" + (f", eta {request.eta:g}" if request.eta else "")
    last = request.seed + request.count - 1
    seeds = f"seed {request.seed}" if request.count == 1 else f"seeds {request.seed} to {last}"
    return {
        "base": request.base,
        "vae": request.vae,
        "lora": "\n".join(f"{lora.path}, weight {lora.weight:g}" for lora in map(Lora.parse, request.lora)) or None,
        "control": "\n".join(controls) or None,
        "mode": "guess" if request.guess else None,
        "prompt": "\n".join(" ".join(prompt.split()) or "(none)" for prompt in request.prompts),
        "negative": request.negative or None,
        "images": f"{len(job.paths.images)} of {width}×{height}, {how}, {seeds}",
        "device": f"{job.pipeline.base.device}, {request.precision}",
    }


def sample(job: Job, *, on_step: Callable[[], None] | None = None) -> Iterator[Written]:
    """Sample and write each image as soon as it is finished, then the sheet if there is to be one."""
    finished: list[Sample] = []
    for number, (path, made) in enumerate(zip(job.paths.images, job.pipeline.samples(on_step=on_step), strict=True)):
        with _saying_what_is_left(job.paths.images, number):
            made.save(path)
        if job.paths.sheet is not None:
            finished.append(made)
        yield Written(path, made.prompt, made.seed)
    if job.paths.sheet is not None:
        with _saying_what_is_left(job.paths.images, len(finished)):
            images.write(job.paths.sheet, _sheet(job.pipeline, finished))
        yield Written(str(job.paths.sheet))


@contextlib.contextmanager
def _saying_what_is_left(paths: Sequence[str], done: int) -> Iterator[None]:
    """PartialError for an image that cannot be written, where some of the `done` images before it are still there."""
    try:
        yield
    except InputError as error:
        left = sum(os.path.exists(path) for path in paths[:done])
        if left:
            what = f"{error.what}; {left} of {len(paths)} images are written"
            raise PartialError(what, path=error.path) from error
        if done:
            error.what += "; the images written before are no longer there"
        raise


def _sheet(pipeline: "SamplingPipeline", samples: "list[Sample]") -> np.ndarray:
    """A row per prompt: the conditions, then its images."""
    request, hints = pipeline.request, list(pipeline.hints)
    cells: list[np.ndarray | None] = []
    for first in range(0, len(samples), request.count):
        cells += [*hints, *(made.image for made in samples[first : first + request.count])]
    titles = [c.kind or "condition" for c in request.conditions]
    titles += [f"seed {request.seed + i}" for i in range(request.count)]
    prompts = [prompt or "(no prompt)" for prompt in request.prompts]
    return images.grid(cells, column_titles=titles, row_titles=prompts)
