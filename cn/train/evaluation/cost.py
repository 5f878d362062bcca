"""What training and evaluations cost, in floating-point operations, counted without computing: no clock, no device."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.utils.flop_counter import FlopCounterMode

from cn.eval.measures import Measurement
from cn.train.config import TrainConfig
from cn.train.loss import diffusion_loss
from cn.train.networks import TrainingNetworks


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


def count_costs(networks: TrainingNetworks, config: TrainConfig, measurement: Measurement) -> Costs:
    """Costs at the run's image size, from one pass through each network on the meta device (shapes without values).

    Only the detector, which is not for meta tensors, computes something: a black image.
    """
    base = networks.base
    unet, control = _Shapes(base.unet), _Shapes(networks.control)
    trained = [p for network in (unet, control) for p in network.parameters.values() if p.requires_grad]
    latent_channels, cells = base.config.vae.latent_channels, config.size // base.config.vae.factor
    with torch.device("meta"):
        z = torch.empty(1, latent_channels, cells, cells)
        text = torch.empty(1, base.config.text.context_length, base.config.unet.context_dim)
        image = torch.empty(1, 3, config.size, config.size)
        t = torch.zeros(1, dtype=torch.long)

    def training() -> None:
        loss = diffusion_loss(unet, control, base.schedule, z, image, text, t, torch.empty_like(z))  # type: ignore[arg-type]
        torch.autograd.grad(loss, trained, allow_unused=True)

    return Costs(
        training=_operations(training),
        encoding=_operations(lambda: _Shapes(base.vae.encoder)(image)),
        sampling=_operations(lambda: unet(z, t, text, control(z, t, text, image))),
        uncontrolled=_operations(lambda: unet(z, t, text, None)),
        decoding=_operations(lambda: _Shapes(base.vae.decoder)(z)),
        detection=_operations(lambda: measurement.detect([np.zeros((config.size, config.size, 3), np.uint8)])),
    )


class _Shapes:
    """A network with the shapes of its weights only, called as the network itself, which stays as it is."""

    def __init__(self, network: nn.Module):
        self.network = network
        tensors = {**dict(network.named_parameters()), **dict(network.named_buffers())}
        self.parameters = {name: _on_meta(tensor) for name, tensor in tensors.items()}

    def __call__(self, *inputs: Any) -> Any:
        return functional_call(self.network, self.parameters, inputs)


def _on_meta(tensor: Tensor) -> Tensor:
    return torch.empty_like(tensor, device="meta").requires_grad_(tensor.requires_grad)


def _operations(compute: Callable[[], object]) -> int:
    with FlopCounterMode(display=False) as counter:
        compute()
    return int(counter.get_total_flops())
