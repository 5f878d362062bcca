"""How a run computes gradients and latents: as they are written, compiled, or by replaying a CUDA graph, or both."""

from dataclasses import dataclass, replace

import torch
from torch import nn

from cn.model.compiled import MAX_SHAPES
from cn.train.config import TrainConfig
from cn.train.networks import TrainingNetworks

SD_WORK = 4096 * 1.22e9
"""Latent cells times parameters of U-Net and control, for one image of Stable Diffusion's size at 512×512."""
SAVED_SECONDS = 0.002
"""What compiling saves for each such image, beyond what a graph saves: a batch of 16 takes 0.132 instead of 0.164 s,
besides encoding (H200, bf16, 2026-11-29). Slower GPUs save more, so that a run that pays there pays on them too."""
COMPILE_SECONDS = 200
"""The time to compile the loss of such a network and its backward pass, mostly on the CPU."""
SD_ENCODING = 4096 * 34.2e6
"""Latent cells times parameters of the autoencoder's encoder, for one image of Stable Diffusion's."""
SAVED_BY_ENCODING = 0.0024
"""What a compiled encoder saves for each such image: 16 take 0.058 instead of 0.096 s (as above)."""
COMPILE_ENCODER_SECONDS = 25
MIN_CAPTURED = 30
"""Batches from which on a graph is captured, which takes as long as a few of them."""
MAX_CAPTURED_IMAGES = 8
"""Images of Stable Diffusion's size, or as much work, in a batch that is captured at most. A graph launches the kernels
of a step as one: the bundled base is 6 to 11 times as fast, Stable Diffusion up to 1.8 times at batch 4, depending on
the CPU. Larger batches keep the GPU busy by themselves: 16 are no faster as a graph (as above), which takes memory."""


@dataclass(frozen=True)
class Way:
    """Whether a function is compiled, and whether it, or what was compiled of it, is captured in a CUDA graph."""

    compiled: bool = False
    captured: bool = False


PLAIN = Way()


def choose_way(
    networks: TrainingNetworks, config: TrainConfig, steps: int, device: torch.device, *, local: bool
) -> Way:
    """Of the step, for `steps` more of them, in each process. Without --compile or --no-compile, what pays.

    A graph replays kernels, and with them their bits, so it suits deterministic runs too. Compiled code may be tuned
    differently the next time. Where gradients are not `local` (`World.is_local`), it compiles only when told to.
    """
    batches = steps * config.accumulate
    work = config.batch_size * image_work(networks, config) / SD_WORK
    pays = batches * work * SAVED_SECONDS > COMPILE_SECONDS * _shapes(config)
    return _way(config, device, batches, work, pays=pays, local=local)


def choose_encoding(
    networks: TrainingNetworks, config: TrainConfig, steps: int, device: torch.device, *, local: bool, kept: int | None
) -> Way:
    """Of encoding images: the `kept` ones one at a time, or without that each batch anew."""
    batches = steps * config.accumulate if kept is None else kept
    images = config.batch_size if kept is None else 1
    work = images * _cells(networks, config) * _parameters(networks.base.vae.encoder) / SD_ENCODING
    pays = batches * work * SAVED_BY_ENCODING > COMPILE_ENCODER_SECONDS * _shapes(config)
    way = _way(config, device, batches, work, pays=pays, local=local)
    return replace(way, compiled=pays and way.compiled) if kept is not None else way


def _way(config: TrainConfig, device: torch.device, batches: int, work: float, *, pays: bool, local: bool) -> Way:
    """For so many batches of so much `work`, in images of Stable Diffusion's size."""
    if config.compile is False:
        return PLAIN
    pays = pays and device.type == "cuda" and local and not config.deterministic
    captured = may_capture(config, device, local=local) and batches >= MIN_CAPTURED and work <= MAX_CAPTURED_IMAGES
    return Way(compiled=bool(config.compile) or pays, captured=captured)


def may_capture(config: TrainConfig, device: torch.device, *, local: bool) -> bool:
    """Whether anything is captured in CUDA graphs in this run."""
    return device.type == "cuda" and local and config.compile is not False


def way_text(way: Way) -> str:
    """What the plan says of the step; nothing where the networks run as they are written."""
    return (", compiled at the start (minutes)" if way.compiled else "") + (", as a CUDA graph" if way.captured else "")


def image_work(networks: TrainingNetworks, config: TrainConfig) -> float:
    """Latent cells of an image times parameters that it goes through: a measure of the time that it takes a GPU."""
    return _cells(networks, config) * sum(map(_parameters, (networks.base.unet, networks.control)))


def _cells(networks: TrainingNetworks, config: TrainConfig) -> int:
    return (config.size // networks.base.config.vae.factor) ** 2


def _parameters(network: nn.Module) -> int:
    return sum(p.numel() for p in network.parameters())


def _shapes(config: TrainConfig) -> int:
    """For how many shapes of batches something is compiled."""
    return MAX_SHAPES if config.buckets else 1
