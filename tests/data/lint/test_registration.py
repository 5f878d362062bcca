"""How a map lies on its image: shifts are measured in pixels of the image, turns and foreign maps are recognized."""

import cv2
import numpy as np
import pytest

from cn.data.lint.registration import measure, misfit
from cn.detect.lines.canny import canny
from cn.detect.lines.lineart import standard_lineart as dark_lines
from cn.detect.lines.soft_edge_gradient import gradient_soft_edge
from tests.data.lint.photographs import Pixels, photograph


def square(name: str, size: int = 256) -> Pixels:
    image = photograph(name)
    side = min(image.shape[:2])
    return np.asarray(cv2.resize(image[:side, :side], (size, size), interpolation=cv2.INTER_AREA), np.uint8)


def edges(image: Pixels) -> Pixels:
    return np.repeat(canny(image, 80, 160)[..., None], 3, axis=2)


def judged(map: Pixels, image: Pixels, kind: str = "canny"):
    fit = measure(map, image, kind)
    assert fit is not None
    return misfit(fit, kind, min(image.shape[:2]))


@pytest.mark.parametrize("name", ["astronaut", "coffee", "chelsea", "camera", "page", "brick", "gravel"])
@pytest.mark.parametrize(("x", "y"), [(2, 0), (0, -3), (-5, 4), (11, 2)])
def test_a_shift_is_measured(name, x, y):
    image = square(name)
    map = np.roll(edges(image), (y, x), axis=(0, 1))
    found = judged(map, image)
    assert found is not None
    assert found.rule == "misregistered"
    assert found.shift is not None
    assert np.abs(np.subtract(found.shift, (x, y))).max() <= 1


def test_a_shift_is_said_in_words():
    image = square("coffee")
    found = judged(np.roll(edges(image), (4, -5), axis=(0, 1)), image)
    assert found is not None
    assert found.text.startswith("is shifted by 5 pixels to the left and 4 down against its image")


def test_pixels_are_those_of_the_image():
    """An image of 1024 pixels is measured at half of its size."""
    image = cv2.resize(square("astronaut", 512), (1024, 1024), interpolation=cv2.INTER_LINEAR)
    found = judged(np.roll(edges(image), 12, axis=1), image)
    assert found is not None
    assert found.shift is not None
    assert abs(found.shift[0] - 12) <= 2
    assert found.shift[1] == 0


@pytest.mark.parametrize("name", ["astronaut", "coffee", "chelsea", "camera", "page", "brick", "gravel", "retina"])
def test_right_maps_and_those_a_pixel_off_are_not_accused(name):
    image = square(name)
    for shift in (0, 1):
        assert judged(np.roll(edges(image), shift, axis=1), image) is None
    soft = np.repeat(gradient_soft_edge(image)[..., None], 3, axis=2)
    assert judged(soft, image, "hed") is None


DRAWN = ["astronaut", "coffee", "chelsea", "camera", "rocket", "gravel", "retina", "immunohistochemistry"]


def thin(image: Pixels) -> Pixels:
    """Lines as a network draws them: two pixels wide and soft, on the edges."""
    return np.asarray(cv2.GaussianBlur(edges(image), (0, 0), 0.8), np.uint8)


@pytest.mark.parametrize("name", DRAWN)
def test_line_drawings_fit_whether_their_lines_lie_on_the_edges_or_are_the_dark_side_of_them(name):
    """The lines of `standard` are the dark areas beside an edge, whose middle may be several pixels from it."""
    image = square(name)
    dark = np.repeat(dark_lines(image)[..., None], 3, axis=2)
    for map in (thin(image), dark):
        assert judged(map, image, "lineart") is None
        found = judged(np.roll(map, (4, -3), axis=(0, 1)), image, "lineart")
        assert found is not None
        assert found.rule == "misregistered"


TURNS = {
    "mirrored": lambda map: map[:, ::-1],
    "upside down": lambda map: map[::-1],
    "180°": lambda map: map[::-1, ::-1],
    "90° clockwise": lambda map: np.rot90(map, -1),
    "90° counterclockwise": lambda map: np.rot90(map, 1),
}


@pytest.mark.parametrize("turn", TURNS)
def test_a_turned_map_is_recognized(turn):
    image = square("astronaut")
    found = judged(np.ascontiguousarray(TURNS[turn](edges(image))), image)
    assert found is not None
    assert found.rule == ("mirrored" if turn == "mirrored" else "turned")
    assert turn in found.text


def test_the_map_of_another_image_is_recognized():
    found = judged(edges(square("coffee")), square("astronaut"))
    assert found is not None
    assert found.rule == "misregistered"
    assert found.shift is None
    assert "another image" in found.text


def test_the_score_is_the_mean_rank_of_the_gradients_under_the_edges():
    """A map of all the pixels has 0.5; one of a step alone, where the image has nothing else, almost 1."""
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 255, (128, 128, 3)).astype(np.uint8)
    everywhere = measure(np.full_like(noise, 255), noise, "canny")
    assert everywhere is not None
    assert everywhere.score == pytest.approx(0.5, abs=0.01)
    step = np.zeros((128, 128, 3), np.uint8)
    step[:, 64:] = 200
    line = np.zeros_like(step)
    line[:, 64] = 255
    exact = measure(line, step, "canny")
    assert exact is not None
    assert exact.score > 0.97


def test_maps_with_few_edges_accuse_nobody():
    image = square("astronaut")
    dot = np.zeros_like(image)
    dot[100:103, 100:103] = 255
    assert judged(dot, image) is None
    assert measure(np.zeros_like(image), image, "canny") is None
    assert measure(np.zeros((3, 3, 3), np.uint8), image, "canny") is None


@pytest.mark.parametrize("kind", ["scribble", "openpose"])
def test_kinds_that_lie_beside_the_edges_are_not_judged(kind):
    image = square("coffee")
    assert judged(np.roll(edges(image), 6, axis=1), image, kind) is None


def test_contrast_and_brightness_of_the_image_do_not_matter():
    image = square("coffee")
    map = np.roll(edges(image), 4, axis=0)
    dark = (image // 12).astype(np.uint8)
    fits = [measure(map, one, "canny") for one in (image, dark)]
    assert all(fit is not None and fit.shift == (0, 4) for fit in fits)
