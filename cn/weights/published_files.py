"""The table of published weights. Origins on Hugging Face are pinned to a revision where one is known."""

from dataclasses import dataclass

from cn.units import bytes_text

NON_COMMERCIAL = "non-commercial"

_ANNOTATORS = "https://huggingface.co/lllyasviel/Annotators/resolve/982e7edaec38759d914a963c48c4726685de7d96/"
_CONTROLNET = (
    "https://huggingface.co/lllyasviel/ControlNet/resolve/e78a8c4a5052a238198043ee5c0cb44e22abb9f7/annotator/ckpts/"
)
_MLSD = "https://github.com/lhwcv/mlsd_pytorch/raw/main/models/"
_TIN = "https://github.com/jannctu/TIN/raw/b31267371a8ee4021b24732e7ef0ca6874c3a111/weights/"
_PIFPAF = "https://github.com/openpifpaf/torchhub/releases/download/v0.13/"
_MIDAS = "https://github.com/isl-org/MiDaS/releases/download/"

_CMU = f"CMU OpenPose: {NON_COMMERCIAL} research only"
_UNSTATED = "not stated"


@dataclass(frozen=True)
class Published:
    """One published file of weights."""

    name: str
    """What a person types: lower case, unique, no condition's name."""
    file: str
    kinds: tuple[str, ...]
    """The conditions that it serves, its own first."""
    method: str
    about: str
    licence: str
    origins: tuple[str, ...]
    """URLs, tried in order."""
    size: int | None = None
    """Bytes, exactly; None when only about known or unknown."""
    size_about: int | None = None
    """Bytes, roughly, where `size` is None."""
    sha256: str | None = None
    """Hexadecimal: all 64 digits, or the known beginning; None when nobody published it."""
    aliases: tuple[str, ...] = ()
    """Other names under which the same file is published."""
    readable: bool = False
    """Whether this version of cn has the network; the others are listed for what they are."""

    @property
    def non_commercial(self) -> bool:
        return NON_COMMERCIAL in self.licence

    @property
    def size_text(self) -> str:
        """ "6.3 MB", "about 58.9 MB", or "" when unknown."""
        if self.size is not None:
            return bytes_text(self.size)
        return f"about {bytes_text(self.size_about)}" if self.size_about else ""


FILES: tuple[Published, ...] = (
    Published(
        name="mlsd-large",
        file="mlsd_large_512_fp32.pth",
        kinds=("hough",),
        method="mlsd",
        about="M-LSD, the large network: what the Hough ControlNet was trained with",
        licence="Apache-2.0",
        origins=(
            _ANNOTATORS + "mlsd_large_512_fp32.pth",
            _CONTROLNET + "mlsd_large_512_fp32.pth",
            _MLSD + "mlsd_large_512_fp32.pth",
        ),
        size=6_341_481,
        sha256="5696f168eb2c30d4374bbfd45436f7415bb4d88da29bea97eea0101520fba082",
        readable=True,
    ),
    Published(
        name="mlsd-tiny",
        file="mlsd_tiny_512_fp32.pth",
        kinds=("hough",),
        method="mlsd",
        about="M-LSD, the tiny network",
        licence="Apache-2.0",
        origins=(_CONTROLNET + "mlsd_tiny_512_fp32.pth", _MLSD + "mlsd_tiny_512_fp32.pth"),
        size=2_613_835,
        sha256="3f2323cfb9faec5a0ef2454c4f68998da21a9f1b7918ce89b85886628b750b94",
        readable=True,
    ),
    Published(
        name="controlnet-hed",
        file="ControlNetHED.pth",
        kinds=("hed", "scribble"),
        method="hed",
        about="HED in half precision, as ControlNet ships it since April 2023",
        licence="Apache-2.0",
        origins=(_ANNOTATORS + "ControlNetHED.pth",),
        size=29_444_406,
        sha256="5ca93762ffd68a29fee1af9d495bf6aab80ae86f08905fb35472a083a4c7a8fa",
        readable=True,
    ),
    Published(
        name="hed-bsds500",
        file="network-bsds500.pth",
        kinds=("hed", "scribble"),
        method="hed",
        about="HED with its fusing layer, as ControlNet's first release used it",
        licence=_UNSTATED,
        origins=(_CONTROLNET + "network-bsds500.pth",),
        size_about=58_900_000,
        sha256="58a858782f5fa3e0ca3dc92e7a1a609add93987d77be3dfa54f8f8419d881a94",
        readable=True,
    ),
    Published(
        name="tin2",
        file="TIN2.pth",
        kinds=("hed", "scribble"),
        method="tin",
        about="TIN, two stages: a small soft-edge network",
        licence="MIT",
        origins=(_TIN + "TIN2.pth",),
        size=987_380,
        sha256="d284a00d155de7c234fccc68bd01cbcbebb4c1338853a9c2f705673df5a32694",
        readable=True,
    ),
    Published(
        name="tin1",
        file="TIN1.pth",
        kinds=("hed", "scribble"),
        method="tin",
        about="TIN, one stage",
        licence="MIT",
        origins=(_TIN + "TIN1.pth",),
        size=351_126,
        sha256="2b1811a4006f7072f45bac30b02227ce21f44ad43eb8ab45275febffd7f07287",
        readable=True,
    ),
    Published(
        name="pidinet",
        file="table5_pidinet.pth",
        kinds=("hed", "scribble"),
        method="pidinet",
        about="PiDiNet, the soft edge of ControlNet 1.1",
        licence=f"{NON_COMMERCIAL}: research only",
        origins=(
            _ANNOTATORS + "table5_pidinet.pth",
            "https://github.com/hellozhuo/pidinet/raw/master/trained_models/table5_pidinet.pth",
        ),
        size=2_871_148,
        sha256="80860ac267258b5f27486e0ef152a211d0b08120f62aeb185a050acc30da486c",
    ),
    Published(
        name="teed-7",
        file="7_model.pth",
        kinds=("hed", "scribble"),
        method="teed",
        about="TEED, a tiny soft-edge network, seventh epoch",
        licence="MIT",
        origins=("https://huggingface.co/bdsqlsz/qinglong_controlnet-lllite/resolve/main/Annotators/7_model.pth",),
        size=247_232,
        sha256="b9037964149c55156c6adbffdfbd7e8ca7d2ef2a4d90573520efa7f3a1aacf06",
    ),
    Published(
        name="teed-5",
        file="5_model.pth",
        kinds=("hed", "scribble"),
        method="teed",
        about="TEED, a tiny soft-edge network, fifth epoch",
        licence="MIT",
        origins=("https://huggingface.co/fal-ai/teed/resolve/main/5_model.pth",),
        size_about=246_000,
    ),
    Published(
        name="openpose-body",
        file="body_pose_model.pth",
        kinds=("openpose",),
        method="openpose",
        about="OpenPose, body: what the pose ControlNet was trained with",
        licence=_CMU,
        origins=(_ANNOTATORS + "body_pose_model.pth", _CONTROLNET + "body_pose_model.pth"),
        size=209_267_595,
        sha256="25a948c16078b0f08e236bda51a385d855ef4c153598947c28c0d47ed94bb746",
    ),
    Published(
        name="openpose-hand",
        file="hand_pose_model.pth",
        kinds=("openpose",),
        method="openpose",
        about="OpenPose, hands",
        licence=_CMU,
        origins=(_ANNOTATORS + "hand_pose_model.pth", _CONTROLNET + "hand_pose_model.pth"),
        size=147_341_049,
        sha256="b76b00d1750901abd07b9f9d8c98cc3385b8fe834a26d4b4f0aad439e75fc600",
    ),
    Published(
        name="openpose-face",
        file="facenet.pth",
        kinds=("openpose",),
        method="openpose",
        about="OpenPose, face (ControlNet 1.1 only)",
        licence=_CMU,
        origins=(_ANNOTATORS + "facenet.pth",),
        size=153_718_792,
        sha256="8beb52e548624ffcc4aed12af7aee7dcbfaeea420c75609fee999fe7add79d43",
    ),
    Published(
        name="keypointrcnn",
        file="keypointrcnn_resnet50_fpn_coco-fc266e95.pth",
        kinds=("openpose",),
        method="keypointrcnn",
        about="torchvision's Keypoint R-CNN, 17 points",
        licence="BSD-3-Clause",
        origins=("https://download.pytorch.org/models/keypointrcnn_resnet50_fpn_coco-fc266e95.pth",),
        size_about=237_030_000,
        sha256="fc266e95",
    ),
    Published(
        name="openpose-light",
        file="checkpoint_iter_370000.pth",
        kinds=("openpose",),
        method="light",
        about="Lightweight OpenPose on MobileNet",
        licence="Apache-2.0",
        origins=(
            "https://download.01.org/opencv/openvino_training_extensions/models/human_pose_estimation/"
            "checkpoint_iter_370000.pth",
        ),
    ),
    Published(
        name="pifpaf-k16",
        file="shufflenetv2k16-210820-232500-cocokp-slurm726069-edge513-o10s-7189450a.pkl",
        kinds=("openpifpaf",),
        method="k16",
        about="OpenPifPaf, ShuffleNetV2K16",
        licence="AGPL-3.0",
        origins=(_PIFPAF + "shufflenetv2k16-210820-232500-cocokp-slurm726069-edge513-o10s-7189450a.pkl",),
        size_about=38_900_000,
        sha256="7189450a",
    ),
    Published(
        name="pifpaf-k30",
        file="shufflenetv2k30-210821-003923-cocokp-slurm726072-edge513-o10s-5fe1c400.pkl",
        kinds=("openpifpaf",),
        method="k30",
        about="OpenPifPaf, ShuffleNetV2K30",
        licence="AGPL-3.0",
        origins=(_PIFPAF + "shufflenetv2k30-210821-003923-cocokp-slurm726072-edge513-o10s-5fe1c400.pkl",),
        size_about=115_000_000,
        sha256="5fe1c400",
    ),
    Published(
        name="upernet-small",
        file="upernet_global_small.pth",
        kinds=("ade20k",),
        method="uniformer",
        about="UniFormer-S with UPerNet, 150 classes: what the ADE20K ControlNet is used with",
        licence="Apache-2.0 (network; ADE20K has research terms)",
        origins=(_ANNOTATORS + "upernet_global_small.pth", _CONTROLNET + "upernet_global_small.pth"),
        size_about=206_000_000,
        sha256="bebfa1264c10381e389d8065056baaadbdadee8ddc6e36770d1ec339dc84d970",
    ),
    Published(
        name="deeplab-coco",
        file="deeplabv2_resnet101_msc-cocostuff164k-100000.pth",
        kinds=("coco",),
        method="deeplab",
        about="DeepLabV2, ResNet-101, COCO-Stuff 164k, 182 labels",
        licence="MIT",
        origins=(
            "https://github.com/kazuto1011/deeplab-pytorch/releases/download/v1.0/"
            "deeplabv2_resnet101_msc-cocostuff164k-100000.pth",
        ),
        size_about=224_000_000,
    ),
    Published(
        name="dpt-hybrid",
        file="dpt_hybrid-midas-501f0c75.pt",
        kinds=("depth", "normal"),
        method="dpt-hybrid",
        about="MiDaS 3, DPT-hybrid: what the depth ControlNet was trained with",
        licence="MIT",
        origins=(_CONTROLNET + "dpt_hybrid-midas-501f0c75.pt", _MIDAS + "v3/dpt_hybrid_384.pt"),
        size_about=492_600_000,
        sha256="501f0c75b3bca7daec6b3682c5054c09b366765aef6fa3a09d03a5cb4b230853",
        aliases=("dpt_hybrid_384.pt",),
        readable=True,
    ),
    Published(
        name="midas-small",
        file="midas_v21_small_256.pt",
        kinds=("depth", "normal"),
        method="midas-small",
        about="MiDaS 2.1, small",
        licence="MIT",
        origins=(_MIDAS + "v2_1/midas_v21_small_256.pt",),
        size_about=85_800_000,
        sha256="70d6b9c8",
        aliases=("midas_v21_small-70d6b9c8.pt",),
        readable=True,
    ),
    Published(
        name="normalbae",
        file="scannet.pt",
        kinds=("normal",),
        method="normalbae",
        about="NormalBAE, the normals of ControlNet 1.1",
        licence=_UNSTATED,
        origins=(_ANNOTATORS + "scannet.pt",),
        size_about=291_000_000,
        sha256="03dbf1600c51ee3d45c29f77b77bf1a3b7a24c3452dba62a4ae658f37330c209",
    ),
    Published(
        name="anime2sketch",
        file="netG.pth",
        kinds=("lineart",),
        method="anime2sketch",
        about="Anime2Sketch, line drawings of cartoons",
        licence="MIT",
        origins=(_ANNOTATORS + "netG.pth",),
        size=217_631_959,
        sha256="ccabdcc3f5cf3c07cf65d58776acb21df7dfda825cdc70c9766a93fd62bfc488",
        readable=True,
    ),
    Published(
        name="sketch",
        file="sk_model.pth",
        kinds=("lineart",),
        method="informative-drawings",
        about="Informative Drawings, fine lines (ControlNet 1.1)",
        licence=_UNSTATED,
        origins=(_ANNOTATORS + "sk_model.pth",),
        size=17_173_511,
        sha256="c686ced2a666b4850b4bb6ccf0748031c3eda9f822de73a34b8979970d90f0c6",
    ),
    Published(
        name="sketch-coarse",
        file="sk_model2.pth",
        kinds=("lineart",),
        method="informative-drawings",
        about="Informative Drawings, coarse lines (ControlNet 1.1)",
        licence=_UNSTATED,
        origins=(_ANNOTATORS + "sk_model2.pth",),
        size=17_173_511,
        sha256="30a534781061f34e83bb9406b4335da4ff2616c95d22a585c1245aa8363e74e0",
    ),
)
