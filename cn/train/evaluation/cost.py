"""What training and evaluations cost, in floating-point operations, counted without computing: no clock, no device."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
import torch

from cn.eval.measures import Measurement
from cn.model.base import Base
from cn.model.config import ModelConfig
from cn.train.config import TrainConfig
from cn.train.evaluation.operations import Operations
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
    # Only what is left decides; other values would make the counts that are kept worthless.
    plain = replace(config, precision="fp32", checkpoint_activations=False, steps=1, warmup=0, save_every=1, seed=0)
    with torch.no_grad():
        detection = _forward(lambda: measurement.detect([np.zeros((config.size, config.size, 3), np.uint8)]))
    return replace(_count(base, plain), detection=detection)


@lru_cache(maxsize=32)
def _count(base: ModelConfig, config: TrainConfig) -> Costs:
    """All but detection."""
    shapes = Base.create(base, "meta")
    networks = assemble(shapes, fresh_control(shapes, config), config)
    unet, vae, control = shapes.unet, shapes.vae, networks.control
    cells = config.size // base.vae.factor
    with torch.device("meta"):
        z = torch.empty(1, base.vae.latent_channels, cells, cells)
        text = torch.empty(1, base.text.context_length, base.unet.context_dim)
        image = torch.empty(1, 3, config.size, config.size)
        t = torch.zeros(1, dtype=torch.long)
    with Operations() as training:
        diffusion_loss(unet, control, shapes.schedule, z, image, text, t, torch.empty_like(z))
    with torch.no_grad():
        sampling = _forward(lambda: unet(z, t, text, control(z, t, text, image)))
        uncontrolled = _forward(lambda: unet(z, t, text))
        decoding, encoding = _forward(lambda: vae.decode(z)), _forward(lambda: vae.encode(image))
    return Costs(training.forward + training.backward, encoding, sampling, uncontrolled, decoding, detection=0)


def _forward(compute: Callable[[], object]) -> int:
    with Operations() as counted:
        compute()
    return counted.forward
