"""Networks optimized for a CPU: other arithmetic, the same results."""

import copy

import numpy as np
import pytest
import torch
from torch import nn

from cn.detect.lines import hed, hough, lineart
from cn.detect.nets.cpu import FastTransposedConvolution, PointwiseConv, optimize_for_cpu
from cn.detect.nets.hed import ControlNetHED
from cn.detect.nets.mlsd import MLSDLarge, MLSDTiny
from cn.detect.nets.openpose_light import LightBodyNetwork
from cn.detect.nets.pifpaf import ShuffleNetV2K16
from cn.detect.nets.sketch import Anime2Sketch
from cn.detect.nets.winograd import WinogradConv
from cn.detect.surfaces import depth
from tests.golden.make_detectors_edges import fill
from tests.golden.make_detectors_pifpaf import fill as fill_pifpaf
from tests.golden.make_detectors_pose import fill as fill_pose
from tests.helpers.depth_cases import filled


def off(a: torch.Tensor, b: torch.Tensor) -> float:
    """The largest difference, relative to the largest value."""
    return ((a - b).abs().max() / b.abs().max()).item()


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(0)
    with torch.inference_mode():
        yield


@pytest.mark.parametrize("size", [(1, 1), (2, 9), (4, 4), (5, 8), (37, 130)])
@pytest.mark.parametrize(("inputs", "outputs", "bias"), [(256, 128, True), (192, 200, False)])
def test_winograd_equals_the_convolution(size, inputs, outputs, bias):
    conv = nn.Conv2d(inputs, outputs, 3, padding=1, bias=bias)
    assert WinogradConv.supports(conv)
    x = torch.randn(2, inputs, *size)
    made = WinogradConv(conv)(x)
    assert made.shape == (2, outputs, *size)
    exact = copy.deepcopy(conv).double()(x.double())
    assert off(made, exact) < 3e-5
    assert torch.equal(made, WinogradConv(conv)(x.contiguous(memory_format=torch.channels_last)))


@pytest.mark.parametrize(
    "options",
    [{"stride": 2}, {"dilation": 2}, {"groups": 2}, {"padding": 0}, {"padding_mode": "reflect"}, {"kernel_size": 1}],
)
def test_winograd_supports_no_other_convolution(options):
    assert not WinogradConv.supports(nn.Conv2d(256, 256, **({"kernel_size": 3, "padding": 1} | options)))
    assert not WinogradConv.supports(nn.Conv2d(64, 512, 3, padding=1))
    assert not WinogradConv.supports(nn.Conv2d(512, 64, 3, padding=1))


@pytest.mark.parametrize("size", [(1, 1), (2, 9), (37, 65)])
@pytest.mark.parametrize(
    ("inputs", "outputs", "options"), [(48, 70, {}), (64, 32, {"bias": False}), (30, 30, {"stride": 2, "groups": 3})]
)
def test_pointwise_equals_the_convolution(size, inputs, outputs, options):
    conv = nn.Conv2d(inputs, outputs, 1, **options)
    assert PointwiseConv.supports(conv)
    # Half of the channels, as ShuffleNet splits them: not contiguous.
    whole = torch.randn(2, 2 * inputs, *size)
    for x in (whole[:, inputs:], whole.contiguous(memory_format=torch.channels_last)[:, inputs:]):
        exact = copy.deepcopy(conv).double()(x.double())
        made = PointwiseConv(conv)(x)
        assert made.shape == exact.shape
        assert off(made, exact) < 1e-5


@pytest.mark.parametrize("options", [{"kernel_size": 3}, {"padding": 1}, {"padding": "same"}])
def test_pointwise_supports_no_other_convolution(options):
    assert not PointwiseConv.supports(nn.Conv2d(8, 8, **({"kernel_size": 1} | options)))


def test_without_onednn_pointwise_is_not_used(monkeypatch):
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: False)
    assert not PointwiseConv.supports(nn.Conv2d(8, 8, 1))


@pytest.mark.parametrize("network", [ShuffleNetV2K16, LightBodyNetwork])
def test_pose_networks_give_the_same_fields(network):
    plain = fill_pifpaf(network()) if network is ShuffleNetV2K16 else fill_pose(network())
    fast = optimize_for_cpu(copy.deepcopy(plain))
    assert any(isinstance(module, PointwiseConv) for module in fast.modules())
    x = torch.randn(1, 3, 65, 97)
    for a, b in zip(fast(x.contiguous(memory_format=torch.channels_last)), plain(x), strict=True):
        assert off(a, b) < 1e-5


@pytest.mark.parametrize("size", [(1, 1), (1, 4), (7, 3)])
@pytest.mark.parametrize("bias", [True, False])
def test_the_fast_transposed_convolution_equals_the_original(size, bias):
    conv = nn.ConvTranspose2d(6, 5, 4, stride=2, padding=1, bias=bias)
    assert FastTransposedConvolution.supports(conv)
    x = torch.randn(2, 6, *size)
    made = FastTransposedConvolution(conv)(x)
    assert made.shape == (2, 5, 2 * size[0], 2 * size[1])
    assert off(made, conv(x)) < 1e-5
    assert not FastTransposedConvolution.supports(nn.ConvTranspose2d(6, 5, 4, stride=2, padding=0))
    assert not FastTransposedConvolution.supports(nn.ConvTranspose2d(6, 6, 4, stride=2, padding=1, groups=2))


def test_norms_are_folded_only_directly_after_a_convolution():
    class Louder(nn.BatchNorm2d):
        def forward(self, x):
            return 2 * super().forward(x)

    layers = nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.BatchNorm2d(4), nn.Conv2d(4, 5, 1), Louder(5)
    )
    for module in layers.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_()
            module.running_var.uniform_(0.5, 2)
    x = torch.randn(2, 3, 9, 8)
    made = optimize_for_cpu(copy.deepcopy(layers).eval())
    assert [type(layer) for layer in made] == [nn.Conv2d, nn.Identity, nn.ReLU, nn.BatchNorm2d, PointwiseConv, Louder]
    assert off(made(x), layers.eval()(x)) < 1e-5


@pytest.mark.parametrize("make", [ControlNetHED, MLSDLarge, MLSDTiny, Anime2Sketch, "small", "dpt"])
def test_networks_give_the_same_outputs(make):
    network = filled(make) if isinstance(make, str) else fill(make())
    side, planes = 256 if make is Anime2Sketch else 96, 4 if make in (MLSDLarge, MLSDTiny) else 3
    x = torch.randn(1, planes, side, side) * (50 if make is ControlNetHED else 1)
    plain = network(x)
    before = {type(module) for module in network.modules()}
    made = optimize_for_cpu(network)(x)
    after = {type(module) for module in network.modules()}
    assert after != before, "some layers were replaced"
    for a, b in zip(made, plain, strict=True):
        assert off(a, b) < 3e-5


def test_maps_differ_by_single_levels_at_most():
    """Maps of a photograph by the original and the optimized networks."""
    from skimage import data

    image = np.asarray(data.astronaut())[100:356, 100:356]
    cases = {
        ControlNetHED: lambda net: hed.soft_edges(net, image[None])[0],
        Anime2Sketch: lambda net: lineart.sketches(net, image[None])[0],
        MLSDTiny: lambda net: hough.draw_lines(hough.mlsd_lines(net, image[None])[0], (256, 256)),
    }
    for make, run in cases.items():
        network = fill(make())
        before = run(network).astype(int)
        after = run(optimize_for_cpu(network)).astype(int)
        assert before.any()
        if make is MLSDTiny:
            assert (before != after).mean() < 1e-3
        else:
            assert np.abs(before - after).max() <= 1
    network = filled("dpt")
    (before,) = depth.inverse_depth(network, [image])
    (after,) = depth.inverse_depth(optimize_for_cpu(network), [image])
    assert np.abs(depth.depth_map(before).astype(int) - depth.depth_map(after)).max() <= 1
