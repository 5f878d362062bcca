"""Every network and every method of the detectors: one row each. No NumPy, no torch.

What a network is called, which method of which kind it serves, its class, its published files and how its files are
identified stand here and nowhere else; size, hash, license and origin of a file stand in `cn.weights.catalog`.
"""

from collections.abc import Collection
from dataclasses import dataclass

from cn.errors import UsageError, WeightsError


@dataclass(frozen=True)
class NetworkSpec:
    """A network that cn has."""

    family: str
    """The kind whose maps it makes; "hands" is the second network of `openpose`."""
    method: str
    """What `--method` calls it."""
    title: str
    """What it is called in messages and in the PNGs' text."""
    net: str
    """Module and class in `cn.detect.nets`."""
    weights: tuple[str, ...]
    """Published files, by their names in `cn.weights.catalog`; the first is the default."""
    tensors: tuple[str, ...]
    """Names that all its files have. Where several rows fit a file, the first one counts."""

    @property
    def name(self) -> str:
        """The name of its class."""
        return self.net.rpartition(".")[2]


@dataclass(frozen=True)
class Method:
    """One way of making the maps of a kind: by networks, or without any."""

    name: str
    networks: tuple[NetworkSpec, ...] = ()

    @property
    def weights(self) -> str:
        """The catalog's name of the file that serves it where no other is given."""
        return self.networks[0].weights[0]


NETWORKS = (
    NetworkSpec("hough", "mlsd", "M-LSD large", "mlsd.MLSDLarge", ("mlsd-large",),
                ("backbone.features.0.0.weight", "block23.conv3.weight")),
    NetworkSpec("hough", "mlsd", "M-LSD tiny", "mlsd.MLSDTiny", ("mlsd-tiny",), ("backbone.features.0.0.weight",)),
    NetworkSpec("hed", "hed", "HED (ControlNetHED)", "hed.ControlNetHED", ("controlnet-hed",),
                ("norm", "block1.convs.0.weight")),
    NetworkSpec("hed", "hed", "HED (network-bsds500)", "hed.BSDS500HED", ("hed-bsds500",), ("moduleVggOne.0.weight",)),
    NetworkSpec("hed", "tin", "TIN", "tin.TIN", ("tin2", "tin1"), ("em1_1.conv.weight",)),
    NetworkSpec("depth", "dpt-hybrid", "MiDaS DPT-hybrid", "dpt.DPTHybrid", ("dpt-hybrid",),
                ("pretrained.model.patch_embed.backbone.stem.conv.weight",)),
    NetworkSpec("depth", "midas-small", "MiDaS v2.1 small", "midas_small.MidasSmall", ("midas-small",),
                ("pretrained.layer1.3.0.conv_dw.weight",)),
    NetworkSpec("lineart", "anime2sketch", "Anime2Sketch", "sketch.Anime2Sketch", ("anime2sketch",),
                ("model.model.0.weight",)),
    NetworkSpec("openpose", "openpose", "OpenPose", "openpose.BodyNetwork", ("openpose-body",),
                ("Mconv7_stage6_L2.weight",)),
    NetworkSpec("openpose", "light", "Lightweight OpenPose", "openpose_light.LightBodyNetwork", ("openpose-light",),
                ("cpm.align.0.weight",)),
    NetworkSpec("openpose", "keypointrcnn", "Keypoint R-CNN", "keypoint_rcnn.KeypointRCNN", ("keypointrcnn",),
                ("roi_heads.keypoint_predictor.kps_score_lowres.weight",)),
    NetworkSpec("hands", "openpose", "OpenPose's hands", "openpose.HandNetwork", ("openpose-hand",),
                ("conv6_2_CPM.weight",)),
    NetworkSpec("openpifpaf", "k30", "OpenPifPaf ShuffleNetV2K30", "pifpaf.ShuffleNetV2K30", ("pifpaf-k30",),
                ("head_nets.1.conv.weight", "base_net.stage3.15.branch2.0.weight")),
    NetworkSpec("openpifpaf", "k16", "OpenPifPaf ShuffleNetV2K16", "pifpaf.ShuffleNetV2K16", ("pifpaf-k16",),
                ("head_nets.1.conv.weight", "base_net.stage3.7.branch2.0.weight")),
    NetworkSpec("ade20k", "uniformer", "UniFormer-S + UPerNet", "upernet.UniFormerUPerNet", ("upernet-small",),
                ("backbone.patch_embed1.proj.weight", "decode_head.conv_seg.weight")),
    NetworkSpec("coco", "deeplab", "DeepLabV2 ResNet-101", "deeplab.DeepLabV2MSC", ("deeplab-coco", "deeplab-coco-10k"),
                ("base.aspp.c0.weight",)),
)  # fmt: skip
"""All of them. The default network of a family is the one with which the released ControlNets' maps were made."""

_ORDER = {
    "hough": ("mlsd", "lsd"),
    "hed": ("hed", "tin", "gradient"),
    "lineart": ("anime2sketch", "standard"),
    "openpifpaf": ("k16", "k30"),
}
"""The methods of a family, the default first, where it has some without weights or in another order than above."""


def methods(family: str) -> tuple[Method, ...]:
    """The methods of a family, the default first."""
    networks = [spec for spec in NETWORKS if spec.family == family]
    names = _ORDER.get(family) or dict.fromkeys(spec.method for spec in networks)
    return tuple(Method(name, tuple(spec for spec in networks if spec.method == name)) for name in names)


FAMILIES = tuple(dict.fromkeys(spec.family for spec in NETWORKS))


def default(family: str) -> Method:
    """The method that is taken where none is named."""
    return methods(family)[0]


def spec_of(name: str) -> NetworkSpec:
    """The row of the network whose class has this name."""
    return next(spec for spec in NETWORKS if spec.name == name)


def identify(names: Collection[str], family: str | None = None) -> NetworkSpec | None:
    """The network (of a family) that a file with tensors of these names holds; None for an unrecognized one."""
    rows = (spec for spec in NETWORKS if family in (None, spec.family))
    return next((spec for spec in rows if all(tensor in names for tensor in spec.tensors)), None)


def choose(family: str, name: str | None, weights_given: bool) -> Method | None:
    """The method that `--method` names; without one the default, or None where the given weights will tell.

    Raises UsageError for a method that the family does not have, and for weights that nothing would use.
    """
    if name is None:
        return None if weights_given else default(family)
    found = {method.name: method for method in methods(family)}.get(name)
    if found is None:
        known = [method.name for method in methods(family)]
        raise UsageError(f"--method is {', '.join(known[:-1])} or {known[-1]}, not {name!r}")
    if weights_given and not found.networks:
        raise UsageError(f"--method {name} uses no weights: leave out --weights, or the method")
    return found


def check(method: Method | None, path: str, network: NetworkSpec) -> None:
    """Raises WeightsError when the file at `path`, which holds `network`, does not serve `method`; None takes any."""
    if method is not None and network not in method.networks:
        wanted = " or ".join(spec.title for spec in method.networks)
        raise WeightsError(f"{path}: holds {network.title}, but --method {method.name} takes {wanted}")
