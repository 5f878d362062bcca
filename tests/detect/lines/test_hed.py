"""Soft edges: as the published annotators draw them, on any size, and without weights."""

import cv2
import numpy as np
import pytest
import torch

from cn.detect.lines import hed
from cn.detect.lines.hed import LARGEST_SHORT_SIDE, gradient_soft_edge, soft_edges
from cn.detect.nets.arrays import pad
from cn.detect.nets.hed import BSDS500HED, ControlNetHED
from cn.detect.nets.loading import open_net
from cn.detect.nets.mlsd import MLSDTiny
from cn.detect.nets.tin import TIN
from tests.golden.make_detectors_edges import FILE, REAL_WEIGHTS, fill, photograph, picture

NETWORKS = {"hed": ControlNetHED, "bsds500": BSDS500HED, "tin1": lambda: TIN(1), "tin2": TIN}
SIZES = [(1, 1), (7, 5), (1, 40), (33, 17), (16, 200)]


def golden(name):
    with np.load(FILE) as file:
        return file[name]


def close(ours, reference, thinned=1):
    """Equal but for rounding: a level of difference, and at few points."""
    assert ours.dtype == np.uint8
    difference = np.abs(ours[::thinned, ::thinned].astype(int) - reference)
    assert difference.max() <= 1
    assert (difference > 0).mean() < 0.01


@pytest.fixture(scope="module")
def networks():
    return {name: fill(make()) for name, make in NETWORKS.items()}


@pytest.mark.parametrize("name", ["hed", "tin1", "tin2"])
def test_maps_are_those_of_the_published_annotators(networks, name):
    reference = golden(f"{name}/map")
    assert reference.std() > 1
    close(soft_edges(networks[name], picture(name)[None])[0], reference)


def test_the_original_hed_gets_blue_green_red_and_is_stretched_to_255(networks):
    (ours,) = soft_edges(networks["bsds500"], picture("bsds500")[None])
    close(ours, (golden("bsds500") * 255).astype(np.uint8))


@pytest.mark.parametrize("name", ["astronaut", "coffee"])
@pytest.mark.skipif(not (REAL_WEIGHTS / "TIN2.pth").is_file(), reason=f"{REAL_WEIGHTS} has no TIN2.pth")
def test_the_published_weights_find_the_edges_that_their_authors_code_finds(name):
    image = photograph(name)
    (edges,) = soft_edges(open_net("hed", REAL_WEIGHTS / "TIN2.pth"), image[None])
    close(edges, golden(f"real/tin2/{name}"), thinned=6)
    # And they are edges: most of a photograph is none, outlines are nearly white.
    assert (edges < 64).mean() > 0.6
    assert edges.max() > 240


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", NETWORKS)
def test_any_size_gives_a_map_of_its_size(networks, name, size):
    images = np.random.default_rng(0).integers(0, 256, (2, *size, 3), dtype=np.uint8)
    maps = soft_edges(networks[name], images)
    assert maps.shape == (2, *size)
    assert maps.dtype == np.uint8
    # A batch gives what its images give alone.
    for image, made in zip(images, maps, strict=True):
        close(soft_edges(networks[name], image[None])[0], made)


@pytest.mark.parametrize("name", ["hed", "bsds500"])
def test_sizes_that_are_no_multiples_are_padded_not_squashed(networks, name):
    images = np.random.default_rng(1).integers(0, 256, (1, 37, 50, 3), dtype=np.uint8)
    whole = soft_edges(networks[name], pad(images, 16))
    assert whole.shape == (1, 48, 64)
    assert np.array_equal(soft_edges(networks[name], images), whole[:, :37, :50])


@pytest.mark.parametrize("name", NETWORKS)
def test_large_images_give_in_squares_what_they_give_whole(networks, name, monkeypatch):
    noise = np.random.default_rng(4).normal(128, 60, (48, 600, 3))
    images = cv2.GaussianBlur(noise, (0, 0), 2.0, None, 4.0).clip(0, 255).astype(np.uint8)[None]
    whole = soft_edges(networks[name], images)
    seen = []
    hook = networks[name].register_forward_pre_hook(lambda _, args: seen.append(args[0].shape[-1]))
    monkeypatch.setattr(hed, "TILE", 192)
    squares = soft_edges(networks[name], images)
    hook.remove()
    scales = 3 if name.startswith("tin") else 1
    assert len(seen) == 4 * scales
    assert max(seen) <= (192 + 2 * hed.MARGIN) * (1.5 if scales == 3 else 1)
    difference = np.abs(squares.astype(int) - whole)
    assert difference.max() <= (4 if scales == 3 else 1)


def test_another_network_is_refused():
    with pytest.raises(TypeError, match="MLSDTiny is no soft edge network"):
        soft_edges(MLSDTiny(), np.zeros((1, 16, 16, 3), np.uint8))


def test_networks_are_not_trained_by_being_used(networks):
    before = {name: value.clone() for name, value in networks["tin1"].state_dict().items()}
    soft_edges(networks["tin1"], picture("tin1")[None])
    assert all(torch.equal(value, before[name]) for name, value in networks["tin1"].state_dict().items())


def step(low, high, size=(96, 96)):
    image = np.full((*size, 3), low, np.uint8)
    image[:, size[1] // 2 :] = high
    return image


@pytest.mark.parametrize(("low", "high"), [((0, 0, 0), (255, 255, 255)), ((255, 255, 255), (0, 0, 0))])
def test_gradients_draw_a_step_as_a_soft_white_line_on_black(low, high):
    edge = gradient_soft_edge(step(low, high))
    assert edge.dtype == np.uint8
    profile = edge[48]
    assert profile[46:50].max() > 200
    assert profile[:30].max() == 0
    assert profile[66:].max() == 0
    assert ((profile > 20) & (profile < 200)).sum() >= 2, "soft on its sides"


def test_gradients_see_colors_of_the_same_lightness():
    # Red and green of one lightness: a gray image would show nothing.
    edge = gradient_soft_edge(step((204, 0, 0), (0, 116, 0)))
    assert edge[48, 46:50].max() > 150


def test_flat_and_noisy_images_have_no_gradient_edges():
    assert not gradient_soft_edge(np.full((64, 64, 3), 99, np.uint8)).any()
    noise = 99 + np.random.default_rng(0).normal(0, 4, (256, 256, 3))
    assert gradient_soft_edge(noise.astype(np.uint8)).max() < 64


def test_gradients_prefer_outlines_to_texture():
    rng = np.random.default_rng(2)
    image = np.full((256, 256, 3), 90, np.int16)
    image[:, 128:] = 170
    image += rng.integers(-25, 26, image.shape, dtype=np.int16)
    edge = gradient_soft_edge(image.clip(0, 255).astype(np.uint8))
    assert edge[40:216, 125:131].max(axis=1).mean() > 4 * edge[40:216, 20:100].mean()


@pytest.mark.parametrize("size", [*SIZES, (3, 2000), (2000, 3)])
def test_gradients_take_any_size_and_are_the_same_each_time(size):
    image = np.random.default_rng(3).integers(0, 256, (*size, 3), dtype=np.uint8)
    edge = gradient_soft_edge(image)
    assert edge.shape == size
    assert np.array_equal(edge, gradient_soft_edge(image.copy()))


def test_large_images_give_the_map_of_the_reduced_one():
    image = photograph("astronaut")
    large = cv2.resize(image, None, fx=2, fy=2, interpolation=cv2.INTER_CUBIC)
    assert min(large.shape[:2]) > LARGEST_SHORT_SIDE
    small = cv2.resize(gradient_soft_edge(large), image.shape[1::-1], interpolation=cv2.INTER_AREA)
    assert np.corrcoef(small.ravel(), gradient_soft_edge(image).ravel())[0, 1] > 0.95


def test_gradient_edges_lie_where_a_learned_detector_finds_them():
    learned = golden("real/tin2/astronaut").astype(float)
    ours = gradient_soft_edge(photograph("astronaut"))[::6, ::6]
    assert np.corrcoef(ours.ravel(), learned.ravel())[0, 1] > 0.7
