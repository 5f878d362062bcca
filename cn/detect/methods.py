"""The ways of detecting each kind that has several, or that needs weights. No NumPy, no torch.

The first method of a kind is the default: the network with which the released ControlNets' maps were made.
"""

from dataclasses import dataclass

from cn.errors import UsageError, WeightsError


@dataclass(frozen=True)
class Method:
    """One way of making the maps of a kind."""

    name: str
    networks: tuple[str, ...] = ()
    """The classes of `cn.detect.nets` that serve it; none for a method without weights."""
    published: str = ""
    """The published file that serves it where no other is given."""


METHODS: dict[str, tuple[Method, ...]] = {
    "hough": (Method("mlsd", ("MLSDLarge", "MLSDTiny"), "mlsd_large_512_fp32.pth"), Method("lsd")),
    "hed": (
        Method("hed", ("ControlNetHED", "BSDS500HED"), "ControlNetHED.pth"),
        Method("tin", ("TIN",), "TIN2.pth"),
        Method("gradient"),
    ),
    "depth": (
        Method("dpt-hybrid", ("DPTHybrid",), "dpt_hybrid-midas-501f0c75.pt"),
        Method("midas-small", ("MidasSmall",), "midas_v21_small_256.pt"),
    ),
    "lineart": (Method("anime2sketch", ("Anime2Sketch",), "netG.pth"), Method("standard")),
    "openpose": (
        Method("openpose", ("BodyNetwork",), "body_pose_model.pth"),
        Method("light", ("LightBodyNetwork",), "checkpoint_iter_370000.pth"),
        Method("keypointrcnn", ("KeypointRCNN",), "keypointrcnn_resnet50_fpn_coco-fc266e95.pth"),
    ),
    "hands": (Method("openpose", ("HandNetwork",), "hand_pose_model.pth"),),
    "openpifpaf": (
        Method(
            "k16", ("ShuffleNetV2K16",), "shufflenetv2k16-210820-232500-cocokp-slurm726069-edge513-o10s-7189450a.pkl"
        ),
        Method(
            "k30", ("ShuffleNetV2K30",), "shufflenetv2k30-210821-003923-cocokp-slurm726072-edge513-o10s-5fe1c400.pkl"
        ),
    ),
    "ade20k": (Method("uniformer", ("UniFormerUPerNet",), "upernet_global_small.pth"),),
    "coco": (Method("deeplab", ("DeepLabV2MSC",), "deeplabv2_resnet101_msc-cocostuff164k-100000.pth"),),
}

NETWORKS = {
    "MLSDLarge": "M-LSD large",
    "MLSDTiny": "M-LSD tiny",
    "ControlNetHED": "HED (ControlNetHED)",
    "BSDS500HED": "HED (network-bsds500)",
    "TIN": "TIN",
    "DPTHybrid": "MiDaS DPT-hybrid",
    "MidasSmall": "MiDaS v2.1 small",
    "Anime2Sketch": "Anime2Sketch",
    "BodyNetwork": "OpenPose",
    "HandNetwork": "OpenPose's hands",
    "LightBodyNetwork": "Lightweight OpenPose",
    "KeypointRCNN": "Keypoint R-CNN",
    "ShuffleNetV2K16": "OpenPifPaf ShuffleNetV2K16",
    "ShuffleNetV2K30": "OpenPifPaf ShuffleNetV2K30",
    "UniFormerUPerNet": "UniFormer-S + UPerNet",
    "DeepLabV2MSC": "DeepLabV2 ResNet-101",
}
"""What each class of `cn.detect.nets` is called, in messages and in the PNGs' text."""


def choose(kind: str, name: str | None, weights_given: bool) -> Method | None:
    """The method that `--method` names; without one the default, or None where the given weights will tell.

    Raises UsageError for a method that `kind` does not have, and for weights that nothing would use.
    """
    if name is None:
        return None if weights_given else METHODS[kind][0]
    found = {method.name: method for method in METHODS[kind]}.get(name)
    if found is None:
        known = [method.name for method in METHODS[kind]]
        raise UsageError(f"--method is {', '.join(known[:-1])} or {known[-1]}, not {name!r}")
    if weights_given and not found.networks:
        raise UsageError(f"--method {name} uses no weights: leave out --weights, or the method")
    return found


def check(method: Method | None, path: str, network: str) -> None:
    """Raises WeightsError when the file at `path`, which holds `network`, does not serve `method`; None takes any."""
    if method is not None and network not in method.networks:
        wanted = " or ".join(NETWORKS[name] for name in method.networks)
        raise WeightsError(f"{path}: holds {NETWORKS[network]}, but --method {method.name} takes {wanted}")
