"""Sampling from beginning to end: requests, their output paths, their images as files.

job = prepare([request], out="samples")        # networks are loaded, nothing is written yet
for written in sample(job): ...
"""

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import islice
from types import MappingProxyType
from typing import TYPE_CHECKING

import numpy as np

from cn import images
from cn.errors import UsageError
from cn.options import check_device
from cn.sample.automatic import PromptWriter, batches_of, open_writer
from cn.sample.comparison import Comparison
from cn.sample.options import AUTO, SpeedOptions
from cn.sample.output_paths import OutputPaths, choose_paths
from cn.sample.request import SampleRequest, with_detected
from cn.sample.saving import Saving
from cn.sample.sheet import Kept, Pictured, Row, kept_rows, sheet
from cn.sample.weights import begin_hashes, check_files
from cn.startup import without_collection

if TYPE_CHECKING:
    from cn.checkpoints.read.load import Control
    from cn.model.base import Base
    from cn.model.engine import SamplingEngine
    from cn.sample.pipeline import SamplingPipeline
    from cn.sample.previews import Show
    from cn.sample.start_image import GivenImage


@dataclass(frozen=True)
class Job:
    """Pipelines that are ready to sample, one for each request, with the same networks; and where their images go.

    There are none where all images are there already: at most a sheet of them is left to be written.
    """

    pipelines: "tuple[SamplingPipeline, ...]"
    paths: OutputPaths
    speed: SpeedOptions = AUTO
    writer: PromptWriter | None = None
    """Of automatic prompts."""

    @cached_property
    def left(self) -> "tuple[SamplingPipeline, ...]":
        """Those that are sampled: where some of the images are there, of the others."""
        if not self.paths.there:
            return self.pipelines
        found: list[SamplingPipeline] = []
        paths = iter(self.paths.every)
        for pipeline in self.pipelines:
            singles = pipeline.request.singles()
            pairs = list(zip(singles, islice(paths, len(singles)), strict=True))
            alone = [one for one, path in pairs if path not in self.paths.there]
            # One of which nothing is there stays whole: its images make the same batches.
            whole = len(alone) == len(pairs)
            found += [pipeline] if whole else [replace(pipeline, request=one) for one in alone]
        return tuple(found)

    @property
    def total_steps(self) -> int:
        """Denoising steps of the images that are sampled."""
        return sum(pipeline.request.total_steps for pipeline in self.left)

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
        if not self.pipelines:
            return []
        path, pipeline = next(iter(self.paths.images)), self.pipelines[0]
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
    writes automatic prompts. Nothing heavy is imported before all is checked that can be, and no network is loaded
    where all images are there. Raises what `check_files`, `choose_paths`, `open_writer` and `SamplingPipeline.open`
    raise.
    """
    check_device(device)
    for request in requests:
        check_files(request)
    comparison = Comparison(device, captioner)
    paths = choose_paths(requests, out, grid=grid, overwrite=overwrite, number=number, comparison=comparison)
    if speed.preview_every is not None and paths.images == ("-",):
        raise UsageError("--preview-every writes a file beside the output: give a file or a folder with --out")
    if not paths.images:
        return Job((), paths, speed)
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

    if not job.pipelines:
        yield from _sheet(job, {})
        return
    finished: dict[str, Pictured] = {}
    with (
        contextlib.closing(Previews.of(job.speed, job.paths.images, job.pipelines[0].base.vae, show)) as previews,
        Saving(len(job.paths.images)) as saving,
    ):

        def saved() -> Iterator[Written]:
            for path, made in saving.finish():
                previews.finished(path)
                if job.paths.sheet is not None:
                    finished[path] = made
                yield Written(path, made.prompt, made.seed)

        shown = previews.or_none()
        batches = batches_of(job.left, job.writer, on_step, speed=job.speed, warn=warn, engine=engine, previews=shown)
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
        with saving.saying_what_is_left():
            yield from _sheet(job, finished)


def _sheet(job: Job, made: Mapping[str, Pictured]) -> Iterator[Written]:
    """Write the sheet, where there is to be one, of the images that were made and of those that were there."""
    paths = job.paths
    if paths.sheet is None:
        return
    rows: Sequence[Row] = job.pipelines or kept_rows(paths.requests, paths.every)
    shown = [made[path] if path in made else Kept.read(path, paths.there[path]) for path in paths.every]
    images.write(paths.sheet, sheet(rows, shown))
    yield Written(str(paths.sheet))
