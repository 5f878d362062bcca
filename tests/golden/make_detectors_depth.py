"""Make `detectors_depth.npz`: the outputs of other implementations for our weights and images.

    python -m tests.golden.make_detectors_depth CHECKOUT_OF_THE_RELEASE        (from the repository's root)

CHECKOUT_OF_THE_RELEASE is lllyasviel/ControlNet (commit ed85cd1), whose annotator/midas is MiDaS v3 as the released
ControlNets used it. Needs transformers (5.23.0) and geffnet (1.0.2, the EfficientNets that MiDaS fetches through
torch.hub) on top of this environment (timm 1.0.31, torch 2.15.0, opencv 5.0.0). All numbers are float32 from a CPU.

    dpt.keys, small.keys             name and shape of every tensor, one a line, of the networks of annotator/midas
    dpt.annotator, small.annotator   inverse depth of `network_input`, thinned
        by DPTDepthModel and MidasNet_small of annotator/midas
    dpt.transformers                 inverse depth of `square_input`, thinned
        by transformers' DPTForDepthEstimation, whose ResNet and ViT are not timm's
    released.depth, released.normal  both maps of a 100×150 image at short side 64, with `Stub` as network
        by resize_image and MidasDetector of annotator
    minimal.sizes, upper_bound.sizes (height, width) of the network's input in MiDaS for each of `SIZES`
        by Resize of annotator/midas/midas/transforms.py
    minimal.input, upper_bound.input the network's input for a 100×150 image at side 64, thinned
        by Resize, NormalizeImage and PrepareForNet of the same file

Every tensor of both sides must be used, or loading fails. The tests need none of this.
"""

import sys
from types import SimpleNamespace

import cv2
import numpy as np
import timm
import torch
from transformers import DPTConfig, DPTForDepthEstimation

from tests.helpers import depth_cases as cases

BLOCK = {
    "norm1": "layernorm_before",
    "norm2": "layernorm_after",
    "attn.proj": "attention.output.dense",
    "mlp.fc1": "intermediate.dense",
    "mlp.fc2": "output.dense",
}


def renamed(state):
    """Our tensors with transformers' names, without those that only our side has; missing ones make loading fail."""
    theirs = {}
    for name, tensor in state.items():
        name = name.removeprefix("pretrained.")
        if name.startswith("model.head") or "refinenet4.resConfUnit1" in name:
            continue
        if ".attn.qkv." in name:
            number, kind = name.split(".")[2], name.rsplit(".", 1)[1]
            for part, piece in zip(("query", "key", "value"), tensor.chunk(3), strict=True):
                theirs[f"dpt.encoder.layer.{number}.attention.attention.{part}.{kind}"] = piece
            continue
        theirs[their_name(name)] = tensor
    return theirs


def their_name(name):
    top, _, rest = name.partition(".")
    if top == "model":
        if rest.startswith("blocks."):
            _, number, rest = rest.split(".", 2)
            layer, kind = rest.rsplit(".", 1)
            return f"dpt.encoder.layer.{number}.{BLOCK[layer]}.{kind}"
        for ours, others in (
            ("cls_token", "dpt.embeddings.cls_token"),
            ("pos_embed", "dpt.embeddings.position_embeddings"),
            ("patch_embed.proj", "dpt.embeddings.projection"),
            ("patch_embed.backbone.stem.conv", "dpt.embeddings.backbone.bit.embedder.convolution"),
            ("patch_embed.backbone.stem.norm", "dpt.embeddings.backbone.bit.embedder.norm"),
            ("patch_embed.backbone.stages", "dpt.embeddings.backbone.bit.encoder.stages"),
            ("norm", "dpt.layernorm"),
        ):
            if rest.startswith(ours):
                return (others + rest.removeprefix(ours)).replace(".blocks.", ".layers.")
    if top.startswith("act_postprocess"):
        level = int(top[-1]) - 1
        place, _, kind = rest.partition(".")
        if place == "0":
            return f"neck.reassemble_stage.readout_projects.{level}.{kind.removeprefix('project.')}"
        return f"neck.reassemble_stage.layers.{level}.{'projection' if place == '3' else 'resize'}.{kind}"
    layer, _, rest = rest.partition(".")
    if layer == "output_conv":
        return f"head.head.{rest}"
    if layer.endswith("_rn"):
        return f"neck.convs.{int(layer[5]) - 1}.{rest}"
    # They number from the coarsest.
    rest = (
        rest.replace("out_conv", "projection").replace("resConfUnit", "residual_layer").replace("conv", "convolution")
    )
    return f"neck.fusion_stage.layers.{4 - int(layer[-1])}.{rest}"


def by_transformers(ours):
    config = DPTConfig(
        is_hybrid=True,
        neck_hidden_sizes=[256, 512, 768, 768],
        reassemble_factors=[1, 1, 1, 0.5],
        backbone_out_indices=[2, 5, 8, 11],
        layer_norm_eps=1e-6,
    )
    model = DPTForDepthEstimation(config).eval()
    for module in model.modules():
        if type(module).__name__ == "WeightStandardizedConv2d":
            module.eps = 1e-8  # as the published network was trained; theirs is 1e-6
    result = model.load_state_dict(renamed(ours.state_dict()), strict=False)
    # The coarsest fusion has no skip: its first unit is not in ours' list above, and unused there.
    assert all("fusion_stage.layers.0.residual_layer1" in name for name in result.missing_keys), result
    assert not result.unexpected_keys, result
    image = cases.square_input()
    model.dpt.embeddings.image_size = tuple(image.shape[2:])  # else it refuses all sizes but 384×384
    with torch.inference_mode():
        return model(image).predicted_depth


def annotator(checkout):
    """The release's modules, with the present names of timm and torch.hub."""
    import geffnet

    sys.path.insert(0, str(checkout))
    create = timm.create_model
    timm.create_model = lambda name, **options: create(name.replace("base_resnet50_384", "base_r50_s16_384"), **options)
    torch.hub.load = lambda _, name, pretrained, exportable: geffnet.create_model(name, exportable=exportable)
    from annotator import midas, util
    from annotator.midas import api
    from annotator.midas.midas import base_model, dpt_depth, midas_net_custom

    base_model.BaseModel.load = lambda self, path: None
    return SimpleNamespace(
        dpt=dpt_depth.DPTDepthModel(path=None, backbone="vitb_rn50_384", non_negative=True),
        small=midas_net_custom.MidasNet_small("-", features=64, exportable=True, blocks={"expand": True}),
        detector=midas.MidasDetector,
        resize_image=util.resize_image,
        transforms=api,
    )


def keys(theirs):
    return np.array("\n".join(f"{name}\t{tuple(tensor.shape)}" for name, tensor in theirs.state_dict().items()))


def by_annotator(theirs, ours):
    theirs.load_state_dict(ours.state_dict(), strict=True)
    with torch.inference_mode():
        return theirs.eval()(cases.network_input())


def released_maps(release):
    detector = release.detector.__new__(release.detector)
    detector.model = cases.Stub()
    torch.Tensor.cuda = lambda self: self
    return detector(release.resize_image(cases.sample_image(100, 150), 64))


def midas_resize(release, rule, side, multiple=32):
    return release.transforms.Resize(
        side,
        side,
        resize_target=None,
        keep_aspect_ratio=True,
        ensure_multiple_of=multiple,
        resize_method=rule,
        image_interpolation_method=cv2.INTER_CUBIC,
    )


def main(checkout):
    release = annotator(checkout)
    arrays = {}
    for kind in cases.NETWORKS:
        ours, theirs = cases.filled(kind), getattr(release, kind)
        arrays[f"{kind}.keys"] = keys(theirs)
        arrays[f"{kind}.annotator"] = by_annotator(theirs, ours)[cases.THINNED].numpy()
        if kind == "dpt":
            arrays["dpt.transformers"] = by_transformers(ours)[cases.THINNED].numpy()
    arrays["released.depth"], arrays["released.normal"] = released_maps(release)
    for rule, side, network in (("minimal", 384, "dpt"), ("upper_bound", 256, "small")):
        sizes = [midas_resize(release, rule, side).get_size(width, height) for height, width in cases.SIZES]
        arrays[f"{rule}.sizes"] = np.array(sizes, np.int32)[:, ::-1]
        mean, std = cases.NETWORKS[network].mean, cases.NETWORKS[network].std
        sample = {"image": cases.sample_image(100, 150) / 255.0}
        for step in (
            midas_resize(release, rule, 64),
            release.transforms.NormalizeImage(mean, std),
            release.transforms.PrepareForNet(),
        ):
            sample = step(sample)
        arrays[f"{rule}.input"] = sample["image"][cases.THINNED]
    np.savez_compressed(cases.FILE, **arrays)


if __name__ == "__main__":
    main(*sys.argv[1:])
