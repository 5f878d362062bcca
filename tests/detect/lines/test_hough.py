"""Straight lines: M-LSD's decoding against the published one, and OpenCV's detector."""

import cv2
import numpy as np
import pytest
import torch
from torch import nn

from cn.detect.lines.hough import MAX_LINES, decode, draw_lines, lsd_lines, mlsd_lines
from cn.detect.nets.loading import load_net
from cn.detect.nets.mlsd import MLSDLarge, MLSDTiny
from tests.golden.make_detectors_edges import FILE, REAL_WEIGHTS, fill, photograph, sample_image

WEIGHTS = REAL_WEIGHTS / "mlsd_tiny_512_fp32.pth"
SIZES = [(1, 1), (7, 5), (1, 300), (300, 1), (33, 17), (16, 200)]


def golden(name):
    with np.load(FILE) as file:
        return file[name]


def same_lines(ours, reference):
    """The same lines in any order: lines of equal score may swap."""
    assert ours.shape == reference.shape
    assert 5 <= len(reference) < MAX_LINES
    distances = np.abs(ours[:, None] - reference).max(axis=2)
    assert distances.min(axis=0).max() < 0.01
    assert distances.min(axis=1).max() < 0.01


@pytest.mark.parametrize(("name", "network"), [("mlsd_large", MLSDLarge), ("mlsd_tiny", MLSDTiny)])
def test_lines_equal_those_of_the_published_decoder(name, network):
    (lines,) = mlsd_lines(fill(network()), sample_image(name)[None], score=0.5, length=0.2)
    same_lines(lines, golden(f"{name}/lines"))


@pytest.mark.parametrize("name", ["astronaut", "coffee", "rocket"])
@pytest.mark.skipif(not WEIGHTS.is_file(), reason=f"{REAL_WEIGHTS} has no {WEIGHTS.name}")
def test_the_published_weights_find_the_lines_that_the_published_code_finds(name):
    (lines,) = mlsd_lines(load_net("hough", WEIGHTS), photograph(name)[None])
    same_lines(lines, golden(f"real/mlsd_tiny/{name}"))


@pytest.mark.skipif(not WEIGHTS.is_file(), reason=f"{REAL_WEIGHTS} has no {WEIGHTS.name}")
def test_the_published_weights_find_a_drawn_line_for_any_size():
    image = np.full((203, 331, 3), 230, np.uint8)
    cv2.line(image, (40, 30), (280, 160), (30, 30, 30), 4)
    (lines,) = mlsd_lines(load_net("hough", WEIGHTS), image[None], score=0.3, length=20)
    assert len(lines)
    # Both ends lie on the drawn line, not at twice or half of its position.
    along = np.array([240, 130]) / np.hypot(240, 130)
    for ends in lines.reshape(-1, 2, 2) - np.array([40, 30]):
        assert np.abs(ends @ [-along[1], along[0]]).max() < 6
        assert (ends @ along).max() > 230


def output(peaks, size=(20, 30)):
    """M-LSD's output with only the centers (y, x) → (logit, dx, dy, dx, dy)."""
    planes = torch.zeros(9, *size)
    planes[0] = -20.0
    for (y, x), values in peaks.items():
        planes[:5, y, x] = torch.tensor(values, dtype=torch.float32)
    return planes


def test_a_center_and_two_displacements_give_a_line_at_twice_the_scale():
    lines = decode(output({(5, 10): (3.0, -4.0, -2.0, 6.0, 1.5)}))
    assert lines.dtype == np.float64
    assert lines.tolist() == [[12.0, 6.0, 32.0, 13.0]]


def test_lines_are_sorted_by_score_and_non_maxima_suppressed():
    peaks = {(5, 10): (1.0, -4, 0, 4, 0), (5, 11): (2.0, -5, 0, 5, 0), (15, 3): (3.0, 0, -6, 0, 6)}
    assert decode(output(peaks)).tolist() == [[6, 18, 6, 42], [12, 10, 32, 10]]


def test_lines_with_low_score_or_length_are_dropped():
    peaks = {(5, 10): (0.0, -4, 0, 4, 0), (15, 3): (3.0, -1, 0, 1, 0)}
    assert len(decode(output(peaks), score=0.49, length=1.9)) == 2
    assert len(decode(output(peaks), score=0.51, length=1.9)) == 1
    assert len(decode(output(peaks), score=0.49, length=2.1)) == 1


@pytest.mark.parametrize("size", [(1, 1), (4, 3), (20, 30)])
def test_no_lines_are_an_empty_array(size):
    lines = decode(output({}, size))
    assert lines.shape == (0, 4)
    assert not draw_lines(lines, (8, 6)).any()


def test_at_most_two_hundred_lines_are_returned():
    peaks = {(y, x): (3.0, -3, 0, 3, 0) for y in range(0, 40, 2) for x in range(0, 60, 2)}
    assert len(decode(output(peaks, (40, 60)))) == MAX_LINES


class Prepared(nn.Module):
    """Returns the same output for any input."""

    def __init__(self, planes):
        super().__init__()
        self.planes = nn.Parameter(planes[None])
        self.seen = None

    def forward(self, x):
        self.seen = x
        return self.planes.expand(len(x), -1, -1, -1)


def test_centers_in_the_padding_are_ignored():
    line = (3.0, -4.0, 0.0, 4.0, 0.0)
    network = Prepared(output({(9, 4): line, (11, 4): line, (4, 12): line, (4, 14): line}, (16, 16)))
    (lines,) = mlsd_lines(network, np.zeros((1, 21, 27, 3), np.uint8))
    # 21 rows have 11 at half size, 27 columns 14.
    assert sorted(lines[:, 1].tolist()) == [8, 18]
    assert sorted(lines[:, 0].tolist()) == [0, 16]
    assert network.seen.shape == (1, 4, 32, 32)


def test_the_input_is_rgb_and_a_channel_of_ones_scaled_to_minus_one_to_one():
    network = Prepared(output({}, (8, 8)))
    image = np.zeros((1, 16, 16, 3), np.uint8)
    image[..., 1] = 255
    mlsd_lines(network, image)
    planes = network.seen[0, :, 0, 0].tolist()
    assert planes == pytest.approx([-1, 1, -1, 1 / 127.5 - 1])


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("network", [MLSDLarge, MLSDTiny])
def test_any_size_works(network, size):
    found = mlsd_lines(fill(network()), np.random.default_rng(0).integers(0, 256, (2, *size, 3), dtype=np.uint8))
    assert len(found) == 2
    assert all(draw_lines(lines, size).shape == size for lines in found)


def test_lines_are_drawn_white_on_black_and_clipped():
    drawn = draw_lines(np.array([[2.9, 3.0, 10.2, 3.0], [-50.0, 8.0, 50.0, 8.0]]), (12, 20))
    assert drawn.dtype == np.uint8
    assert set(np.unique(drawn)) == {0, 255}
    assert np.flatnonzero(drawn[3]).tolist() == list(range(2, 11))
    assert drawn[8].all()
    assert drawn.any(axis=1).sum() == 2


def rectangle():
    image = np.full((120, 200, 3), 240, np.uint8)
    cv2.rectangle(image, (30, 20), (170, 100), (20, 60, 120), -1)
    return image


def test_the_detector_without_weights_finds_the_sides_of_a_rectangle():
    lines = lsd_lines(rectangle())
    assert len(lines) == 4
    lengths = np.hypot(*(lines[:, 2:] - lines[:, :2]).T)
    assert (np.diff(lengths) <= 0).all(), "the longest first"
    assert np.allclose(lengths, [140, 140, 80, 80], atol=6)
    drawn = draw_lines(lines, (120, 200))
    assert drawn[:, 26:35].any(axis=1)[25:95].all()
    assert not drawn[40:80, 60:140].any()


def test_lines_shorter_than_a_fraction_of_the_short_side_are_dropped():
    assert len(lsd_lines(rectangle(), length=0.8)) == 2
    assert len(lsd_lines(rectangle(), length=1.5)) == 0


@pytest.mark.parametrize("size", SIZES)
def test_lsd_works_for_any_size_and_is_deterministic(size):
    image = np.random.default_rng(1).integers(0, 256, (*size, 3), dtype=np.uint8)
    lines = lsd_lines(image)
    assert lines.shape[1:] == (4,)
    assert np.array_equal(lines, lsd_lines(image))
    assert draw_lines(lines, size).shape == size


def test_flat_images_have_no_lines_and_gray_ones_work():
    assert lsd_lines(np.full((64, 64, 3), 80, np.uint8)).shape == (0, 4)
    assert len(lsd_lines(cv2.cvtColor(rectangle(), cv2.COLOR_RGB2GRAY))) == 4
