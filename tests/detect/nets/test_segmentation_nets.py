"""The two segmentation networks: names equal the published files, outputs other implementations."""

from collections import OrderedDict

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from cn.detect.nets.deeplab import DeepLabV2MSC
from cn.detect.nets.loading import load_net
from cn.detect.nets.upernet import UniFormerUPerNet
from cn.errors import InputError, WeightsError
from tests.helpers.model_helpers import parameters
from tests.helpers.segmentation_cases import NETWORKS, THINNED, filled, golden, network_input

FAMILIES = {"uniformer": "ade20k", "deeplab": "coco"}


def described(make) -> nn.Module:
    with torch.device("meta"):
        return make()


def state_in_little(make) -> "OrderedDict[str, Tensor]":
    """A state dict whose tensors repeat one value each, to avoid writing 200 megabytes."""
    wanted = described(make).state_dict()
    return OrderedDict((name, torch.tensor(0.01 * len(name)).to(t.dtype).expand(t.shape)) for name, t in wanted.items())


def close(ours: Tensor, reference: np.ndarray) -> None:
    """To 1e-4 of the largest value."""
    assert ours.shape == reference.shape
    assert np.abs(ours.numpy() - reference).max() <= 1e-4 * np.abs(reference).max()
    assert reference.std() > 0.1 * np.abs(reference).max(), "a reference that says something"


@pytest.mark.parametrize(("kind", "tensors", "numbers"), [("uniformer", 414, 51_521_132), ("deeplab", 632, 55_919_384)])
def test_names_and_shapes_equal_those_of_the_published_file(kind, tensors, numbers):
    ours = described(NETWORKS[kind])
    published = dict(line.split("\t") for line in str(golden(f"{kind}.keys")).splitlines())
    assert {name: str(tuple(tensor.shape)) for name, tensor in ours.state_dict().items()} == published
    assert len(published) == tensors
    assert parameters(ours) == numbers


@pytest.mark.parametrize("kind", NETWORKS)
def test_every_norm_has_the_epsilon_of_the_original(kind):
    ours = {name: module.eps for name, module in described(NETWORKS[kind]).named_modules() if hasattr(module, "eps")}
    theirs = dict(line.split("\t") for line in str(golden(f"{kind}.eps")).splitlines())
    assert ours == {name: float(eps) for name, eps in theirs.items()}
    assert len(set(ours.values())) == (2 if kind == "uniformer" else 1)


def test_without_the_auxiliary_head_uniformer_has_50_745_thousand_parameters():
    assert parameters(described(lambda: UniFormerUPerNet(auxiliary=False))) == 50_744_790


def test_the_logits_are_those_of_mmseg():
    with torch.inference_mode():
        logits = filled("uniformer")(network_input())
    assert logits.shape == (1, 150, 24, 32)
    close(logits[THINNED], golden("uniformer.logits"))


@pytest.mark.parametrize("multi_scale", [False, True], ids=["single", "multi"])
def test_the_logits_are_those_of_deeplab_pytorch(multi_scale):
    with torch.inference_mode():
        logits = filled("deeplab")(network_input(), multi_scale)
    assert logits.shape == (1, 182, 13, 17)
    close(logits[THINNED], golden("deeplab.multi" if multi_scale else "deeplab.single"))


@pytest.mark.parametrize("kind", NETWORKS)
def test_all_layers_except_the_auxiliary_head_affect_the_logits(kind):
    net, ran = filled(kind), set()
    layers = {
        name: module for name, module in net.named_modules() if next(module.parameters(recurse=False), None) is not None
    }
    hooks = [module.register_forward_hook(lambda *_, name=name: ran.add(name)) for name, module in layers.items()]
    with torch.inference_mode():
        net(network_input()[..., :64, :64])
    for hook in hooks:
        hook.remove()
    assert len(ran) > 100
    assert layers.keys() - ran == {name for name in layers if name.startswith("auxiliary_head.")}


@pytest.mark.parametrize("wrapper", ["mmseg", "parallel", "plain"])
@pytest.mark.parametrize("kind", NETWORKS)
def test_a_file_in_the_published_layout_loads_with_every_tensor(tmp_path, kind, wrapper):
    state = state_in_little(NETWORKS[kind])
    expected = {name: tensor.clone() for name, tensor in state.items()}
    if wrapper == "parallel":
        state = OrderedDict((f"module.{name}", tensor) for name, tensor in state.items())
    meta = {"CLASSES": ("wall", "building"), "PALETTE": [[120, 120, 120], [180, 120, 120]], "epoch": 1, "time": "now",
            "config": "model = dict()\n", "hook_msgs": {}, "mmseg_version": None}  # fmt: skip
    torch.save(
        {"meta": meta, "state_dict": state, "optimizer": {}} if wrapper == "mmseg" else state, tmp_path / "n.pth"
    )
    loaded = load_net(FAMILIES[kind], tmp_path / "n.pth")
    assert type(loaded) is NETWORKS[kind]
    assert not loaded.training
    assert not any(parameter.requires_grad for parameter in loaded.parameters())
    ours = loaded.state_dict()
    assert ours.keys() == expected.keys()
    assert all(torch.equal(ours[name], tensor) for name, tensor in expected.items())


def test_uniformer_loads_without_but_not_with_a_partial_auxiliary_head(tmp_path):
    state = state_in_little(UniFormerUPerNet)
    bare = {name: tensor for name, tensor in state.items() if not name.startswith("auxiliary_head.")}
    torch.save({"state_dict": bare}, tmp_path / "bare.pth")
    loaded = load_net("ade20k", tmp_path / "bare.pth")
    assert loaded.state_dict().keys() == bare.keys()
    torch.save({"state_dict": bare | {"auxiliary_head.conv_seg.bias": torch.zeros(150)}}, tmp_path / "part.pth")
    with pytest.raises(WeightsError, match=r"part\.pth.*missing auxiliary_head\.conv"):
        load_net("ade20k", tmp_path / "part.pth")
    torch.save({"state_dict": state | {"auxiliary_head.norm.weight": torch.zeros(3)}}, tmp_path / "more.pth")
    with pytest.raises(WeightsError, match=r"more\.pth.*unexpected auxiliary_head\.norm\.weight"):
        load_net("ade20k", tmp_path / "more.pth")


def test_other_weights_are_refused_with_their_path(tmp_path):
    torch.save({"conv.weight": torch.zeros(3)}, tmp_path / "other.pt")
    with pytest.raises(WeightsError, match=r"other\.pt.*upernet_global_small\.pth"):
        load_net("ade20k", tmp_path / "other.pt")
    with pytest.raises(WeightsError, match=r"other\.pt.*deeplabv2_resnet101_msc-cocostuff164k"):
        load_net("coco", tmp_path / "other.pt")
    # The network for VOC has the same names, with 21 classes.
    state = state_in_little(DeepLabV2MSC)
    voc = {name: tensor[:21] if name.startswith("base.aspp.") else tensor for name, tensor in state.items()}
    torch.save(voc, tmp_path / "voc.pth")
    with pytest.raises(WeightsError, match=r"voc\.pth.*base\.aspp\.c0\.weight.*21.*182"):
        load_net("coco", tmp_path / "voc.pth")
    torch.save(state | {"base.aspp.c3.bias": torch.full((182,), torch.nan)}, tmp_path / "nan.pth")
    with pytest.raises(InputError, match=r"nan\.pth.*base\.aspp\.c3\.bias.*not finite"):
        load_net("coco", tmp_path / "nan.pth")


@pytest.mark.parametrize("size", [(32, 32), (33, 70), (63, 95)])
def test_uniformer_takes_sides_that_are_no_multiples(size):
    with torch.inference_mode():
        logits = filled("uniformer")(network_input()[..., : size[0], : size[1]])
    assert logits.shape == (1, 150, size[0] // 4, size[1] // 4)
    assert bool(torch.isfinite(logits).all())


def test_deeplab_accepts_the_smallest_images_at_all_scales():
    with torch.inference_mode():
        logits = filled("deeplab")(network_input()[..., :16, :], True)
    assert bool(torch.isfinite(logits).all())
