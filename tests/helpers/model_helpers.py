"""Narrow models of the published layouts, with weights that are a function of the parameters' names alone."""

from functools import cache
from pathlib import Path
from typing import TypeVar
from zlib import crc32

import numpy as np
import torch
from torch import Tensor, nn

from cn.model.base import Base
from cn.model.config import ModelConfig, ScheduleConfig, TextConfig, UNetConfig, VAEConfig
from cn.model.controlnet import ControlNet
from cn.model.unet import UNet

N = TypeVar("N", bound=nn.Module)
GOLDEN = Path(__file__).parent.parent / "golden"

UNETS = {
    "sd1": UNetConfig(channels=(32, 64, 64, 64), heads=8, context_dim=48),
    "sd2": UNetConfig(channels=(32, 64, 128, 64), heads=None, head_dim=32, context_dim=128, linear_projection=True),
    "tiny": UNetConfig(channels=(32, 32, 64, 64), heads=4, context_dim=64),
}
VAE = VAEConfig(channels=(32, 32, 64, 64))
TEXTS = {
    "sd1": TextConfig(width=64, heads=1, layers=3, run_layers=3),
    "sd2": TextConfig(width=128, heads=2, layers=3, run_layers=2, quick_gelu=False, pad_id=0),
}
TINY = ModelConfig(
    name="tiny",
    unet=UNETS["tiny"],
    vae=VAE,
    text=TEXTS["sd1"],
    image_size=64,
)
SHORT = ModelConfig(
    name="tiny",
    unet=UNetConfig(channels=(32, 64), strides=(2,), res_blocks=1, attention_levels=(0,), heads=4, context_dim=64),
    vae=VAEConfig(channels=(32, 32, 32, 64), res_blocks=1),
    text=TextConfig(width=64, heads=1, layers=1, run_layers=1),
    image_size=64,
)
"""With as few blocks as there can be, for runs of which there are hundreds."""
SMALL = ModelConfig(
    name="tiny",
    unet=UNetConfig(channels=(32, 32, 64, 64), res_blocks=1, attention_levels=(1,), heads=4, context_dim=64),
    vae=VAEConfig(channels=(32, 32, 32, 64), res_blocks=1),
    text=SHORT.text,
    image_size=64,
)
"""With the four levels of Stable Diffusion, so that sides are multiples of 64, and half of the blocks."""
TINY_V = ModelConfig(
    name="tiny-v",
    unet=UNetConfig(
        channels=(32, 32, 64, 64),
        strides=(2, 2, 1),
        attention_levels=(1, 2),
        heads=None,
        head_dim=16,
        context_dim=64,
        linear_projection=True,
    ),
    vae=VAEConfig(channels=(32, 32, 64, 64), scale=1.0),
    text=TextConfig(width=64, heads=1, layers=2, run_layers=2, quick_gelu=False, pad_id=0),
    schedule=ScheduleConfig(prediction="v", zero_terminal_snr=True, spacing="trailing", guidance_rescale=0.7),
    image_size=64,
)


def uniform(name: str, shape: tuple[int, ...]) -> Tensor:
    """Numbers of unit standard deviation that depend on the name and the shape only, on every machine."""
    draws = np.random.Generator(np.random.PCG64(crc32(name.encode()))).random(shape)
    return torch.from_numpy((draws - 0.5) * 12**0.5).float()


@torch.no_grad()
def fill(network: N) -> N:
    """Give every parameter, zero convolutions too, a value made from its name; scales keep signals near 1."""
    for name, p in network.named_parameters():
        value = uniform(name, tuple(p.shape))
        if p.ndim > 1:
            value *= p[0].numel() ** -0.5
        elif name.endswith("weight"):
            value = 1 + 0.2 * value
        else:
            value *= 0.1
        p.copy_(value)
    return network.eval()


@cache
def unet(layout: str) -> UNet:
    """A filled, locked narrow U-Net of layout of `UNETS` (shared between tests: never change it)."""
    return fill(UNet(UNETS[layout])).requires_grad_(False)


@cache
def control(layout: str) -> ControlNet:
    """A filled narrow ControlNet with the released condition encoder (shared between tests: never change it)."""
    return fill(ControlNet(UNETS[layout], condition_encoder="released")).requires_grad_(False)


@cache
def tiny_base(config: ModelConfig = TINY) -> Base:
    """A filled, locked whole base (shared between tests: never change it)."""
    base = Base.create(config)
    for network in base.networks.values():
        fill(network)
    return base.lock()


def relative(ours: Tensor, reference: Tensor) -> float:
    """‖ours - reference‖ / ‖reference‖; shapes must agree."""
    assert ours.shape == reference.shape
    ours, reference = ours.detach(), reference.detach()
    return float((ours.double() - reference.double()).norm() / reference.double().norm())


def golden(name: str) -> dict[str, Tensor]:
    """The arrays of one golden file."""
    with np.load(GOLDEN / f"{name}.npz") as file:
        return {k: torch.from_numpy(file[k]) for k in file.files}


def parameters(network: nn.Module) -> int:
    return sum(p.numel() for p in network.parameters())
