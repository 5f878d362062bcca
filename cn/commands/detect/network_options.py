"""The options of detectors that have a network: its method and weights, and where and how it computes."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar

from cn.detect import registry
from cn.detect.settings import METHOD_PANEL
from cn.errors import UsageError
from cn.options import COMPUTE_PANEL, DEVICE, PRECISION, Option, declared
from cn.precision import PrecisionChoice

if TYPE_CHECKING:
    from cn.detect.network import Network
    from cn.detect.registry import Method


def method_option(family: str) -> Option:
    """`--method` of a family, with what the registry says of its methods."""
    methods = registry.methods(family)
    return Option(
        "; ".join(f"{method.name}: {method.about}" for method in methods) + ".",
        panel=METHOD_PANEL,
        choices=tuple(method.name for method in methods),
        default=methods[0].name,
    )


def networks_text(kind: str) -> str:
    """For `--help`: the networks of a kind, and how it works without weights."""
    family = registry.kind_spec(kind).family
    if family is None:
        return ""
    titles = ", ".join(spec.title for spec in registry.NETWORKS if spec.family == family)
    free = registry.without_weights(kind)
    return f"Networks: {titles}." + (f" No weights are needed with [b]{free}[/b]." if free else "")


@dataclass(frozen=True)
class NetworkOptions:
    """The options about a network, as given on the command line. Subclasses name the family of networks."""

    family: ClassVar[str]
    method: str | None = None
    """`--method`; an option of every family that a command names."""
    weights: Annotated[
        Path | None,
        Option(
            "The network's published weights. Without --method, the file determines the network.",
            panel=METHOD_PANEL,
            metavar="FILE",
            default="the file that [b]cn weights pull[/b] has downloaded",
        ),
    ] = None
    device: Annotated[str, DEVICE] = "auto"
    precision: Annotated[
        PrecisionChoice,
        replace(PRECISION, help=f"{PRECISION.help} auto is fp32, whose maps are the published ones."),
    ] = "auto"
    batch_size: Annotated[
        int | None,
        Option(
            "Images that go through the network at once.",
            panel=COMPUTE_PANEL,
            min=1,
            default="8 on a GPU, 1 on a CPU, which gains nothing from more",
        ),
    ] = None

    @property
    def given_flags(self) -> list[str]:
        """The flags of the options that were given, besides the method."""
        fields = declared(type(self)).values()
        return [
            field.label for field in fields if field.name != "method" and getattr(self, field.name) != field.default
        ]

    @property
    def is_given(self) -> bool:
        """Whether any of these options was given, besides the method."""
        return bool(self.given_flags)

    @property
    def chosen(self) -> "Method | None":
        """The method that was requested; None where the given weights determine it.

        Raises UsageError for options that contradict each other.
        """
        chosen = registry.choose_method(self.family, self.method, self.weights is not None)
        if chosen is not None and not chosen.networks and self.is_given:
            raise UsageError(f"--method {chosen.name} has no network: leave out {' and '.join(self.given_flags)}")
        return chosen

    def check(self) -> None:
        """Raises UsageError for options that contradict each other, before anything is loaded."""
        _ = self.chosen

    def open(self) -> "Network | None":
        """The network for the method; None if it needs none."""
        chosen = self.chosen
        return None if chosen is not None and not chosen.networks else self.open_required()

    def open_required(self) -> "Network":
        """The network for a method that has one. Raises WeightsError when its weights are missing or unsuitable."""
        from cn.detect.create import load_network
        from cn.detect.network import ComputeSettings

        compute = ComputeSettings.from_options(self.device, self.precision, self.batch_size)
        return load_network(self.family, self.chosen, self.weights, compute)

    def hands(self, weights: Path | None) -> "Network":
        """The network for hands, run in the same way as this one."""
        return HandNetworkOptions(None, weights, self.device, self.precision, self.batch_size).open_required()


@dataclass(frozen=True)
class HoughNetworkOptions(NetworkOptions):
    family: ClassVar[str] = "hough"
    method: Annotated[str | None, method_option("hough")] = None


@dataclass(frozen=True)
class HedNetworkOptions(NetworkOptions):
    family: ClassVar[str] = "hed"
    method: Annotated[str | None, method_option("hed")] = None


@dataclass(frozen=True)
class LineartNetworkOptions(NetworkOptions):
    family: ClassVar[str] = "lineart"
    method: Annotated[str | None, method_option("lineart")] = None


@dataclass(frozen=True)
class DepthNetworkOptions(NetworkOptions):
    family: ClassVar[str] = "depth"
    method: Annotated[str | None, method_option("depth")] = None


@dataclass(frozen=True)
class BodyNetworkOptions(NetworkOptions):
    family: ClassVar[str] = "openpose"
    method: Annotated[str | None, method_option("openpose")] = None


@dataclass(frozen=True)
class HandNetworkOptions(NetworkOptions):
    family: ClassVar[str] = "hands"


@dataclass(frozen=True)
class PifPafNetworkOptions(NetworkOptions):
    family: ClassVar[str] = "openpifpaf"
    method: Annotated[str | None, method_option("openpifpaf")] = None


@dataclass(frozen=True)
class Ade20kNetworkOptions(NetworkOptions):
    family: ClassVar[str] = "ade20k"
    method: Annotated[str | None, method_option("ade20k")] = None


@dataclass(frozen=True)
class CocoNetworkOptions(NetworkOptions):
    family: ClassVar[str] = "coco"
    method: Annotated[str | None, method_option("coco")] = None
