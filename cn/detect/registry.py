"""Every condition, method and network of the detectors: one row each. No NumPy, no torch.

What a network is called, which method of which family it belongs to, its class, its published files and how its files
are identified are here and nowhere else; size, hash, license and origin of a file are in `cn/weights/catalog.toml`.
Classes are named as strings and imported where they are used.
"""

from collections.abc import Collection
from dataclasses import dataclass

from cn.errors import UsageError, WeightsError


@dataclass(frozen=True)
class KindSpec:
    """A kind of condition maps, and what makes them."""

    kind: str
    """A kind of `cn.conditions`."""
    detector: str
    """Module and class in `cn.detect`."""
    family: str | None = None
    """The family of networks that its detector uses; None for detectors that never use one."""
    second_family: str | None = None
    """The family of a second, optional network."""
    file_options: str | None = None
    """The options that take drawings, labels or measurements instead of photographs, which need no network."""


@dataclass(frozen=True)
class NetworkSpec:
    """A supported network."""

    family: str
    """What its kinds (`KindSpec.family`) call it."""
    method: str
    """What `--method` calls it."""
    title: str
    """What it is called in messages and in the text of the PNGs."""
    net: str
    """Module and class in `cn.detect.nets`."""
    weights: tuple[str, ...]
    """Published files, by their names in `cn.weights.catalog`; the first is the default."""
    tensors: tuple[str, ...]
    """Names that all its files have. If several rows fit a file, the row with the most names wins."""
    about: str = ""
    """What `--help` says of the method; in the row of its first network."""

    @property
    def class_name(self) -> str:
        """The name of its class."""
        return self.net.rpartition(".")[2]


@dataclass(frozen=True)
class WeightFreeSpec:
    """A method that needs no network."""

    family: str
    method: str
    title: str
    """What it is called in the text of the PNGs."""
    about: str = "no weights needed"


@dataclass(frozen=True)
class Method:
    """One method of a family: its networks, or none."""

    name: str
    about: str
    networks: tuple[NetworkSpec, ...] = ()

    @property
    def weights(self) -> str:
        """The catalog's name of the file that is used where no other is given."""
        return self.networks[0].weights[0]


KIND_SPECS = (
    KindSpec("canny", "lines.canny.CannyDetector"),
    KindSpec("hough", "lines.hough.HoughDetector", "hough"),
    KindSpec("hed", "lines.hed.HedDetector", "hed"),
    KindSpec("scribble", "lines.scribble.ScribbleDetector", "hed", file_options="--from-drawing"),
    KindSpec("openpose", "pose.openpose.OpenPoseDetector", "openpose", "hands", file_options="--from-json"),
    KindSpec("openpifpaf", "pose.pifpaf.PifPafDetector", "openpifpaf"),
    KindSpec("ade20k", "segmentation.detectors.Ade20kDetector", "ade20k", file_options="--from-labels"),
    KindSpec("coco", "segmentation.detectors.CocoDetector", "coco", file_options="--from-labels"),
    KindSpec("depth", "surfaces.depth.DepthDetector", "depth", file_options="--from-depth"),
    KindSpec("normal", "surfaces.normal.NormalDetector", "depth",
             file_options="--from-diode, --from-normals, --from-depth"),
    KindSpec("lineart", "lines.lineart.LineartDetector", "lineart"),
)  # fmt: skip
"""One row for each condition, in the order of the help."""

METHODS = (
    NetworkSpec("hough", "mlsd", "M-LSD large", "mlsd.MLSDLarge", ("mlsd-large",),
                ("backbone.features.0.0.weight", "block23.conv3.weight"), "the network of the paper"),
    NetworkSpec("hough", "mlsd", "M-LSD tiny", "mlsd.MLSDTiny", ("mlsd-tiny",), ("backbone.features.0.0.weight",)),
    WeightFreeSpec("hough", "lsd", "LSD (OpenCV)"),
    NetworkSpec("hed", "hed", "HED (ControlNetHED)", "hed.ControlNetHED", ("controlnet-hed",),
                ("norm", "block1.convs.0.weight"), "the network of the paper"),
    NetworkSpec("hed", "hed", "HED (network-bsds500)", "hed.BSDS500HED", ("hed-bsds500",), ("moduleVggOne.0.weight",)),
    NetworkSpec("hed", "tin", "TIN", "tin.TIN", ("tin2", "tin1"), ("em1_1.conv.weight",), "a small network"),
    WeightFreeSpec("hed", "gradient", "gradients at three scales"),
    NetworkSpec("depth", "dpt-hybrid", "MiDaS DPT-hybrid", "dpt.DPTHybrid", ("dpt-hybrid",),
                ("pretrained.model.patch_embed.backbone.stem.conv.weight",), "the network of the paper"),
    NetworkSpec("depth", "midas-small", "MiDaS v2.1 small", "midas_small.MidasSmall", ("midas-small",),
                ("pretrained.layer1.3.0.conv_dw.weight",), "a small, fast network"),
    NetworkSpec("lineart", "anime2sketch", "Anime2Sketch", "sketch.Anime2Sketch", ("anime2sketch",),
                ("model.model.0.weight",), "a network made for drawn images"),
    WeightFreeSpec("lineart", "standard", "darker than its surroundings"),
    NetworkSpec("openpose", "openpose", "OpenPose", "openpose.BodyNetwork", ("openpose-body",),
                ("Mconv7_stage6_L2.weight",), "the network of the paper"),
    NetworkSpec("openpose", "light", "Lightweight OpenPose", "openpose_light.LightBodyNetwork", ("openpose-light",),
                ("cpm.align.0.weight",), "a small network, free to use"),
    NetworkSpec("openpose", "keypointrcnn", "Keypoint R-CNN", "keypoint_rcnn.KeypointRCNN", ("keypointrcnn",),
                ("roi_heads.keypoint_predictor.kps_score_lowres.weight",), "torchvision's network, free to use"),
    NetworkSpec("hands", "openpose", "OpenPose's hands", "openpose.HandNetwork", ("openpose-hand",),
                ("conv6_2_CPM.weight",), "OpenPose's hand network"),
    NetworkSpec("openpifpaf", "k16", "OpenPifPaf ShuffleNetV2K16", "pifpaf.ShuffleNetV2K16", ("pifpaf-k16",),
                ("head_nets.1.conv.weight", "base_net.stage3.7.branch2.0.weight"), "ShuffleNetV2K16"),
    NetworkSpec("openpifpaf", "k30", "OpenPifPaf ShuffleNetV2K30", "pifpaf.ShuffleNetV2K30", ("pifpaf-k30",),
                ("head_nets.1.conv.weight", "base_net.stage3.7.branch2.0.weight",
                 "base_net.stage3.15.branch2.0.weight"), "ShuffleNetV2K30, larger and slower"),
    NetworkSpec("ade20k", "uniformer", "UniFormer-S + UPerNet", "upernet.UniFormerUPerNet", ("upernet-small",),
                ("backbone.patch_embed1.proj.weight", "decode_head.conv_seg.weight"), "the network of the release"),
    NetworkSpec("coco", "deeplab", "DeepLabV2 ResNet-101", "deeplab.DeepLabV2MSC", ("deeplab-coco", "deeplab-coco-10k"),
                ("base.aspp.c0.weight",), "a network trained on COCO-Stuff"),
)  # fmt: skip
"""The methods of each family, the default first: the one with which the released ControlNets' maps were made."""

NETWORKS = tuple(row for row in METHODS if isinstance(row, NetworkSpec))


def kind_spec(kind: str) -> KindSpec:
    """The row of a condition."""
    return next(row for row in KIND_SPECS if row.kind == kind)


def kinds_of(family: str) -> tuple[str, ...]:
    """The conditions whose maps the networks of a family make."""
    return tuple(row.kind for row in KIND_SPECS if family in (row.family, row.second_family))


def methods(family: str) -> tuple[Method, ...]:
    """The methods of a family, the default first."""
    rows = [row for row in METHODS if row.family == family]
    named = {name: [row for row in rows if row.method == name] for name in dict.fromkeys(row.method for row in rows)}
    return tuple(
        Method(name, same[0].about, tuple(row for row in same if isinstance(row, NetworkSpec)))
        for name, same in named.items()
    )


def default_method(family: str) -> Method:
    """The method that is taken where none is named."""
    return methods(family)[0]


def has_weight_free_method(family: str) -> bool:
    return any(isinstance(row, WeightFreeSpec) for row in METHODS if row.family == family)


def weight_free_title(family: str) -> str:
    """What the method of a family that needs no network is called in the PNGs' text."""
    return next(row.title for row in METHODS if row.family == family and isinstance(row, WeightFreeSpec))


def without_weights(kind: str) -> str | None:
    """The options with which `cn detect KIND` needs no weights for photographs or drawings; "" where none are needed.

    None for kinds that always need weights for photographs.
    """
    row = kind_spec(kind)
    if row.family is None:
        return ""
    options = [f"--method {method.name}" for method in methods(row.family) if not method.networks]
    return " or ".join([*options, *([row.file_options] if row.file_options else [])]) if options else None


def spec_of(class_name: str) -> NetworkSpec:
    """The row of the network whose class has this name."""
    return next(spec for spec in NETWORKS if spec.class_name == class_name)


def published_by(name: str) -> NetworkSpec | None:
    """The network that reads the published file of this name in `cn.weights.catalog`."""
    return next((spec for spec in NETWORKS if name in spec.weights), None)


def identify(names: Collection[str], family: str | None = None) -> NetworkSpec | None:
    """The network (of a family) that a file with tensors of these names holds; None for an unrecognized one."""
    rows = (spec for spec in NETWORKS if family in (None, spec.family))
    fitting = (spec for spec in rows if all(tensor in names for tensor in spec.tensors))
    return max(fitting, key=lambda spec: len(spec.tensors), default=None)


def choose_method(family: str, name: str | None, weights_given: bool) -> Method | None:
    """The method that `--method` names; without one the default, or None where the given weights identify it.

    Raises UsageError for a method that the family does not have, and for weights that nothing would use.
    """
    if name is None:
        return None if weights_given else default_method(family)
    found = {method.name: method for method in methods(family)}.get(name)
    if found is None:
        known = [method.name for method in methods(family)]
        raise UsageError(f"--method is {', '.join(known[:-1])} or {known[-1]}, not {name!r}")
    if weights_given and not found.networks:
        raise UsageError(f"--method {name} uses no weights: leave out --weights, or the method")
    return found


def check_method(method: Method | None, path: str, network: NetworkSpec) -> None:
    """Raises WeightsError when the file at `path` holds a `network` that is not of `method`; None accepts any."""
    if method is not None and network not in method.networks:
        wanted = " or ".join(spec.title for spec in method.networks)
        raise WeightsError(f"holds {network.title}, but --method {method.name} takes {wanted}", path=path)
