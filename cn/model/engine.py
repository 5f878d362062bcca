"""How the guided network of the sampler is computed: as it is written, compiled, captured in CUDA graphs, or both."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from torch import Tensor, nn

from cn.model.compiled import Compiled
from cn.model.graphed import GraphedUNet
from cn.model.graphs import Graphs
from cn.model.guidance import ControlInput, GuidedUNet
from cn.model.samplers.step import Step

Predict = Callable[[Tensor, Step], Tensor]


@dataclass
class SamplingEngine:
    """Keeps what was compiled and captured, for later batches of the same networks; weights may change in place.

    `graphs` is None where nothing is captured. Controls have to be encoded; for graphs, also the contexts known.
    """

    graphs: Graphs | None = None
    compiled: bool = False
    captures: bool = True
    """Whether `graphs` are used; if not, they are only given up where memory runs out."""
    warn: Callable[[str], None] = lambda message: None
    _networks: dict[int, Any] = field(default_factory=dict)

    def of(self, network: GuidedUNet) -> Predict:
        """The function that predicts what `network` does."""
        if self.compiled:
            controls = tuple(replace(c, model=self._control(c)) for c in network.controls)
            network = replace(network, unet=self._unet(network.unet), controls=controls)
        return GraphedUNet(network, self.graphs) if self.captures and self.graphs is not None else network

    def computing(self, *, captured: bool, compiled: bool) -> "SamplingEngine":
        """An engine that computes in another way, and shares what was captured and compiled."""
        return replace(self, captures=captured, compiled=compiled)

    def clear(self) -> None:
        """Give back the memory of what was captured; it is captured again when it is needed."""
        if self.graphs is not None:
            self.graphs.clear()

    def _unet(self, unet: nn.Module) -> Any:
        return self._kept(unet, lambda: Compiled(unet, "U-Net", self.warn))

    def _control(self, control: ControlInput) -> Any:
        return self._kept(control.model, lambda: CompiledControl(control.model, self.warn))

    def _kept(self, network: object, make: Callable[[], Any]) -> Any:
        # What is made holds the network, so that no other one gets its identity.
        if id(network) not in self._networks:
            self._networks[id(network)] = make()
        return self._networks[id(network)]


@dataclass(frozen=True, eq=False)
class CompiledControl:
    """A control whose residuals are compiled; its condition is encoded as it is, once for each image."""

    model: Any
    warn: Callable[[str], None]

    @cached_property
    def residuals(self) -> Compiled:
        return Compiled(self.model.residuals, "ControlNet", self.warn)

    @property
    def pooled(self) -> bool:
        """As of the control."""
        return self.model.pooled


PLAIN = SamplingEngine()
