"""How the gradients of a run are computed: plainly, compiled, or by replaying a CUDA graph."""

from typing import Literal

import torch

from cn.train.config import TrainConfig
from cn.train.fast.engines import MAX_SHAPES
from cn.train.networks import TrainingNetworks

Way = Literal["plain", "compiled", "captured"]

SD_WORK = 4096 * 1.22e9
"""Latent cells times parameters of U-Net and control, for one image of Stable Diffusion's size at 512×512."""
SAVED_SECONDS = 0.0155
"""What a compiled step saves for each such image: 0.175 s of four images became 0.113 s (H200, bf16). Slower GPUs save
more, so that a run that pays there pays on them too."""
COMPILE_SECONDS = 150
"""The time to compile the loss of such a network and its backward pass, mostly on the CPU."""
MAX_CAPTURED_WORK = 1e12
"""Cells times parameters of a batch up to which launching the kernels takes longer than running them. The bundled base
takes 0.1 s for a step of 4 images and of 32 (1.4e10 each, H200); a Stable Diffusion is above at any batch size."""
MIN_CAPTURED_STEPS = 30
"""To capture takes as long as about 20 steps of 0.1 s."""


def choose_way(
    networks: TrainingNetworks, config: TrainConfig, steps: int, device: torch.device, *, alone: bool
) -> Way:
    """For `steps` more steps; `alone` in one process. Without --compile or --no-compile, what pays on a GPU.

    A graph replays kernels, and with them their bits, so it suits deterministic runs too. Compiled code may be tuned
    differently the next time. Several processes compile only where they are told to.
    """
    if config.compile is not None:
        return "compiled" if config.compile else "plain"
    if device.type != "cuda":
        return "plain"
    work = image_work(networks, config)
    if alone and config.batch_size * work <= MAX_CAPTURED_WORK:
        return "captured" if steps * config.accumulate >= MIN_CAPTURED_STEPS else "plain"
    saved = steps * config.accumulate * config.batch_size * SAVED_SECONDS * work / SD_WORK
    pays = saved > COMPILE_SECONDS * (MAX_SHAPES if config.buckets else 1)
    return "compiled" if pays and alone and not config.deterministic else "plain"


def way_text(networks: TrainingNetworks, config: TrainConfig, steps: int) -> str:
    """What the plan says of it; nothing where the networks run as they are written."""
    way = choose_way(networks, config, steps, networks.device, alone=True)
    return {"plain": "", "compiled": ", compiled at the start (minutes)", "captured": ", as a CUDA graph"}[way]


def image_work(networks: TrainingNetworks, config: TrainConfig) -> float:
    """Latent cells of an image times parameters that it goes through: a measure of the time that it takes a GPU."""
    cells = (config.size // networks.base.config.vae.factor) ** 2
    return cells * sum(p.numel() for network in (networks.base.unet, networks.control) for p in network.parameters())
