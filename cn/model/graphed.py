"""Sampling with CUDA graphs: the guided network is captured once, and launched as one at each step."""

from collections.abc import Hashable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from cn.model.graphs import Graphs
from cn.model.guidance import ControlInput, GuidedUNet, batch_timesteps
from cn.model.samplers.step import Step

NAME = "sampling step"


@dataclass(frozen=True)
class GraphedUNet:
    """A guided U-Net, with the same call, that runs as a graph for each set of active controls.

    Graphs are kept in `graphs` for later batches of the same shapes, networks and settings; the weights may change
    meanwhile, in place. Controls have to be encoded.
    """

    network: GuidedUNet
    graphs: Graphs

    def __call__(self, z: Tensor, step: Step) -> Tensor:
        network = self.network
        t, active = batch_timesteps(step, z), network.active(step)
        extra = () if network.extra is None else (network.extra,)
        tensors = (z, t, network.cond, network.uncond, *map(_encoded, active), *extra)
        variant = self._variant(active)
        if not self.graphs.has(NAME, tensors, variant) and self.graphs.may_add(NAME):
            self.graphs.add(NAME, Prediction(network, active), tensors, variant)
        if not self.graphs.has(NAME, tensors, variant):
            return network.predict(z, t, active)
        return self.graphs.replay(NAME, tensors, variant).clone()

    def _variant(self, active: tuple[ControlInput, ...]) -> Hashable:
        """What a graph is for, besides the shapes of its tensors."""
        network = self.network
        controls = tuple((id(c.model), c.strength) for c in active)
        autocast = torch.is_autocast_enabled(network.cond.device.type)
        return id(network.unet), network.scale, network.guess, controls, autocast


@dataclass(frozen=True)
class Prediction:
    """The guided prediction as a function of tensors alone."""

    network: GuidedUNet
    active: tuple[ControlInput, ...]

    def __call__(self, z: Tensor, t: Tensor, cond: Tensor, uncond: Tensor, *others: Tensor) -> Tensor:
        encoded, extra = others[: len(self.active)], others[len(self.active) :]
        network = replace(self.network, cond=cond, uncond=uncond, extra=extra[0] if extra else None)
        active = [replace(c, encoded=own) for c, own in zip(self.active, encoded, strict=True)]
        device = z.device.type
        # Autocast keeps the weights that it has cast until its context ends: a graph has to cast them itself.
        with torch.autocast(
            device,
            torch.get_autocast_dtype(device),
            enabled=torch.is_autocast_enabled(device),
            cache_enabled=False,
        ):
            return network.predict(z, t, active)


def _encoded(control: ControlInput) -> Tensor:
    assert control.encoded is not None
    return control.encoded
