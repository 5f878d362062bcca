"""The memory that a run needs, from a step of tensors without values: forward and backward pass of shapes alone."""

from dataclasses import dataclass, replace
from functools import lru_cache

import torch
from torch import Tensor, nn

from cn.model.base import Base
from cn.model.config import ModelConfig
from cn.precision import Precision
from cn.train.cache.several import Caches
from cn.train.config import TrainConfig
from cn.train.live_bytes import LiveBytes, norms_as_on_cuda
from cn.train.loss import diffusion_loss
from cn.train.networks import TrainingNetworks, assemble, fresh_control
from cn.train.optimizer import moment_bytes
from cn.train.options.model import Unlock
from cn.train.shape_tensors import ShapeTensor, empty

FP32_BYTES = 4
_CUBLAS_WORKSPACE = 32 << 20
"""Of Hopper GPUs; torch keeps one for the thread of the forward pass and one for that of the backward pass."""
_KERNELS_FP32, _KERNELS_HALF, _KERNELS_PREVIEW = 80_000_000, 110_000_000, 45_000_000

_FRAGMENTS = 0.3
"""On a CPU: of the memory of a step whose activations are recomputed, what the allocator loses between tensors that
come and go, as measured (bundled base)."""


def kept_by_libraries(device: str, precision: Precision, *, previews: bool = False, captured: bool = False) -> int:
    """What does not depend on the networks' sizes: on a CPU oneDNN's kernels and scratch memory for each shape, and the
    images that are read ahead, as measured; on CUDA the workspaces of cuBLAS, which a graph has its own of."""
    if device == "cpu":
        return (_KERNELS_FP32 if precision == "fp32" else _KERNELS_HALF) + (_KERNELS_PREVIEW if previews else 0)
    return (4 if captured else 2) * _CUBLAS_WORKSPACE if device == "cuda" else 0


@dataclass(frozen=True)
class MemoryEstimate:
    """Bytes at the moment of a run when they are most, without what torch itself takes.

    `weights` of all networks; `optimizer`: its moments, and averaged weights; `computing`: activations, gradients and
    copies, in the step, or while images are encoded, previewed or saved, whichever takes most.
    """

    weights: int
    optimizer: int
    computing: int

    @property
    def total(self) -> int:
        return self.weights + self.optimizer + self.computing


def estimate_memory(
    base_config: ModelConfig,
    config: TrainConfig,
    device: torch.device | str = "cpu",
    *,
    encoded: int = 1,
    captured: bool = False,
) -> MemoryEstimate:
    """The memory that this run needs on this device; the networks are never created.

    `encoded` is how many images are encoded to latents at once; 0 where a cache has the latents. A step that is
    `captured` in a CUDA graph keeps its memory while other things are computed. Seconds for networks
    of Stable Diffusion's size. Computed on the CPU for every device, so that it needs no GPU and takes none of its
    memory.
    """
    # Evaluations sample as many images at once as previews do. What decides nothing would make the cache worthless.
    sampled = min(1, config.preview_every + config.eval_every)
    plain = replace(config, steps=1, warmup=0, save_every=1, seed=0, preview_every=sampled, eval_every=0, eval_images=0)
    return _estimate(base_config, plain, torch.device(device).type, encoded, captured)


def at_once(config: TrainConfig, unlocked: Unlock) -> TrainConfig:
    """The configuration of a run that trains this part of the base from the start."""
    return config if config.baseline == "concat" else replace(config, unlock=unlocked, large_scale_after=0)


def encoded_at_once(kept: int, config: TrainConfig, cache: Caches | None) -> int:
    """How many images a run encodes at once: none where a cache has their latents, one where `kept` bytes of latents
    stay in memory, else a batch."""
    if cache is not None and cache.complete and not config.flip:
        return 0
    return 1 if kept else config.batch_size


@lru_cache(maxsize=32)
def _estimate(
    base_config: ModelConfig, config: TrainConfig, device: str, encoded: int, captured: bool
) -> MemoryEstimate:
    networks = shape_networks(base_config, config, encoder=encoded > 0)
    if device == "cuda":
        # Where half precision is not held, nor asked of the norms: see `cn.train.fast.locked`.
        for part in (networks.base.unet.encoder, networks.base.unet.decoder):
            if any(p.requires_grad for p in part.parameters()):
                norms_as_on_cuda(part)
    sizes = [p.numel() for p in networks.trainable.values()]
    moments, gradients = moment_bytes(sizes, config), FP32_BYTES * sum(sizes)
    step, encoding = _step_peak(networks, config), _encoding_peak(networks, config, encoded)
    if device == "cpu" and config.checkpoint_activations:
        step += round(_FRAGMENTS * (step - (gradients if config.accumulate > 1 else 0)))
    preview = _preview_peak(networks, config) if config.preview_every else 0
    if captured:
        computing = step + max(encoding, preview)
    else:
        computing = max(step, encoding + (gradients if config.accumulate > 1 else 0), preview and preview + gradients)
    weights = sum(p.numel() * p.element_size() for p in _parameters(networks))
    averages = FP32_BYTES * sum(sizes) if config.ema else 0
    libraries = kept_by_libraries(device, config.precision, previews=config.preview_every > 0, captured=captured)
    return MemoryEstimate(weights, moments + averages, computing + libraries)


def shape_networks(base_config: ModelConfig, config: TrainConfig, *, encoder: bool = True) -> TrainingNetworks:
    """The networks of a run without values, each parameter in the dtype that it has there.

    Without `encoder` that of the autoencoder stays on the meta device, as in a run whose latents come from a cache.
    """
    base = Base.create(base_config, "meta")
    networks = assemble(base, fresh_control(base, config), config)
    left_out = set() if encoder else set(base.vae.encoder.modules())
    for network in (*base.networks.values(), networks.control):
        for module in set(network.modules()) - left_out:
            for name, parameter in module._parameters.items():
                if parameter is not None:
                    shape = ShapeTensor(parameter.detach(), requires_grad=parameter.requires_grad)
                    module._parameters[name] = shape  # type: ignore[assignment]
            for name, buffer in module._buffers.items():
                module._buffers[name] = None if buffer is None else ShapeTensor(buffer)
    trainable = {f"control.{name}": p for name, p in networks.control.named_parameters() if p.requires_grad}
    trainable |= {f"unet.{name}": p for name, p in base.unet.named_parameters() if p.requires_grad}
    return replace(networks, trainable=trainable)


def _parameters(networks: TrainingNetworks) -> list[nn.Parameter]:
    nets = (networks.control, *networks.base.networks.values())
    return [p for net in nets for p in net.parameters() if not p.is_meta]


def _inputs(networks: TrainingNetworks, config: TrainConfig, images: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """z_t (B, 4, H, W), hint (B, 3, 8H, 8W), text (B, 77, C) as its encoder returns it, and t (B,); without values."""
    base, side = networks.base.config, config.size // networks.base.config.vae.factor
    text = next(networks.base.text.parameters()).dtype
    return (
        empty(images, base.vae.latent_channels, side, side),
        empty(images, 3, config.size, config.size),
        empty(images, base.text.context_length, base.unet.context_dim, dtype=text),
        empty(images, dtype=torch.long),
    )


def _step_peak(networks: TrainingNetworks, config: TrainConfig) -> int:
    """Forward and backward pass of one micro-batch; of a later one, where there are several, beside the gradients."""
    live = LiveBytes()
    if config.accumulate > 1:
        for parameter in networks.trainable.values():
            parameter.grad = torch.empty_like(parameter)
            live.add([parameter.grad])
    with live:
        z, hint, text, t = _inputs(networks, config, config.batch_size)
        noise = torch.empty_like(z)
        base, min_snr = networks.base, config.min_snr
        with networks.autocast():
            loss = diffusion_loss(base.unet, networks.control, base.schedule, z, hint, text, t, noise, min_snr=min_snr)
        loss.backward()
    for parameter in networks.trainable.values():
        parameter.grad = None
    return live.peak


@torch.no_grad()
def _encoding_peak(networks: TrainingNetworks, config: TrainConfig, images: int) -> int:
    if images == 0:
        return 0
    with LiveBytes() as live:
        networks.base.vae.encode(_inputs(networks, config, images)[1])
    return live.peak


@torch.no_grad()
def _preview_peak(networks: TrainingNetworks, config: TrainConfig) -> int:
    """One image is sampled at a time, with and without its prompt at once, then decoded."""
    base = networks.base
    with LiveBytes() as live, networks.autocast():
        z, hint, text, t = _inputs(networks, config, 2)
        base.unet(z, t, text, networks.control(z, t, text, hint))
        base.vae.decode(z[:1])
    return live.peak
