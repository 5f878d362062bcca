"""Conditions and prompts → images, for `cn sample` and the previews of training."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from cn.model.base import Base
from cn.model.ddim import ddim_sample, draw_noise
from cn.model.decoding import decode
from cn.model.graphed import GraphedUNet
from cn.model.graphs import Graphs
from cn.model.guidance import ControlInput, GuidedUNet


@dataclass(frozen=True)
class Request:
    """One image to sample. Its noise depends on its own seed alone."""

    prompt: str
    seed: int
    negative: str = ""


@dataclass(frozen=True)
class Sampling:
    """Settings of sampling; the defaults are the paper's (§4.1: 20 DDIM steps, guidance scale 9)."""

    height: int = 512
    width: int = 512
    steps: int = 20
    scale: float = 9.0
    eta: float = 0.0
    guess: bool = False


def to_hint(image: np.ndarray, device: torch.device, dtype: torch.dtype) -> Tensor:
    """uint8 (H, W, 3) → (1, 3, H, W) in [0, 1], as every ControlNet takes its condition."""
    return torch.from_numpy(np.ascontiguousarray(image)).permute(2, 0, 1)[None].to(device, dtype) / 255


def to_images(decoded: Tensor) -> np.ndarray:
    """(B, 3, H, W) in [-1, 1] → uint8 (B, H, W, 3), rounded half to even (diffusers' postprocessing)."""
    scaled = (decoded.float() / 2 + 0.5).clamp(0, 1).permute(0, 2, 3, 1) * 255
    return scaled.round().to(torch.uint8).cpu().numpy()


@torch.inference_mode()
def generate(
    base: Base,
    requests: Sequence[Request],
    sampling: Sampling,
    controls: Sequence[ControlInput] = (),
    *,
    batch_size: int = 1,
    on_step: Callable[[], None] | None = None,
    graphs: Graphs | None = None,
) -> Iterator[np.ndarray]:
    """Yield one uint8 (H, W, 3) image per request, in order.

    Each control's hint is (1, 3, H, W) for all requests, or one row per request. An image does not depend on the batch
    composition: bit for bit at one `batch_size`, and up to rounding between different ones. With `graphs`, on a GPU,
    the steps are captured in CUDA graphs, which are kept there for later calls.
    Raises ValueError if a side is not a multiple of the VAE's factor (8 pixels), or a hint has another size.
    """
    _check_sizes(base, sampling, controls)
    cells = sampling.height // base.config.vae.factor, sampling.width // base.config.vae.factor
    shared = [c.with_encoded(cells) if c.hint.shape[0] == 1 else c for c in controls]
    for first in range(0, len(requests), batch_size):
        part = requests[first : first + batch_size]
        own = [c.rows(first, len(part)) for c in shared]
        inputs = [c if c.encoded is not None else c.with_encoded(cells) for c in own]
        yield from _generate_batch(base, part, sampling, inputs, on_step, graphs)


def _generate_batch(
    base: Base,
    requests: Sequence[Request],
    sampling: Sampling,
    controls: Sequence[ControlInput],
    on_step: Callable[[], None] | None,
    graphs: Graphs | None,
) -> Iterator[np.ndarray]:
    factor, config = base.config.vae.factor, base.config
    generators = [torch.Generator().manual_seed(r.seed) for r in requests]
    shape = (config.vae.latent_channels, sampling.height // factor, sampling.width // factor)
    # Under autocast, as during training, the sampler's own arithmetic stays in fp32.
    dtype = torch.float32 if torch.is_autocast_enabled(base.device.type) else base.dtype
    z = draw_noise(generators, shape).to(base.device, dtype)
    cond = base.text.encode([r.prompt for r in requests])
    uncond = base.text.encode([r.negative for r in requests]) if sampling.scale != 1 else cond
    network = GuidedUNet(
        base.unet, config.schedule, cond, uncond, tuple(controls), sampling.steps, sampling.scale, sampling.guess
    )
    predict = network if graphs is None else GraphedUNet(network, graphs)
    for state in ddim_sample(base.schedule, predict, z, sampling.steps, eta=sampling.eta, generators=generators):
        z = state
        if on_step is not None:
            on_step()
    yield from to_images(decode(base.vae, z))


def _check_sizes(base: Base, sampling: Sampling, controls: Sequence[ControlInput]) -> None:
    multiple = base.config.vae.factor
    if sampling.height % multiple or sampling.width % multiple or min(sampling.height, sampling.width) < multiple:
        raise ValueError(f"{sampling.width}×{sampling.height}: both sides must be multiples of {multiple} pixels")
    for control in controls:
        if tuple(control.hint.shape[-2:]) != (sampling.height, sampling.width):
            raise ValueError(f"a condition of {tuple(control.hint.shape[-2:])} for an image of another size")
