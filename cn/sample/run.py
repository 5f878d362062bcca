"""Sampling from beginning to end: requests, their output paths, their images as files.

job = prepare([request], out="samples")        # networks are loaded, nothing is written yet
rows = plan(job)
for written in sample(job): ...
"""

import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import TYPE_CHECKING

import numpy as np

from cn import images
from cn.errors import UsageError
from cn.options import check_device
from cn.sample.automatic import PromptWriter, batches_of, open_writer
from cn.sample.lora_choice import Lora
from cn.sample.options import AUTO, SpeedOptions
from cn.sample.output_paths import OutputPaths, choose_paths
from cn.sample.request import SampleRequest, with_detected
from cn.sample.saving import Saving
from cn.sample.sheet import sheet
from cn.sample.weights import begin_hashes, check_files
from cn.startup import without_collection

if TYPE_CHECKING:
    from cn.checkpoints.read.load import Control
    from cn.model.base import Base
    from cn.model.engine import SamplingEngine
    from cn.sample.pipeline import Sample, SamplingPipeline
    from cn.sample.previews import Show
    from cn.sample.start_image import GivenImage

MAX_LINES = 12
"""Of prompts, controls or settings that the plan lists."""


@dataclass(frozen=True)
class Job:
    """Pipelines that are ready to sample, one for each request, with the same networks; and where their images go."""

    pipelines: "tuple[SamplingPipeline, ...]"
    paths: OutputPaths
    speed: SpeedOptions = AUTO
    writer: PromptWriter | None = None
    """Of automatic prompts."""

    @property
    def total_steps(self) -> int:
        """Denoising steps of all images."""
        return sum(pipeline.request.total_steps for pipeline in self.pipelines)

    @property
    def samples_ahead(self) -> bool:
        """Whether the next batch is sampled while files are written: a GPU would wait for them, a CPU does both."""
        return self.pipelines[0].base.device.type == "cuda"

    @property
    def hashes(self) -> dict[str, str]:
        """SHA-256 of every weights file in use."""
        return {name: value for pipeline in self.pipelines for name, value in pipeline.hashes.items()}

    def warnings(self) -> list[str]:
        """What a user should know before sampling starts."""
        # Looking at conditions takes time, and many pipelines may share them.
        different = {id(pipeline.hints): pipeline for pipeline in self.pipelines}.values()
        found = [warning for pipeline in different for warning in pipeline.condition_warnings()]
        found += [warning for pipeline in self.pipelines for warning in pipeline.prompt_warnings()]
        return [*dict.fromkeys(found), *self.paths.warnings(), *self._left_out()]

    def _left_out(self) -> list[str]:
        """Of a JPEG, which holds little metadata; a file that is named is the only one of its job."""
        (path, *_), pipeline = self.paths.images, self.pipelines[0]
        words = [*(["--cond"] if pipeline.hints else []), *(["--image"] if pipeline.start_image is not None else [])]
        if path == "-" or images.format_of(path) != "JPEG" or not words or pipeline.fits_jpeg():
            return []
        again = f"--from will need them again, with {' and '.join(words)}"
        return [f"{path}: a JPEG has no room for the images that it is made of: {again}"]


@dataclass(frozen=True)
class Written:
    """A file that was written ("-": standard output); prompt and seed are None for the sheet."""

    path: str
    prompt: str | None = None
    seed: int | None = None


def prepare(
    requests: Sequence[SampleRequest],
    *,
    out: str | None = None,
    grid: bool = False,
    overwrite: bool = False,
    number: bool = False,
    device: str = "auto",
    detect: bool = False,
    captioner: str | None = None,
    speed: SpeedOptions = AUTO,
) -> Job:
    """Check weights and output paths, then load the networks, and detect the conditions where they are photographs.

    All requests have the same base, prediction and precision; with `detect`, the same photographs. `captioner`
    writes automatic prompts. Nothing heavy is imported before all is checked that can be. Raises what `check_files`,
    `choose_paths`, `open_writer` and `SamplingPipeline.open` raise.
    """
    check_device(device)
    for request in requests:
        check_files(request)
    paths = choose_paths(requests, out, grid=grid, overwrite=overwrite, number=number)
    if speed.preview_every is not None and paths.images == ("-",):
        raise UsageError("--preview-every writes a file beside the output: give a file or a folder with --out")
    requests = paths.requests
    begin_hashes(requests)
    writer = open_writer(requests, captioner, device)
    requests = with_maps(requests) if detect else requests
    with without_collection():
        return Job(open_pipelines(requests, device, speed=speed), paths, speed, writer)


def with_maps(requests: Sequence[SampleRequest]) -> list[SampleRequest]:
    """Requests whose conditions are photographs, with the maps that are detected in them, in each once."""
    photographs = {id(c.image): c for request in requests for c in request.conditions}
    maps = dict(zip(photographs, (c.image for c in with_detected([*photographs.values()])), strict=True))
    return [
        replace(request, conditions=tuple(replace(c, image=maps[id(c.image)]) for c in request.conditions))
        for request in requests
    ]


def open_pipelines(
    requests: Sequence[SampleRequest],
    device: str,
    *,
    base: "Base | None" = None,
    controls: "Mapping[str, Control]" = MappingProxyType({}),
    speed: SpeedOptions = AUTO,
) -> "tuple[SamplingPipeline, ...]":
    """A pipeline for each request; they share networks, and conditions and images to start from of the same size.

    `base`, `controls` and `speed` are as in `SamplingPipeline.open`.
    """
    from cn.sample.pipeline import SamplingPipeline

    opened: list[SamplingPipeline] = []
    loaded = dict(controls)
    hints: dict[object, tuple[np.ndarray, ...]] = {}
    starts: dict[object, GivenImage | None] = {}
    for request in requests:
        one = SamplingPipeline.open(request, device=device, base=base, controls=loaded, speed=speed)
        base = one.base
        loaded |= {c.control: control for c, control in zip(one.request.conditions, one.controls, strict=True)}
        used = (one.size, one.request.fit, *((id(c.image), c.kind, c.control) for c in request.conditions))
        start = starts.setdefault((id(request.start_image), one.size), one.start_image)
        opened.append(replace(one, hints=hints.setdefault(used, one.hints), start_image=start))
    return tuple(opened)


def plan(job: Job) -> dict[str, str | None]:
    """What will be sampled, as name → value rows."""
    requests = [pipeline.request for pipeline in job.pipelines]
    how = [_how(pipeline) for pipeline in job.pipelines]
    prompts = [_shown_prompt(prompt, job) for request in requests for prompt in _prompts(request)]
    return {
        "base": requests[0].base,
        "vae": requests[0].vae,
        "lora": lines(f"{lora.path}, weight {lora.weight:g}" for lora in map(Lora.parse, requests[0].lora)),
        "control": lines(text for request in requests for text in _controls(request)),
        "image": lines(text for pipeline in job.pipelines for text in _start(pipeline)),
        "mask": lines(text for pipeline in job.pipelines for text in _mask(pipeline)),
        "mode": "guess" if any(request.guess for request in requests) else None,
        "prompt": lines(prompts),
        "negative": lines(request.negative for request in requests if request.negative),
        "images": f"{len(job.paths.images)} of {lines(how)}, {_seeds(requests)}{_there(job.paths)}",
        "device": f"{job.pipelines[0].base.device}, {requests[0].precision}",
    }


def _prompts(request: SampleRequest) -> Sequence[str | None]:
    """None for an automatic one, which is not known yet."""
    return (None,) if request.auto else request.prompts


def _shown_prompt(prompt: str | None, job: Job) -> str:
    if prompt is None:
        assert job.writer is not None
        return f"automatic: captions of the results of the default prompt, by {job.writer.by.name}"
    return " ".join(prompt.split()) or "(none)"


def _how(pipeline: "SamplingPipeline") -> str:
    request, (height, width) = pipeline.request, pipeline.size
    eta = f", eta {request.eta:g}" if request.eta else ""
    sampler = request.sampler + ("" if request.sigmas == "default" else f" with {request.sigmas} sigmas")
    return f"{width}×{height}, {request.steps} steps of {sampler}, guidance {request.scale:g}{eta}"


def _there(paths: OutputPaths) -> str:
    return f"; {paths.there} more are there already" if paths.there else ""


def _seeds(requests: Sequence[SampleRequest]) -> str:
    """Neighbors as a range: "seeds 0 to 3, 7"."""
    runs: list[list[int]] = []
    for first, count in sorted({(request.seed, request.count) for request in requests}):
        last = first + count - 1
        if runs and first <= runs[-1][1] + 1:
            runs[-1][1] = max(runs[-1][1], last)
        else:
            runs.append([first, last])
    shown = [f"{first}" if first == last else f"{first} to {last}" for first, last in runs[:MAX_LINES]]
    return f"seed{'s' * (runs != [[runs[0][0]] * 2])} {', '.join(shown)}" + (", …" if len(runs) > MAX_LINES else "")


def _controls(request: SampleRequest) -> Iterator[str]:
    for c in request.conditions:
        window = "" if (c.start, c.end) == (0, 1) else f", from {c.start:g} to {c.end:g} of the steps"
        yield f"{c.control}, strength {c.strength:g}{window}, follows {c.name}"


def _start(pipeline: "SamplingPipeline") -> Iterator[str]:
    request, start = pipeline.request, pipeline.start_image
    if start is not None:
        yield f"{start.name}, denoise {request.share:g}: {request.steps_made} of {request.steps} steps"


def _mask(pipeline: "SamplingPipeline") -> Iterator[str]:
    request, start = pipeline.request, pipeline.start_image
    if start is not None and start.mask is not None:
        feather = f", feathered over {request.mask_feather} pixels" if request.mask_feather else ""
        yield f"{start.mask_name}, {start.mask.mean():.0%} is redrawn{feather}"


def lines(texts: Iterable[str]) -> str | None:
    """Each different text on a line of its own, as many as a screen shows well; None for no text."""
    found = list(dict.fromkeys(texts))
    left = [f"… and {len(found) - MAX_LINES} more"] if len(found) > MAX_LINES else []
    return "\n".join([*found[:MAX_LINES], *left]) or None


def sample(
    job: Job,
    *,
    on_step: Callable[[int], object] = lambda count: None,
    warn: Callable[[str], None] = lambda message: None,
    engine: "SamplingEngine | None" = None,
    show: "Show | None" = None,
) -> Iterator[Written]:
    """Sample and write each image as soon as it is finished, then the sheet if there is to be one.

    What a GPU has sampled is yielded when the batch after it is finished too: its files are written meanwhile.
    `on_step` is told how many images have taken one more step; `warn` of what makes sampling slower. `engine` is as in
    `cn.sample.pipeline.batches_of`, and `show` shows previews, where there are to be any.
    """
    from cn.sample.previews import Previews

    finished: list[Sample] = []
    with (
        contextlib.closing(Previews.of(job.speed, job.paths.images, job.pipelines[0].base.vae, show)) as previews,
        Saving(len(job.paths.images)) as saving,
    ):

        def saved() -> Iterator[Written]:
            for path, made in saving.finish():
                previews.finished(path)
                if job.paths.sheet is not None:
                    finished.append(made)
                yield Written(path, made.prompt, made.seed)

        batches = batches_of(
            job.pipelines, job.writer, on_step, speed=job.speed, warn=warn, engine=engine, previews=previews.or_none()
        )
        paths = iter(job.paths.images)
        try:
            for batch in batches:
                yield from saved()
                saving.begin([(next(paths), made) for made in batch])
                if not job.samples_ahead:
                    yield from saved()
        except (Exception, KeyboardInterrupt):  # What is written is named first.
            yield from saved()
            raise
        yield from saved()
        if job.paths.sheet is not None:
            with saving.saying_what_is_left():
                images.write(job.paths.sheet, sheet(job.pipelines, finished))
            yield Written(str(job.paths.sheet))
