"""Line drawings: Anime2Sketch as controlnet_aux runs it, and the method without weights."""

import numpy as np
import pytest

from cn.detect.lines.lineart import sketches, standard_lineart
from cn.detect.nets.sketch import Anime2Sketch
from tests.golden.make_detectors_edges import FILE, fill, photograph, sample_image


def golden(name):
    with np.load(FILE) as file:
        return file[name]


@pytest.fixture(scope="module")
def network():
    return fill(Anime2Sketch())


def close(ours, reference):
    """Equal except for rounding: one level of difference at few pixels."""
    assert ours.dtype == np.uint8
    difference = np.abs(ours.astype(int) - reference)
    assert difference.max() <= 1
    assert (difference > 0).mean() < 0.01


def test_sketches_equal_those_of_the_published_annotator(network):
    reference = golden("sketch/map")
    assert reference.std() > 10
    close(sketches(network, sample_image("sketch")[None])[0, ::3, ::3], reference)


def test_inverted_sketches_are_dark_on_white(network):
    image = sample_image("sketch")[None, :64, :64]
    assert np.array_equal(sketches(network, image, invert=True), 255 - sketches(network, image))


@pytest.mark.parametrize("size", [(1, 1), (7, 5), (3, 300)])
def test_any_size_gives_a_sketch_of_its_size(network, size):
    images = np.random.default_rng(0).integers(0, 256, (2, *size, 3), dtype=np.uint8)
    drawn = sketches(network, images)
    assert drawn.shape == (2, *size)
    close(sketches(network, images[1:])[0], drawn[1])


def test_the_method_without_weights_equals_the_published_annotator():
    photo = photograph("astronaut")[64:192, 128:320]
    close(standard_lineart(photo), golden("lineart"))


def stroke(paper=230, ink=40):
    image = np.full((80, 100, 3), paper, np.uint8)
    image[40:42, 10:90] = ink
    return image


def test_dark_strokes_become_white_on_black():
    drawn = standard_lineart(stroke())
    assert drawn.shape == (80, 100)
    assert drawn.dtype == np.uint8
    assert drawn[40:42, 15:85].min() > 100
    assert drawn[:20].max() == 0
    assert np.array_equal(standard_lineart(stroke(), invert=True), 255 - drawn)


def test_bright_strokes_are_not_lines():
    assert standard_lineart(stroke(paper=100, ink=220))[40:42, 12:88].max() == 0


def test_faint_noise_is_not_amplified():
    noise = 128 + np.random.default_rng(0).normal(0, 2, (128, 128, 3))
    assert standard_lineart(noise.astype(np.uint8)).max() < 60


@pytest.mark.parametrize("size", [(1, 1), (7, 5), (1, 300), (2000, 3)])
def test_any_size_works_without_weights(size):
    image = np.random.default_rng(1).integers(0, 256, (*size, 3), dtype=np.uint8)
    drawn = standard_lineart(image)
    assert drawn.shape == size
    assert np.array_equal(drawn, standard_lineart(image))


def test_flat_images_have_no_lines():
    assert not standard_lineart(np.full((64, 64, 3), 200, np.uint8)).any()
