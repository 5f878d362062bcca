"""What training and evaluations cost, in floating-point operations, counted without computing: no clock, no device."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

from cn.eval.measures import Measurement
from cn.model.base import Base
from cn.model.config import ModelConfig
from cn.train.config import TrainConfig
from cn.train.loss import diffusion_loss
from cn.train.networks import assemble, fresh_control


@dataclass(frozen=True)
class Costs:
    """Operations for one image each.

    A training step (forward and backward), encoding to latents, one sampling step with the control and one without it,
    decoding, and detecting the condition in an image.
    """

    training: int
    encoding: int
    sampling: int
    uncontrolled: int
    decoding: int
    detection: int


def count_costs(base: ModelConfig, config: TrainConfig, measurement: Measurement) -> Costs:
    """Costs at the run's image size, from one pass through each network on the meta device (shapes without values).

    Only the detector, which is not for meta tensors, computes something: a black image.
    """
    plain = replace(config, precision="fp32", checkpoint_activations=False)
    shapes = Base.create(base, "meta")
    networks = assemble(shapes, fresh_control(shapes, plain), plain)
    unet, vae, control = shapes.unet, shapes.vae, networks.control
    cells = config.size // base.vae.factor
    with torch.device("meta"):
        z = torch.empty(1, base.vae.latent_channels, cells, cells)
        text = torch.empty(1, base.text.context_length, base.unet.context_dim)
        image = torch.empty(1, 3, config.size, config.size)
        t = torch.zeros(1, dtype=torch.long)

    @torch.no_grad()
    def detect() -> None:
        measurement.detect([np.zeros((config.size, config.size, 3), np.uint8)])

    with torch.no_grad():
        sampling = _operations(lambda: unet(z, t, text, control(z, t, text, image)))
        uncontrolled = _operations(lambda: unet(z, t, text))
        decoding, encoding = _operations(lambda: vae.decode(z)), _operations(lambda: vae.encode(image))
    training = _operations(
        lambda: diffusion_loss(unet, control, shapes.schedule, z, image, text, t, torch.empty_like(z)).backward()
    )
    return Costs(training, encoding, sampling, uncontrolled, decoding, _operations(detect))


def _operations(compute: Callable[[], object]) -> int:
    with FlopCounterMode(display=False) as counter:
        compute()
    return int(counter.get_total_flops())
