"""Small bases and controls in every layout, from weights that are functions of names."""

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from cn.checkpoints.layouts import Layout
from cn.checkpoints.read.contents import Contents
from cn.checkpoints.read.load import open_base
from cn.checkpoints.read.recognize import recognize
from cn.checkpoints.write.destination import check_destination
from cn.checkpoints.write.native import save_base, save_control
from cn.checkpoints.write.plan import plan
from cn.checkpoints.write.writer import write_conversion
from cn.errors import CnError, WeightsError
from cn.model.base import Base
from cn.model.config import ModelConfig, ScheduleConfig, TextConfig, UNetConfig, VAEConfig
from cn.model.controlnet import ControlNet
from tests.helpers.model_helpers import fill

VOCABULARY = 300
"""Tokens of the narrow text towers: prompts cannot be read with them, but files are small."""

_VAE = VAEConfig(channels=(32, 32, 32, 32))
CONFIGS = {
    "sd1": ModelConfig(
        name="sd1",
        unet=UNetConfig(channels=(32, 64, 64, 64), context_dim=64),
        vae=_VAE,
        text=TextConfig(width=64, heads=1, layers=3, run_layers=3, vocab_size=VOCABULARY),
    ),
    "sd2": ModelConfig(
        name="sd2",
        unet=UNetConfig(channels=(64, 64, 128, 64), heads=None, head_dim=64, context_dim=64, linear_projection=True),
        vae=_VAE,
        text=TextConfig(64, 1, 3, 2, quick_gelu=False, pad_id=0, vocab_size=VOCABULARY),
        schedule=ScheduleConfig(prediction="v"),
        image_size=768,
    ),
}


@cache
def base(name: str) -> Base:
    """A filled base (shared between tests: never change it)."""
    made = Base.create(CONFIGS[name])
    for network in made.networks.values():
        fill(network)
    return made.lock()


@cache
def control(name: str, encoder: str = "released") -> ControlNet:
    """A filled control (shared between tests: never change it)."""
    return fill(ControlNet(CONFIGS[name].unet, condition_encoder=encoder)).requires_grad_(False)


def native_base(path: Path, name: str) -> Path:
    save_base(path, base(name), half=False)
    return path


def native_control(path: Path, name: str, encoder: str = "released") -> Path:
    save_control(path, control(name, encoder), kind="canny", base_sha256="abc")
    return path


def convert(source: Path, target: Path, to: Layout, *, half: bool = False, **options) -> Path:
    """As `cn convert` does it; `options` are those of `Contents.of`, and `ema` and `variant`."""
    reading = {name: options.pop(name) for name in ("ema", "variant") if name in options}
    conversion = plan(Contents.of(recognize(source, **reading), **options), to, half=half)
    check_destination(conversion, target, to, overwrite=False)
    write_conversion(conversion, target)
    return target


def tensors(path: Path) -> dict[str, Tensor]:
    """Everything in a file, or in all files of a folder (behind their places in it)."""
    if path.is_file():
        return load_file(path)
    files = sorted(path.rglob("*.safetensors"))
    return {f"{file.relative_to(path)}:{name}": t for file in files for name, t in load_file(file).items()}


def assert_same(a: dict[str, Tensor], b: dict[str, Tensor]) -> None:
    """The same names, dtypes and numbers, bit for bit."""
    assert set(a) == set(b)
    for name, tensor in a.items():
        assert tensor.dtype == b[name].dtype, name
        assert torch.equal(tensor, b[name]), name


SMALL = ModelConfig(
    name="small",
    unet=UNetConfig(
        channels=(64, 64), strides=(2,), res_blocks=1, attention_levels=(0,), context_dim=64, linear_projection=True,
        heads=None, head_dim=64,
    ),
    vae=VAEConfig(channels=(32, 32), res_blocks=1),
    text=TextConfig(width=64, heads=1, layers=1, run_layers=1, quick_gelu=False, pad_id=0, vocab_size=20),
    schedule=ScheduleConfig(prediction="v"),
)  # fmt: skip
"""A base of one block a level."""


def refusal(path: Path, words: str, kind: type[CnError] = WeightsError, load: Callable[[Path], Any] = open_base) -> str:
    """The one line with which a file is refused; it names the file or one below it, and has these words."""
    with pytest.raises(CnError) as caught:
        load(path)
    message = str(caught.value)
    assert type(caught.value) is kind, message
    assert message.startswith(str(path)), message
    assert message.isprintable()
    assert words in message
    return message
