"""The options of detectors that have a network: its method and weights, and where and how it computes."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cn.commands.options import COMPUTE_PANEL, Device
from cn.detect import registry
from cn.errors import UsageError

if TYPE_CHECKING:
    from cn.detect.network import Network
    from cn.detect.registry import Method

METHOD_PANEL = "Method"

WeightsFile = Annotated[
    Path | None,
    typer.Option(
        "--weights",
        metavar="FILE",
        help="The network's published weights. Default: the file that [b]cn weights pull[/b] has fetched. "
        "Without --method, the file says which network it is.",
        rich_help_panel=METHOD_PANEL,
    ),
]
BatchSize = Annotated[
    int | None,
    typer.Option(
        "--batch-size",
        metavar="N",
        min=1,
        help="Images that go through the network at once. Default: 8 on a GPU, 1 on a processor, which gains nothing "
        "by more.",
        rich_help_panel=COMPUTE_PANEL,
    ),
]
Precision = Annotated[
    str,
    typer.Option(
        "--precision",
        metavar="TYPE",
        help="The network's number format: auto, fp32, bf16 or fp16. auto is fp32, whose maps are the published ones.",
        rich_help_panel=COMPUTE_PANEL,
    ),
]


def method_option(family: str) -> typer.models.OptionInfo:
    """`--method` of a family, with what the registry says of its methods."""
    methods = registry.methods(family)
    listed = "|".join(method.name for method in methods)
    words = "; ".join(f"{method.name}: {method.about}" for method in methods)
    text = f"{words}. Default: {methods[0].name}."
    return typer.Option("--method", metavar=listed, help=text, rich_help_panel=METHOD_PANEL)


@dataclass(frozen=True)
class NetworkChoice:
    """What was said about a network on the command line; the fields are the options that `options` declares."""

    weights: Path | None
    device: str
    precision: str
    batch_size: int | None

    @property
    def is_given(self) -> bool:
        """Whether anything was said."""
        return self != NetworkChoice(None, "auto", "auto", None)

    def method(self, family: str, name: str | None) -> "Method | None":
        """The method of a family that was asked for; None where the weights will tell.

        Raises UsageError for what does not go together.
        """
        chosen = registry.choose(family, name, self.weights is not None)
        if chosen is not None and not chosen.networks and self.is_given:
            raise UsageError(f"--method {chosen.name} has no network: leave out --device and the like")
        return chosen

    def open(self, family: str, method: "Method | None") -> "Network | None":
        """The network for a method; None for one that needs none."""
        return None if method is not None and not method.networks else self.needed(family, method)

    def needed(self, family: str, method: "Method | None") -> "Network":
        """The network for a method that has one. Raises WeightsError when its weights are not here or do not serve."""
        from cn.detect import published
        from cn.detect.network import ComputeSettings, open_network
        from cn.weights import catalog

        running = ComputeSettings.from_options(self.device, self.precision, self.batch_size)
        path = str(published.locate((method or registry.default(family)).weights, self.weights))
        network = open_network(family, path, running)
        if self.weights is None and (entry := catalog.known(os.path.basename(path))) is not None:
            catalog.check_hash(entry, path, network.sha256)
        registry.check(method, path, network.spec)
        return network

    def other(self, family: str, weights: Path | None) -> "Network":
        """A second network beside that of a method, run in the same way, with weights of its own."""
        return NetworkChoice(weights, self.device, self.precision, self.batch_size).needed(family, None)


def options(
    weights: WeightsFile = None, device: Device = "auto", precision: Precision = "auto", batch_size: BatchSize = None
) -> NetworkChoice:
    """Declares the options; `shared.shared` gives them to a sub-command that takes a NetworkChoice."""
    return NetworkChoice(weights, device, precision, batch_size)
