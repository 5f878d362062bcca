"""Sampling with CUDA graphs: the guided network is captured once, and launched as one at each step."""

from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from cn.model.attention import Attention, Context, KeysValues
from cn.model.graphs import Graphs
from cn.model.guidance import ControlInput, GuidedUNet, batch_timesteps
from cn.model.samplers.step import Step

NAME = "sampling step"


@dataclass(frozen=True)
class GraphedUNet:
    """A guided U-Net, with the same call, that runs as a graph for each set of active controls.

    Graphs are kept in `graphs` for later batches of the same shapes, networks and settings; the weights may change
    meanwhile, in place. Controls have to be encoded, and the contexts of all networks known.
    """

    network: GuidedUNet
    graphs: Graphs

    def __call__(self, z: Tensor, step: Step) -> Tensor:
        network = self.network
        t, active = batch_timesteps(step, z), network.active(step)
        constants, variant = tuple(_constants(network, active)), self._variant(active)
        if not self.graphs.has(NAME, (z, t), variant, constants) and self.graphs.may_add(NAME):
            self.graphs.add(NAME, Prediction.of(network, active), (z, t), variant, constants)
        if not self.graphs.has(NAME, (z, t), variant, constants):
            return network.predict(z, t, active)
        return self.graphs.replay(NAME, (z, t), variant, constants).clone()

    def _variant(self, active: tuple[ControlInput, ...]) -> Hashable:
        """What a graph is for, besides the shapes of its tensors."""
        network = self.network
        controls = tuple((id(c.model), c.strength) for c in active)
        autocast = torch.is_autocast_enabled(network.cond.device.type)
        return id(network.unet), network.scale, network.guess, controls, autocast


@dataclass(frozen=True)
class Prediction:
    """The guided prediction as a function of tensors alone: latents, timesteps, and what `_constants` yields."""

    network: GuidedUNet
    active: tuple[ControlInput, ...]
    layers: tuple[tuple[Attention, ...], ...]
    """The cross-attentions of the U-Net and of each control."""

    @classmethod
    def of(cls, network: GuidedUNet, active: Sequence[ControlInput]) -> "Prediction":
        """It keeps none of the tensors of the first images that it is called for."""
        layers = tuple(tuple(_known(context)) for context in _contexts(network, active))
        controls = tuple(replace(c, hint=c.hint.new_empty(0), encoded=None, context=None) for c in active)
        none = network.cond.new_empty(0)
        bare = replace(network, cond=none, uncond=none, controls=(), context=None)
        return cls(bare, controls, layers)

    def __call__(self, z: Tensor, t: Tensor, *constants: Tensor) -> Tensor:
        left = iter(constants)
        contexts = [{layer: KeysValues(next(left), next(left)) for layer in layers} for layers in self.layers]
        active = [replace(c, encoded=next(left), context=own) for c, own in zip(self.active, contexts[1:], strict=True)]
        network = replace(self.network, context=contexts[0], extra=next(left, None))
        device = z.device.type
        # Autocast keeps the weights that it has cast until its context ends: a graph has to cast them itself.
        with torch.autocast(
            device,
            torch.get_autocast_dtype(device),
            enabled=torch.is_autocast_enabled(device),
            cache_enabled=False,
        ):
            return network.predict(z, t, active)


def _constants(network: GuidedUNet, active: Sequence[ControlInput]) -> Iterator[Tensor]:
    """What all steps share: keys and values of the texts, the encoded conditions, the U-Net's further channels."""
    for context in _contexts(network, active):
        for keys_values in _known(context).values():
            yield from keys_values
    for control in active:
        assert control.encoded is not None
        yield control.encoded
    if network.extra is not None:
        yield network.extra


def _contexts(network: GuidedUNet, active: Sequence[ControlInput]) -> tuple[Context | None, ...]:
    return network.context, *(control.context for control in active)


def _known(context: Context | None) -> Mapping[Attention, KeysValues]:
    assert isinstance(context, Mapping)
    return context
