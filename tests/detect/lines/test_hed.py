"""Soft edges by networks: equal to the published annotators, for any size."""

import cv2
import numpy as np
import pytest
import torch

from cn.detect.lines import hed
from cn.detect.lines.hed import soft_edges
from cn.detect.nets.arrays import pad
from cn.detect.nets.hed import BSDS500HED, ControlNetHED
from cn.detect.nets.loading import load_net
from cn.detect.nets.mlsd import MLSDTiny
from cn.detect.nets.tin import TIN
from tests.golden.make_detectors_edges import FILE, REAL_WEIGHTS, fill, photograph, sample_image

NETWORKS = {"hed": ControlNetHED, "bsds500": BSDS500HED, "tin1": lambda: TIN(1), "tin2": TIN}
SIZES = [(1, 1), (7, 5), (1, 40), (33, 17), (16, 200)]


def golden(name):
    with np.load(FILE) as file:
        return file[name]


def close(ours, reference, thinned=1):
    """Equal except for rounding: one level of difference at few pixels."""
    assert ours.dtype == np.uint8
    difference = np.abs(ours[::thinned, ::thinned].astype(int) - reference)
    assert difference.max() <= 1
    assert (difference > 0).mean() < 0.01


@pytest.fixture(scope="module")
def networks():
    return {name: fill(make()) for name, make in NETWORKS.items()}


@pytest.mark.parametrize("name", ["hed", "tin1", "tin2"])
def test_maps_equal_those_of_the_published_annotators(networks, name):
    reference = golden(f"{name}/map")
    assert reference.std() > 1
    close(soft_edges(networks[name], sample_image(name)[None])[0], reference)


def test_the_original_hed_gets_bgr_and_is_scaled_to_255(networks):
    (ours,) = soft_edges(networks["bsds500"], sample_image("bsds500")[None])
    close(ours, (golden("bsds500") * 255).astype(np.uint8))


@pytest.mark.parametrize("name", ["astronaut", "coffee"])
@pytest.mark.skipif(not (REAL_WEIGHTS / "TIN2.pth").is_file(), reason=f"{REAL_WEIGHTS} has no TIN2.pth")
def test_the_published_weights_find_the_same_edges_as_their_authors_code(name):
    image = photograph(name)
    (edges,) = soft_edges(load_net("hed", REAL_WEIGHTS / "TIN2.pth"), image[None])
    close(edges, golden(f"real/tin2/{name}"), thinned=6)
    # Most of a photograph is not an edge; outlines are nearly white.
    assert (edges < 64).mean() > 0.6
    assert edges.max() > 240


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", NETWORKS)
def test_any_size_gives_a_map_of_its_size(networks, name, size):
    images = np.random.default_rng(0).integers(0, 256, (2, *size, 3), dtype=np.uint8)
    maps = soft_edges(networks[name], images)
    assert maps.shape == (2, *size)
    assert maps.dtype == np.uint8
    # A batch gives the same as its images one by one.
    for image, made in zip(images, maps, strict=True):
        close(soft_edges(networks[name], image[None])[0], made)


@pytest.mark.parametrize("name", ["hed", "bsds500"])
def test_other_sizes_are_padded_not_squashed(networks, name):
    images = np.random.default_rng(1).integers(0, 256, (1, 37, 50, 3), dtype=np.uint8)
    whole = soft_edges(networks[name], pad(images, 16))
    assert whole.shape == (1, 48, 64)
    assert np.array_equal(soft_edges(networks[name], images), whole[:, :37, :50])


@pytest.mark.parametrize("name", NETWORKS)
def test_large_images_give_the_same_map_in_tiles(networks, name, monkeypatch):
    noise = np.random.default_rng(4).normal(128, 60, (48, 600, 3))
    images = cv2.GaussianBlur(noise, (0, 0), 2.0, None, 4.0).clip(0, 255).astype(np.uint8)[None]
    whole = soft_edges(networks[name], images)
    seen = []
    hook = networks[name].register_forward_pre_hook(lambda _, args: seen.append(args[0].shape[-1]))
    monkeypatch.setattr(hed, "TILE", 192)
    tiles = soft_edges(networks[name], images)
    hook.remove()
    scales = 3 if name.startswith("tin") else 1
    assert len(seen) == 4 * scales
    assert max(seen) <= (192 + 2 * hed.MARGIN) * (1.5 if scales == 3 else 1)
    difference = np.abs(tiles.astype(int) - whole)
    assert difference.max() <= (4 if scales == 3 else 1)


def test_another_network_is_refused():
    with pytest.raises(TypeError, match="MLSDTiny is not a soft edge network"):
        soft_edges(MLSDTiny(), np.zeros((1, 16, 16, 3), np.uint8))


def test_inference_leaves_the_weights_unchanged(networks):
    before = {name: value.clone() for name, value in networks["tin1"].state_dict().items()}
    soft_edges(networks["tin1"], sample_image("tin1")[None])
    assert all(torch.equal(value, before[name]) for name, value in networks["tin1"].state_dict().items())
