"""Published weights for what an image shows: classes, depth, normals, captions."""

from cn.weights.published_file import ANNOTATORS, CAPTIONS, CONTROLNET, UNSTATED, Published

_MIDAS = "https://github.com/isl-org/MiDaS/releases/download/"


SCENES: tuple[Published, ...] = (
    Published(
        name="upernet-small",
        file="upernet_global_small.pth",
        kinds=("ade20k",),
        method="uniformer",
        about="UniFormer-S with UPerNet, 150 classes: what the ADE20K ControlNet is used with",
        license="Apache-2.0 (network; ADE20K has research terms)",
        origins=(ANNOTATORS + "upernet_global_small.pth", CONTROLNET + "upernet_global_small.pth"),
        size_about=206_000_000,
        sha256="bebfa1264c10381e389d8065056baaadbdadee8ddc6e36770d1ec339dc84d970",
        readable=True,
    ),
    Published(
        name="deeplab-coco",
        file="deeplabv2_resnet101_msc-cocostuff164k-100000.pth",
        kinds=("coco",),
        method="deeplab",
        about="DeepLabV2, ResNet-101, COCO-Stuff 164k, 182 labels",
        license="MIT",
        origins=(
            "https://github.com/kazuto1011/deeplab-pytorch/releases/download/v1.0/"
            "deeplabv2_resnet101_msc-cocostuff164k-100000.pth",
        ),
        size_about=224_000_000,
        readable=True,
    ),
    Published(
        name="deeplab-coco-10k",
        file="deeplabv2_resnet101_msc-cocostuff10k-20000.pth",
        kinds=("coco",),
        method="deeplab",
        about="DeepLabV2, ResNet-101, COCO-Stuff 10k, 182 labels",
        license="MIT",
        origins=(
            "https://github.com/kazuto1011/deeplab-pytorch/releases/download/v1.0/"
            "deeplabv2_resnet101_msc-cocostuff10k-20000.pth",
        ),
        size_about=224_000_000,
        readable=True,
    ),
    Published(
        name="dpt-hybrid",
        file="dpt_hybrid-midas-501f0c75.pt",
        kinds=("depth", "normal"),
        method="dpt-hybrid",
        about="MiDaS 3, DPT-hybrid: what the depth ControlNet was trained with",
        license="MIT",
        origins=(CONTROLNET + "dpt_hybrid-midas-501f0c75.pt", _MIDAS + "v3/dpt_hybrid_384.pt"),
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
        license="MIT",
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
        license=UNSTATED,
        origins=(ANNOTATORS + "scannet.pt",),
        size_about=291_000_000,
        sha256="03dbf1600c51ee3d45c29f77b77bf1a3b7a24c3452dba62a4ae658f37330c209",
    ),
    Published(
        name="blip",
        file="model_base_caption_capfilt_large.pth",
        kinds=(CAPTIONS,),
        method="blip",
        about="BLIP base, what the paper captioned its data sets with",
        license="BSD-3-Clause",
        origins=(
            "https://storage.googleapis.com/sfr-vision-language-research/BLIP/models/"
            "model_base_caption_capfilt_large.pth",
        ),
        size=896_081_425,
        sha256="96ac8749bd0a568c274ebe302b3a3748ab9be614c737f3d8c529697139174086",
    ),
    Published(
        name="blip-hf",
        file="blip-image-captioning-base.bin",
        kinds=(CAPTIONS,),
        method="blip",
        about="BLIP base in the layout of transformers",
        license="BSD-3-Clause",
        origins=("https://huggingface.co/Salesforce/blip-image-captioning-base/resolve/main/pytorch_model.bin",),
        size=989_820_849,
        sha256="d6638651a5526cc2ede56f2b5104d6851b0755816d220e5e046870430180c767",
    ),
)
