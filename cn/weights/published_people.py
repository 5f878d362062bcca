"""Published weights for people: OpenPose, its alternatives, and OpenPifPaf."""

from cn.weights.published_file import ANNOTATORS, CONTROLNET, NON_COMMERCIAL, Published

_CMU = f"CMU OpenPose: {NON_COMMERCIAL} research only"
_CMU_MODELS = "http://posefs1.perception.cs.cmu.edu/OpenPose/models/"
_PIFPAF = "https://github.com/openpifpaf/torchhub/releases/download/v0.13/"


PEOPLE: tuple[Published, ...] = (
    Published(
        name="openpose-body",
        file="body_pose_model.pth",
        kinds=("openpose",),
        method="openpose",
        about="OpenPose, body: what the pose ControlNet was trained with",
        licence=_CMU,
        origins=(ANNOTATORS + "body_pose_model.pth", CONTROLNET + "body_pose_model.pth"),
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
        origins=(ANNOTATORS + "hand_pose_model.pth", CONTROLNET + "hand_pose_model.pth"),
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
        origins=(ANNOTATORS + "facenet.pth",),
        size=153_718_792,
        sha256="8beb52e548624ffcc4aed12af7aee7dcbfaeea420c75609fee999fe7add79d43",
    ),
    Published(
        name="openpose-body-caffe",
        file="pose_iter_440000.caffemodel",
        kinds=("openpose",),
        method="openpose",
        about="OpenPose, body of 18 points, for Caffe: openpose-body holds its weights",
        licence=_CMU,
        origins=(_CMU_MODELS + "pose/coco/pose_iter_440000.caffemodel",),
        md5="5156d31f670511fce9b4e28b403f2939",
    ),
    Published(
        name="openpose-body25-caffe",
        file="pose_iter_584000.caffemodel",
        kinds=("openpose",),
        method="openpose",
        about="OpenPose, body of 25 points, for Caffe; no ControlNet uses it",
        licence=_CMU,
        origins=(_CMU_MODELS + "pose/body_25/pose_iter_584000.caffemodel",),
    ),
    Published(
        name="openpose-hand-caffe",
        file="pose_iter_102000.caffemodel",
        kinds=("openpose",),
        method="openpose",
        about="OpenPose, hands, for Caffe: openpose-hand holds its weights",
        licence=_CMU,
        origins=(_CMU_MODELS + "hand/pose_iter_102000.caffemodel",),
        md5="a82cfc3fea7c62f159e11bd3674c1531",
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
        name="pifpaf-k16",
        file="shufflenetv2k16-210820-232500-cocokp-slurm726069-edge513-o10s-7189450a.pkl",
        kinds=("openpifpaf",),
        method="k16",
        about="OpenPifPaf, ShuffleNetV2K16",
        licence="AGPL-3.0",
        origins=(_PIFPAF + "shufflenetv2k16-210820-232500-cocokp-slurm726069-edge513-o10s-7189450a.pkl",),
        size_about=40_800_000,
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
        size_about=120_600_000,
        sha256="5fe1c400",
    ),
)
