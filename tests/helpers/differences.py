"""Controls in 8 bits, stored as differences to their base."""

from pathlib import Path

import torch

from cn.checkpoints.read.load import open_base
from cn.checkpoints.write.native import save_base, save_control
from cn.model.base import Base
from cn.model.controlnet import ControlNet
from tests.helpers.layouts import base
from tests.helpers.model_helpers import fill

CHANGED = "encoder.middle.res_1.conv_1.weight"
"""The tensor that training changed in the control of these tests."""


def write_control(path: Path, stored: Base) -> ControlNet:
    model = trained(stored)
    save_control(path, model, kind="canny", bits=8, base=stored, base_name="base")
    return model


def write_both(folder: Path) -> Path:
    """base.safetensors and control.safetensors in a folder, which is returned."""
    save_base(folder / "base.safetensors", base("sd1"), bits=8, license="CC0-1.0")
    write_control(folder / "control.safetensors", open_base(folder / "base.safetensors"))
    return folder


def trained(stored: Base) -> ControlNet:
    model = ControlNet.from_unet(stored.unet)
    for network in (model.zero_middle, model.zero_convolutions, model.condition_encoder):
        fill(network)
    with torch.no_grad():
        weight = model.encoder.get_parameter(CHANGED.removeprefix("encoder."))
        weight += 1e-2 * torch.linspace(-1, 1, weight.numel()).reshape(weight.shape)
    return model
