"""Conditions and prompts → images, for `cn sample` and the previews of training."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from cn.model.base import Base
from cn.model.chunks import chunk_count, encode
from cn.model.config import PAPER_SCALE
from cn.model.decoding import Decoding, to_pixels
from cn.model.emphasis import PromptSyntax
from cn.model.engine import PLAIN, SamplingEngine
from cn.model.guidance import ControlInput, GuidedUNet
from cn.model.samplers.choose import choose_sampler
from cn.model.samplers.loop import sample
from cn.model.samplers.settings import SamplerName, Sigmas
from cn.model.start import StartImage, begin
from cn.model.transfers import upload
from cn.model.watch import Watch


@dataclass(frozen=True)
class Request:
    """One image to sample. Its noise depends on its own seed alone."""

    prompt: str
    seed: int
    negative: str = ""
    syntax: PromptSyntax = "plain"
    """Of both prompts."""


@dataclass(frozen=True)
class Sampling:
    """Settings of sampling; the defaults are the paper's (§4.1: 20 DDIM steps, guidance scale 9)."""

    height: int = 512
    width: int = 512
    steps: int = 20
    scale: float = PAPER_SCALE
    eta: float = 0.0
    guess: bool = False
    sampler: SamplerName = "ddim"
    sigmas: Sigmas = "default"


def to_hint(image: np.ndarray, device: torch.device, dtype: torch.dtype) -> Tensor:
    """uint8 (H, W, 3) → (1, 3, H, W) in [0, 1], as every ControlNet takes its condition."""
    return upload(torch.from_numpy(np.ascontiguousarray(image)), device).permute(2, 0, 1)[None].to(dtype) / 255


def to_images(decoded: Tensor) -> np.ndarray:
    """`to_pixels` on the CPU."""
    return to_pixels(decoded).cpu().numpy()


@torch.inference_mode()
def generate(
    base: Base,
    requests: Sequence[Request],
    sampling: Sampling,
    controls: Sequence[ControlInput] = (),
    *,
    start: StartImage | None = None,
    batch_size: int = 1,
    on_step: Callable[[], None] | None = None,
    engine: SamplingEngine = PLAIN,
) -> Iterator[np.ndarray]:
    """Yield one uint8 (H, W, 3) image per request, in order.

    Each control's hint is (1, 3, H, W) for all requests, or one row per request. An image does not depend on the batch
    composition: bit for bit at one size of the batch, and up to rounding between different ones. A batch holds
    neighbours whose prompts have as many chunks (`chunks_of`), so it may be smaller than `batch_size`. `engine` decides
    how the networks are computed; what it compiles and captures is kept there for later calls.
    All images start from the image of `start`, if there is one; what its mask keeps of it is not put into the result.
    Raises ValueError if a side is not a multiple of the VAE's factor (8 pixels), or a hint or `start` has another size;
    and for an inpainting base without a mask.
    """
    _check_sizes(base, sampling, controls, start)
    cells = sampling.height // base.config.vae.factor, sampling.width // base.config.vae.factor
    shared = [c.with_encoded(cells) if c.hint.shape[0] == 1 else c for c in controls]
    waiting = None
    for first, part in _batches(requests, batch_size, sampling):
        own = [c.rows(first, len(part)) for c in shared]
        launched = launch(base, part, sampling, own, start, on_step, engine)
        # While a GPU samples, the images of the batch before are taken and saved.
        yield from waiting or ()
        waiting = launched
        if base.device.type != "cuda":
            yield from waiting
            waiting = None
    yield from waiting or ()


@dataclass(frozen=True)
class Launched:
    """The images of a batch, which a GPU may still have to compute."""

    decoding: Decoding | None = None

    def __iter__(self) -> Iterator[np.ndarray]:
        """uint8 (H, W, 3) each, once it has arrived."""
        if self.decoding is not None:
            yield from self.decoding.pixels().numpy()


@torch.inference_mode()
def launch(
    base: Base,
    requests: Sequence[Request],
    sampling: Sampling,
    controls: Sequence[ControlInput] = (),
    start: StartImage | None = None,
    on_step: Callable[[], None] | None = None,
    engine: SamplingEngine = PLAIN,
    watch: Watch | None = None,
) -> Launched:
    """`generate` for one batch, of prompts with as many chunks; a GPU is given the work, and not waited for.

    `on_step` is told of each step then. With `watch` it is waited for, whenever an estimate is shown.
    """
    _check_sizes(base, sampling, controls, start)
    factor, config = base.config.vae.factor, base.config
    cells = sampling.height // factor, sampling.width // factor
    inputs = [c if c.encoded is not None else c.with_encoded(cells) for c in controls]
    inputs = [c.rows(0, len(requests)) for c in inputs]
    generators = [torch.Generator().manual_seed(r.seed) for r in requests]
    shape = (config.vae.latent_channels, *cells)
    # Under autocast, as during training, the sampler's own arithmetic stays in fp32.
    dtype = torch.float32 if torch.is_autocast_enabled(base.device.type) else base.dtype
    schedule = base.schedule
    sampler = choose_sampler(schedule, sampling.steps, sampling.sampler, sampling.sigmas, sampling.eta)
    beginning = begin(base, sampler, generators, shape, dtype, start)
    chunks = chunks_of(requests[0], sampling)
    cond = encode(base.text, [(r.prompt, r.syntax) for r in requests], chunks)
    uncond = encode(base.text, [(r.negative, r.syntax) for r in requests], chunks) if sampling.scale != 1 else cond
    network = GuidedUNet(
        base.unet,
        config.schedule,
        cond,
        uncond,
        tuple(inputs),
        len(beginning.steps),
        sampling.scale,
        sampling.guess,
        beginning.extra,
    ).with_contexts()
    z, predict = beginning.z, engine.of(network)
    predict = predict if watch is None else watch.of(predict, schedule)
    for state in sample(schedule, predict, z, beginning.steps, sampler.method(generators), beginning.keep):
        z = state
        if on_step is not None:
            on_step()
    return Launched(Decoding.of(base.vae, z))


def chunks_of(request: Request, sampling: Sampling) -> int:
    """Chunks of 77 tokens that the network attends to; without guidance the negative prompt is not used."""
    return chunk_count(request.syntax, request.prompt, *[request.negative] * (sampling.scale != 1))


def _batches(requests: Sequence[Request], size: int, sampling: Sampling) -> Iterator[tuple[int, Sequence[Request]]]:
    """(number of the first, requests) of each batch: neighbours of as many chunks, since padding changes an image."""
    first = 0
    for number in range(1, len(requests) + 1):
        full = number - first == size or number == len(requests)
        if full or chunks_of(requests[number], sampling) != chunks_of(requests[first], sampling):
            yield first, requests[first:number]
            first = number


def _check_sizes(base: Base, sampling: Sampling, controls: Sequence[ControlInput], start: StartImage | None) -> None:
    multiple = base.config.vae.factor
    if sampling.height % multiple or sampling.width % multiple or min(sampling.height, sampling.width) < multiple:
        raise ValueError(f"{sampling.width}×{sampling.height}: both sides must be multiples of {multiple} pixels")
    for control in controls:
        if tuple(control.hint.shape[-2:]) != (sampling.height, sampling.width):
            raise ValueError(f"a condition of {tuple(control.hint.shape[-2:])} for an image of another size")
    if start is not None and tuple(start.image.shape[-2:]) != (sampling.height, sampling.width):
        raise ValueError(f"a start of {tuple(start.image.shape[-2:])} for an image of another size")
    if base.config.unet.has_mask and (start is None or start.mask is None):
        raise ValueError("an inpainting base needs an image and a mask")
