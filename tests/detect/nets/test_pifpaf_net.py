"""OpenPifPaf's networks: names, shapes, outputs and preprocessing equal those of the published classes."""

import subprocess
import sys

import numpy as np
import pytest
import torch
from torch import nn

from cn.detect.nets.pifpaf import ShuffleNetV2K16, ShuffleNetV2K30
from cn.detect.pose.pifpaf import PADDING, find_people, preprocess
from tests.golden.make_detectors_pifpaf import FILE, LONG_EDGES, fill, planes, points, sample_image, thin
from tests.helpers.pifpaf_fields import bodies, fields, placed

NETWORKS = {
    "k16": ShuffleNetV2K16,
    "k16-v3": lambda: ShuffleNetV2K16(head_version=3),
    "k30": ShuffleNetV2K30,
}


def golden(name):
    with np.load(FILE) as file:
        return file[name]


@pytest.mark.parametrize("name", NETWORKS)
def test_names_and_shapes_equal_those_of_the_published_class(name):
    with torch.device("meta"):
        ours = NETWORKS[name]().state_dict()
    published = dict(line.split("\t") for line in str(golden(f"keys/{name}")).splitlines())
    assert {key: str(tuple(value.shape)) for key, value in ours.items()} == published


@pytest.mark.parametrize("name", NETWORKS)
@torch.inference_mode()
def test_the_fields_are_those_of_the_published_class(name):
    for field, ours in zip(("cif", "caf"), fill(NETWORKS[name]())(planes()), strict=True):
        reference = golden(f"{name}/{field}")
        assert np.abs(thin(ours[0].numpy()) - reference).max() < 1e-4
        assert reference[:, 1].std() > 0.1, "a reference that says something"


@pytest.mark.parametrize(("network", "millions"), [(ShuffleNetV2K16, 10.126), (ShuffleNetV2K30, 29.977)])
def test_there_are_as_many_parameters_as_published(network, millions):
    with torch.device("meta"):
        assert round(sum(p.numel() for p in network().parameters()) / 1e6, 3) == millions


def silent(network):
    """With heads that output zeros."""
    for head in network.head_nets:
        nn.init.zeros_(head.conv.weight)
        nn.init.zeros_(head.conv.bias)
    return network.eval()


@pytest.mark.parametrize("version", [3, 4])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@torch.inference_mode()
def test_positions_are_relative_to_the_cell(version, dtype):
    cif, caf = silent(ShuffleNetV2K16(version)).to(dtype)(torch.zeros(2, 3, 17, 4113, dtype=dtype))
    assert cif.shape == (2, 17, 5, 3, 515)
    assert caf.shape == (2, 19, 8, 3, 515)
    for field, places in ((cif, 1), (caf, 2)):
        assert (field[:, :, 1] == 0.5).all()
        for place in range(places):
            assert (field[:, :, 2 + 2 * place] == torch.arange(515.0)).all()
            assert (field[:, :, 3 + 2 * place] == torch.arange(3.0)[:, None]).all()
        assert torch.allclose(field[:, :, 2 + 2 * places :], torch.tensor(2.0).log())


@torch.inference_mode()
def test_each_channel_of_version_3_is_one_of_version_4():
    old, new = fill(ShuffleNetV2K16(3)), fill(ShuffleNetV2K16(4))
    for a, b, order in zip(old.head_nets, new.head_nets, [[3, 0, 1, 2, 4], [5, 0, 1, 2, 3, 4, 7, 8]], strict=True):
        for part in ("weight", "bias"):
            rows = getattr(a.conv, part).unflatten(0, (a.fields, -1, 4))[:, order].flatten(0, 2)
            getattr(b.conv, part).copy_(rows)
    for ours, theirs in zip(old(planes()), new(planes()), strict=True):
        assert torch.allclose(ours, theirs, atol=1e-5)


@pytest.mark.parametrize("name", LONG_EDGES)
def test_preprocessing_equals_the_published_one(name):
    seen, placement = preprocess(sample_image()[None], LONG_EDGES[name])
    reference = golden(f"prepared/{name}")
    assert seen[0].transpose(2, 0, 1).shape == tuple(golden(f"prepared/{name}/shape"))
    assert np.abs(seen[0].transpose(2, 0, 1)[:, ::5, ::7] - reference).max() < 1e-5
    assert np.abs(placement.to_image(points()) - golden(f"prepared/{name}/points")).max() < 1e-3


@pytest.mark.parametrize("size", [(1, 1), (17, 33), (16, 2), (40, 1)])
def test_any_size_is_padded_with_the_mean_to_a_multiple_of_16_plus_1(size):
    image = np.full((1, *size, 3), 255, np.uint8)
    seen, placement = preprocess(image)
    assert [(side - 1) % 16 for side in seen.shape[1:3]] == [0, 0]
    assert max(seen.shape[1] - size[0], seen.shape[2] - size[1]) < 16
    inside = seen[:, placement.top : placement.top + size[0], placement.left : placement.left + size[1]]
    assert inside.min() > 2
    assert (seen > 2).sum() == inside.size
    around = seen[seen.max(axis=-1) < 2]
    assert np.abs(around).max(initial=0) < 0.01
    assert PADDING == (124, 116, 104)


def test_the_long_side_is_the_requested_one():
    assert preprocess(np.zeros((2, 30, 50, 3), np.uint8), 129)[0].shape == (2, 81, 129, 3)
    assert preprocess(np.zeros((1, 300, 3, 3), np.uint8), 33)[0].shape == (1, 33, 1, 3)
    # 75 · 97 / 122 is 59.6, truncated to 59.
    placement = preprocess(np.zeros((1, 122, 75, 3), np.uint8), 97)[1]
    assert (placement.scale_x, placement.scale_y, placement.left) == (58 / 74, 96 / 121, 3)


class FixedFields(nn.Module):
    """A network that returns the same fields for every image."""

    def __init__(self, *seen):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))
        self.seen = seen

    def forward(self, x):
        assert self.seen[0].shape[-2:] == ((x.shape[2] - 1) // 8 + 1, (x.shape[3] - 1) // 8 + 1)
        return tuple(torch.from_numpy(field)[None].expand(len(x), -1, -1, -1, -1) for field in self.seen)


@pytest.mark.parametrize(("long_edge", "height", "width"), [(None, 257, 209), (129, 129, 113)])
def test_keypoints_are_in_pixels_of_the_image(long_edge, height, width):
    truth = placed(bodies(1)[0], 60, 30, 180)
    images = np.zeros((2, 251, 200, 3), np.uint8)
    _, placement = preprocess(images, long_edge)
    there = truth.copy()
    there[:, :2] = there[:, :2] * (placement.scale_x, placement.scale_y) + (placement.left, placement.top)
    there[4, 2] = 0
    found = find_people(FixedFields(*fields(there[None], height, width)), images, long_edge)
    assert len(found) == 2
    for one in found:
        (person,) = one.keypoints
        assert (person[4] == 0).all()
        others = np.arange(17) != 4
        assert np.hypot(*(person[others, :2] - truth[others, :2]).T).max() < 0.5
        assert (person[others, 2] > 0.5).all()


def test_decoding_does_not_import_torch():
    script = """
import sys
import numpy as np
from cn.detect.pose import pifpaf, pifpaf_decoder
pifpaf_decoder.decode(np.zeros((17, 5, 9, 9), np.float32), np.zeros((19, 8, 9, 9), np.float32))
assert "torch" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", script], check=True, timeout=60)
