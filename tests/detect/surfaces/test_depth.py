"""Depth maps: preprocessing for the network, and the map of its output."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from cn.detect.nets.dpt import DPTHybrid
from cn.detect.nets.midas_small import MidasSmall
from cn.detect.surfaces.depth import depth_map, inverse_depth
from cn.detect.surfaces.preprocessing import InputSize
from cn.images.resizing import short_side_size
from tests.helpers.depth_cases import SIZES, THINNED, Stub, golden, sample_image

HYBRID, HYBRID_MIDAS, SMALL = InputSize("released", 384), InputSize("minimal", 384), InputSize("upper_bound", 256)
INPUT_SIZES = [HYBRID, HYBRID_MIDAS, SMALL]
STUB = Stub()


class Recorder(Stub):
    """Keeps its input."""

    def forward(self, x):
        self.seen = x
        return super().forward(x)


@pytest.mark.parametrize("input_size", [HYBRID_MIDAS, SMALL], ids=lambda p: p.rule)
def test_input_sizes_equal_those_of_midas(input_size):
    wanted = golden(f"{input_size.rule}.sizes").tolist()
    assert [list(input_size.size(*size)) for size in SIZES] == wanted


def test_default_input_sizes_equal_those_of_the_released_apps():
    assert HYBRID.size(512, 512) == (384, 384)
    assert HYBRID.size(1080, 1920) == (384, 704)
    assert HYBRID.size(1920, 1080) == (704, 384)
    assert all(HYBRID.size(*size) == short_side_size(*size, 384) for size in SIZES)


@pytest.mark.parametrize("input_size", INPUT_SIZES, ids=lambda p: p.rule)
@settings(max_examples=300, deadline=None)
@given(st.integers(1, 60_000), st.integers(1, 60_000))
def test_input_sizes_are_bounded(input_size, height, width):
    rows, columns = input_size.size(height, width)
    assert rows % 32 == columns % 32 == 0
    assert min(rows, columns) >= 32
    # The area of 4:1, with a margin for rounding.
    assert rows * columns <= 1.3 * 4 * input_size.side**2
    assert rows == columns or (rows < columns) == (height < width)


def test_a_panorama_keeps_its_aspect_ratio_within_limits():
    assert HYBRID.size(384, 1536) == (384, 1536)
    rows, columns = HYBRID.size(400, 4000)
    assert columns / rows == pytest.approx(10, rel=0.06)
    assert rows * columns == pytest.approx(4 * 384**2, rel=0.06)
    assert HYBRID.size(100_000, 10) == (6144, 32)


@pytest.mark.parametrize(("rule", "kind"), [("minimal", DPTHybrid), ("upper_bound", MidasSmall)])
def test_network_input_equals_that_of_midas(rule, kind):
    network = Recorder()
    network.mean, network.std = kind.mean, kind.std
    inverse_depth(network, [sample_image(100, 150)], InputSize(rule, 64))
    given, reference = network.seen[0][THINNED].numpy(), golden(f"{rule}.input")
    assert given.shape == reference.shape
    assert np.abs(given - reference).max() <= 1e-5


def test_the_map_equals_that_of_the_released_annotator():
    (found,) = inverse_depth(STUB, [sample_image(100, 150)], InputSize("released", 64))
    assert found.shape == (64, 128)
    ours, reference = depth_map(found), golden("released.depth")
    assert ours.dtype == np.uint8
    assert np.abs(ours.astype(int) - reference).max() <= 1
    assert (ours == reference).mean() > 0.99


def test_near_is_white_and_the_full_range_is_used():
    made = depth_map(np.array([[0.0, 1.0], [2.0, 4.0]], np.float32))
    assert made.tolist() == [[0, 63], [127, 255]]
    shifted = depth_map(np.array([[10.0, 11.0], [12.0, 14.0]], np.float32))
    assert shifted.tolist() == made.tolist()


def test_a_resized_map_uses_the_full_range():
    y, x = np.mgrid[0:1:64j, 0:1:96j]
    made = depth_map((x + y).astype(np.float32), (130, 201))
    assert made.shape == (130, 201)
    assert (made.min(), made.max()) == (0, 255)
    # Values are enlarged before they are quantized to 256 levels: no terraces.
    assert np.abs(np.diff(made[65].astype(int))).max() <= 2


@pytest.mark.parametrize("value", [0.0, 7.5, np.nan, np.inf])
def test_constant_depth_is_black(value):
    assert not depth_map(np.full((5, 6), value, np.float32), (9, 8)).any()


def test_values_that_are_not_finite_count_as_farthest():
    made = depth_map(np.array([[np.nan, 3.0, 4.0], [np.inf, -np.inf, 5.0]], np.float32))
    assert made.tolist() == [[0, 0, 127], [0, 0, 255]]


@pytest.mark.parametrize("input_size", INPUT_SIZES, ids=lambda p: p.rule)
@pytest.mark.parametrize("size", [(1, 1), (7, 5), (1, 300), (900, 3), (97, 131)])
def test_the_map_has_the_size_of_the_image(input_size, size):
    (found,) = inverse_depth(STUB, [sample_image(*size)], input_size)
    made = depth_map(found, size)
    assert made.dtype == np.uint8
    assert made.shape == size


def test_results_of_mixed_sizes_keep_their_order():
    images = [
        sample_image(64, 64),
        sample_image(50, 90),
        np.flip(sample_image(64, 64), 0),
        sample_image(64, 64) // 2,
        sample_image(90, 50),
    ]
    small = InputSize("released", 64)
    alone = [inverse_depth(STUB, [image], small)[0] for image in images]
    for batch in (1, 2, 5):
        together = inverse_depth(STUB, images, small, batch=batch)
        assert all(np.array_equal(a, b) for a, b in zip(alone, together, strict=True))
    assert inverse_depth(STUB, [], small) == []


def test_images_of_one_size_are_batched():
    recorder = Recorder()
    inverse_depth(recorder, [sample_image(64, 64)] * 5, InputSize("released", 64), batch=2)
    assert recorder.seen.shape == (1, 3, 64, 64)
    inverse_depth(recorder, [sample_image(64, 64)] * 4, InputSize("released", 64), batch=2)
    assert recorder.seen.shape == (2, 3, 64, 64)
    assert recorder.seen.dtype == torch.float32
