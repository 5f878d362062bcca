"""A checked request → images: load the networks, fit the conditions, sample one image after the other."""

import contextlib
import math
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from itertools import chain, islice, tee
from types import MappingProxyType

import numpy as np
import torch

from cn import images
from cn.checkpoints.read.load import Control, check_fits, open_control
from cn.devices import choose_device, sampling_dtype
from cn.errors import CnError, InputError, UsageError, about, is_memory_error
from cn.images import exif_text
from cn.model.base import Base
from cn.model.chunks import chunk_count
from cn.model.engine import SamplingEngine
from cn.model.generate import Request, Sampling, chunks_of
from cn.model.kernel_choice import begin_kernels
from cn.precision import precision_of
from cn.sample import png_metadata
from cn.sample.base_files import open_sampling_base
from cn.sample.batches import ControlSetting, Previewing, Settings, Wanted, sample_batches
from cn.sample.fit import fit
from cn.sample.options import AUTO, BASE_KEY, SpeedOptions
from cn.sample.prompts import prompt_warnings
from cn.sample.request import SampleRequest, changed, with_article
from cn.sample.sizes import own_size, size_of
from cn.sample.speed import JobSize, batch_size, free_gpu_bytes, make_engine, prepare, takes_kernels
from cn.sample.start_image import GivenImage, put_together
from cn.weights import bundled


@dataclass(frozen=True)
class Sample:
    """One image, uint8 (h, w, 3), its prompt and seed, and what makes its metadata."""

    image: np.ndarray
    prompt: str
    seed: int
    describe: Callable[[], dict[str, str]]

    @cached_property
    def text(self) -> dict[str, str]:
        """The texts of its metadata. Made when they are needed, in the thread that writes the file."""
        return self.describe()

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write it as an image; a PNG, JPEG or WebP carries all that `cn sample --from` needs to reproduce it."""
        format = "PNG" if os.fspath(path) == "-" else images.format_of(path)
        with about(path):
            exif = png_metadata.to_exif(self.text, format) if format in exif_text.FORMATS else None
        images.write(os.fspath(path), self.image, self.text, exif=exif)

    def _repr_png_(self) -> bytes:
        """For notebooks."""
        return images.encode(self.image)


@dataclass(frozen=True)
class SamplingPipeline:
    """A request with its networks in memory, its size and precision chosen.

    `hints` are the conditions at the images' size, uint8 (h, w, 3).
    """

    request: SampleRequest
    base: Base
    controls: tuple[Control, ...]
    size: tuple[int, int]
    hints: tuple[np.ndarray, ...]
    start_image: GivenImage | None = None
    """The image to start from and its mask, at the images' size."""

    @classmethod
    def open(
        cls,
        request: SampleRequest,
        *,
        device: str = "auto",
        base: Base | None = None,
        controls: Mapping[str, Control] = MappingProxyType({}),
        speed: SpeedOptions = AUTO,
    ) -> "SamplingPipeline":
        """Load what the request needs, except `base` and `controls` (by the request's names), which are loaded already.

        What `speed` needs of a GPU is begun meanwhile. WeightsError when weights are missing or do not fit each other.
        """
        if base is None:
            where = choose_device(device)
            dtype = sampling_dtype(request.precision, where)
            if takes_kernels(where, dtype, speed):
                begin_kernels(where, dtype)
            base = open_sampling_base(request, where, dtype)
        if base.config.unet.has_mask and (request.start_image is None or request.start_image.mask is None):
            raise UsageError("this is an inpainting base: give it --image and --mask", path=request.base)
        wanted = dict.fromkeys(c.control for c in request.conditions)
        loaded = {name: controls.get(name) or _open_control(name, base, request.base) for name in wanted}
        for name, control in loaded.items():
            check_fits(control, base, name)

        start, size = request.start_image, size_of(request, base.config)
        own = partial(own_size, request=request, config=base.config)
        hints = tuple(
            fit(c.image, c.kind or loaded[c.control].kind, size, own(c.image), c.name, request.fit)
            for c in request.conditions
        )
        start = start and start.at(size, own(start.image))
        precision = precision_of(base.dtype)
        scale = base.config.guidance_scale if request.scale is None else request.scale
        request = changed(request, {"size": size, "scale": scale})
        request = replace(request, precision=precision, prediction=base.config.schedule.prediction)
        return cls(request, base, tuple(loaded[c.control] for c in request.conditions), size, hints, start)

    @property
    def hashes(self) -> dict[str, str]:
        """SHA-256 of every weights file in use."""
        names = [c.control for c in self.request.conditions]
        found = {BASE_KEY: self.base.sha256, **self.base.added}
        return found | {n: c.sha256 for n, c in zip(names, self.controls, strict=True)}

    def warnings(self) -> list[str]:
        """Warnings to show before sampling starts: mismatches that do not prevent sampling."""
        return self.condition_warnings() + self.prompt_warnings()

    def prompt_warnings(self) -> list[str]:
        """Those about the prompts."""
        return prompt_warnings([*self.request.prompts, self.request.negative], self.request.prompt_syntax)

    def condition_warnings(self) -> list[str]:
        """Those about conditions and controls."""
        found = []
        for condition, control, hint in zip(self.request.conditions, self.controls, self.hints, strict=True):
            if condition.kind and control.kind and condition.kind != control.kind:
                kind = with_article(condition.kind)
                found.append(f"{condition.name} is {kind} map, but {condition.control} follows {control.kind}")
                wrong = list(condition.origin.warnings)
            else:
                wrong = condition.warnings(control.kind or condition.kind)
            found += [f"{condition.name}: {warning}" for warning in wrong]
            if control.base_sha256 not in ("", self.base.sha256, self.base.source_sha256):
                found.append(f"{condition.control} was trained on another base of the same shapes")
            if not hint.any() and not wrong:
                found.append(f"{condition.name} is entirely black: there is nothing to follow")
        if self.start_image is not None and self.request.start_image is not None:
            found += self.request.start_image.warnings(self.start_image)
        if self.request.sigmas == "karras" and self.base.config.schedule.zero_terminal_snr:
            found.append("--sigmas karras spends most steps of a base that begins at pure noise where it sees nothing")
        return found

    def fits_jpeg(self) -> bool:
        """Whether the metadata of the first image, with its condition images, fits into a JPEG."""
        return png_metadata.fits_jpeg(self.text(self.request.prompts[0], self.request.seed))

    def text(self, prompt: str, seed: int) -> dict[str, str]:
        """The metadata of one image."""
        return png_metadata.to_text(
            self.request, self.hints, prompt, seed, self.hashes, self.start_image, self._encoder
        )

    @cached_property
    def _encoder(self) -> png_metadata.Encoder:
        return png_metadata.Encoder()

    def samples(
        self,
        on_step: Callable[[int], object] = lambda count: None,
        *,
        speed: SpeedOptions = AUTO,
        warn: Callable[[str], None] = lambda message: None,
    ) -> Iterator[Sample]:
        """Yield the images: for each prompt, seeds `seed`, `seed` + 1, … See `batches_of`."""
        return chain.from_iterable(batches_of([self], on_step, speed=speed, warn=warn))

    @property
    def chunks(self) -> int:
        """Of 77 tokens each, of the longest prompt."""
        r = self.request
        return max(chunk_count(r.prompt_syntax, prompt, r.negative) for prompt in r.prompts)

    def wanted(self) -> list[Wanted]:
        """The images of the request, in order."""
        r, (height, width) = self.request, self.size
        assert r.scale is not None
        controls = tuple(
            ControlSetting(control.model, c.strength, c.start, c.end, c.masked)
            for c, control in zip(r.conditions, self.controls, strict=True)
        )
        sampling = Sampling(height, width, r.steps, r.scale, r.eta, r.guess, r.sampler, r.sigmas)
        requests = [
            Request(prompt, r.seed + i, r.negative, r.prompt_syntax) for prompt in r.prompts for i in range(r.count)
        ]
        given = self.start_image
        start = None if given is None else given.start(r.share)
        return [
            Wanted(one, Settings(sampling, controls, chunks_of(one, sampling), start), self.hints) for one in requests
        ]

    def finished(self, image: np.ndarray, prompt: str, seed: int) -> Sample:
        """A sampled image, with what its mask keeps of the one that was given, and its metadata."""
        given = self.start_image
        if given is not None and given.mask is not None:
            image = put_together(image, given.image, given.mask, self.request.mask_feather)
        return Sample(image, prompt, seed, partial(self.text, prompt, seed))


def batches_of(
    pipelines: Sequence[SamplingPipeline],
    on_step: Callable[[int], object] = lambda count: None,
    *,
    speed: SpeedOptions = AUTO,
    warn: Callable[[str], None] = lambda message: None,
    engine: SamplingEngine | None = None,
    previews: Previewing | None = None,
) -> Iterator[list[Sample]]:
    """Yield the images of pipelines with the same base, in order, in batches.

    Neighbours of the same settings are sampled at once. An image depends on their number by rounding only; on a CPU
    they are sampled one at a time. `on_step` is told of steps: how many images have taken one more. `engine` is one of
    an earlier call, with what it has compiled and captured; `previews` is as in `sample_batches`.
    """
    base, job = pipelines[0].base, job_size(pipelines)
    size = batch_size(job, speed, lambda: free_gpu_bytes(base.device))
    if engine is None:
        engine = make_engine(job, size, speed, base.device, warn)
    else:
        # It may be of an earlier call, with other controls.
        prepare(job, speed, base.device, warn)
    owned, again = tee((pipeline, wanted) for pipeline in pipelines for wanted in pipeline.wanted())
    with _report_out_of_memory(job.size, base.device):
        sampled = sample_batches(base, (wanted for _, wanted in again), engine, size, on_step, previews)
        for arrived in sampled:
            theirs = zip(arrived, islice(owned, len(arrived)), strict=True)
            yield [one.finished(image, wanted.request.prompt, wanted.request.seed) for image, (one, wanted) in theirs]


def job_size(pipelines: Sequence[SamplingPipeline], images: int | None = None) -> JobSize:
    """What pipelines sample; `images` where these are only the first of more."""
    total = sum(pipeline.request.total for pipeline in pipelines)
    steps = sum(pipeline.request.total_steps for pipeline in pipelines)
    largest = max((pipeline.size for pipeline in pipelines), key=math.prod)
    models = tuple(dict.fromkeys(control.model for pipeline in pipelines for control in pipeline.controls))
    chunks = max(pipeline.chunks for pipeline in pipelines)
    return JobSize(pipelines[0].base, models, largest, images or total, round(steps / total), chunks)


def engine_of(
    pipelines: Sequence[SamplingPipeline], speed: SpeedOptions, warn: Callable[[str], None], images: int
) -> SamplingEngine:
    """The engine for `images` in all, of which these pipelines are the first."""
    job = job_size(pipelines, images)
    return make_engine(
        job, batch_size(job, speed, lambda: free_gpu_bytes(job.base.device)), speed, job.base.device, warn
    )


def _open_control(name: str, base: Base, base_name: str) -> Control:
    given = None
    # A base in memory need not be there any more; only controls that are stored as differences to it need its file.
    with contextlib.suppress(CnError):
        given = bundled.find(base_name, role="base")
    return open_control(bundled.find(name, role="control"), base.device, base.dtype, base=given)


@contextlib.contextmanager
def _report_out_of_memory(size: tuple[int, int], device: torch.device) -> Iterator[None]:
    """InputError when the device runs out of memory."""
    try:
        yield
    except RuntimeError as error:
        if not is_memory_error(error):
            raise
        raise InputError(
            f"{device} has too little memory for images of {size[1]}×{size[0]}; give a smaller --size"
        ) from error
