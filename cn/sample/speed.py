"""How a job is computed: how many images at once, and whether networks are compiled or captured in CUDA graphs."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import nn

from cn.model.attention import cross_attentions
from cn.model.base import Base
from cn.model.engine import SamplingEngine
from cn.model.graphs import Graphs
from cn.model.kernel_choice import HALF, use_kernels, without_kernels
from cn.sample.options import SpeedOptions

SD_WORK = 4096 * 1.22e9
"""Latent cells times parameters of U-Net and control, for an image of Stable Diffusion's size at 512×512."""
LARGE_BATCH = 8
"""Such images in a batch that keep a large GPU busy: more are no faster."""
MAX_IMAGES = 32
"""Images in a batch that is chosen here, however small they are: so many are lost by a kill."""
MAX_CAPTURED = 10
"""Such images in a batch that is captured at most. For one, an H200 takes 9 instead of 34 ms a step; for 8 hardly less
than without (46), but the CPU is free to save images meanwhile. A graph of more takes memory that they may need."""
MIN_CAPTURED_STEPS = 10
"""Steps of a job from which on they are captured, which takes as long as a few of them."""
BYTES_PER_VALUE = 13
"""Of memory in half precision for each pixel and channel of the U-Net's first layer, to sample and decode an image."""


_told: set[str] = set()
"""Why kernels cannot be used, where that has been said."""


@dataclass(frozen=True)
class JobSize:
    """What a job samples: so many images of (height, width), in so many steps each, with these controls."""

    base: Base
    controls: tuple[nn.Module, ...]
    size: tuple[int, int]
    images: int
    steps: int
    chunks: int = 1
    """Of 77 tokens each, of the longest prompt."""

    @property
    def work(self) -> float:
        """Of a step of one image, in images of Stable Diffusion's size."""
        cells = self.size[0] * self.size[1] / self.base.config.vae.factor**2
        return cells * sum(p.numel() for network in self._networks for p in network.parameters()) / SD_WORK

    @property
    def image_bytes(self) -> float:
        """The memory that an image takes in a batch, about."""
        values = self.size[0] * self.size[1] * self.base.config.unet.channels[0]
        return BYTES_PER_VALUE * values * self.base.dtype.itemsize / 2 + self.text_bytes

    @property
    def text_bytes(self) -> int:
        """Of this the keys and values of its prompts, both as they are given and within a graph."""
        widths = sum(layer.k.out_features for network in self._networks for layer in cross_attentions(network))
        tokens = self.chunks * self.base.config.text.context_length
        halves = keys_and_values = places = 2
        return halves * keys_and_values * places * tokens * widths * self.base.dtype.itemsize

    @property
    def _networks(self) -> tuple[nn.Module, ...]:
        return self.base.unet, *dict.fromkeys(self.controls)


def batch_size(job: JobSize, options: SpeedOptions, free_bytes: Callable[[], float]) -> int:
    """How many images are sampled at once; on a CPU one, since more are no faster there."""
    if options.batch_size is not None:
        return options.batch_size
    if job.base.device.type != "cuda":
        return 1
    fits, pays = free_bytes() / job.image_bytes, LARGE_BATCH / job.work
    return max(1, int(min(job.images, MAX_IMAGES, fits, pays)))


@dataclass(frozen=True)
class Ways:
    """How networks are computed: as they are written, captured in CUDA graphs, compiled, or both."""

    captured: bool = False
    compiled: bool = False


def choose_ways(job: JobSize, batch: int, options: SpeedOptions, device: torch.device) -> Ways:
    """What suits a job of this size, in batches of `batch` images.

    Networks are compiled only if that is asked for: beside our kernels it saves 4 % for one image on an H200, and
    nothing for 8, so that its two minutes do not come back.
    """
    if options.compile is False:
        return Ways()
    batches = -(-job.images // batch)
    captured = batch * job.work <= MAX_CAPTURED and batches * job.steps >= MIN_CAPTURED_STEPS
    return Ways(device.type == "cuda" and captured, bool(options.compile))


def make_engine(
    job: JobSize, batch: int, options: SpeedOptions, device: torch.device, warn: Callable[[str], None]
) -> SamplingEngine:
    """What computes the networks of one job, in the way that suits it."""
    prepare(job, options, device, warn)
    ways = choose_ways(job, batch, options, device)
    return SamplingEngine(Graphs(warn) if ways.captured else None, ways.compiled, warn=warn)


def prepare(job: JobSize, options: SpeedOptions, device: torch.device, warn: Callable[[str], None]) -> None:
    """Let the networks of a job use our kernels, if they can; or not, if that is asked for."""
    if options.compile is False:
        without_kernels()
    if takes_kernels(device, job.base.dtype, options):
        reason = use_kernels((job.base.unet, job.base.vae, *job.controls), device, job.base.dtype)
        if reason is not None and reason not in _told:
            _told.add(reason)
            warn(f"GPU kernels cannot be compiled here ({reason}): sampling takes 1.5 to 1.8 times as long")


def takes_kernels(device: torch.device, dtype: torch.dtype, options: SpeedOptions) -> bool:
    """Whether our kernels are for such networks: on a GPU, in half precision."""
    return device.type == "cuda" and dtype in HALF and options.compile is not False


def free_gpu_bytes(device: torch.device) -> float:
    """The memory of a GPU that a batch may take: what is free, and what torch keeps without use."""
    kept = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    return torch.cuda.mem_get_info(device)[0] + kept
