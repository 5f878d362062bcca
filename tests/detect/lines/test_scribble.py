"""Scribbles as released, and from drawings."""

import numpy as np
import pytest
from PIL import Image

from cn import images
from cn.detect.lines.scribble import (
    DrawingDetector,
    ScribbleDetector,
    released_scribble,
    scribble_from_drawing,
    suppress_non_maxima,
)
from tests.golden.make_detectors_edges import FILE
from tests.helpers.detect_cases import house, soft_lines


def golden(name):
    with np.load(FILE) as file:
        return file[name]


def unpacked(name, shape):
    return np.unpackbits(golden(name))[: np.prod(shape)].reshape(shape) > 0


def test_the_released_scribble_equals_that_of_the_published_code():
    soft = golden("scribble/soft")
    for made, name in ((suppress_non_maxima(soft), "scribble/nms"), (released_scribble(soft), "scribble")):
        assert made.dtype == np.uint8
        assert set(np.unique(made)) == {0, 255}
        assert np.array_equal(made > 0, unpacked(name, soft.shape))


def test_a_soft_edge_becomes_one_stroke():
    scribble = released_scribble(soft_lines())
    runs = np.flatnonzero(np.diff(scribble[:, 100].astype(int)))
    assert len(runs) == 8, "four strokes"
    assert 8 <= runs[1] - runs[0] <= 20


@pytest.mark.parametrize("side", [128, 256, 384])
def test_without_a_network_a_small_image_gives_the_strokes_of_a_large_one(side):
    large = house(0, 512, 512)
    small = np.asarray(Image.fromarray(large).resize((side, side), Image.Resampling.LANCZOS))
    detector = ScribbleDetector.create(None)
    wanted, found = (
        np.asarray(Image.fromarray(detector.detect([image], ["a"])[0].map).resize((128, 128))) > 127
        for image in (large, small)
    )
    assert wanted.mean() > 0.05
    assert (wanted & found).sum() / (wanted | found).sum() > 0.7


def drawing(paper, ink):
    image = np.full((40, 50, 3), paper, np.uint8)
    image[10:12, 5:45] = ink
    return image


@pytest.mark.parametrize(
    ("paper", "ink"),
    [
        (255, 0),
        (235, 60),
        (255, (200, 30, 30)),
        ((250, 240, 200), (20, 60, 200)),
        (0, 255),
        (20, 190),
        ((10, 30, 60), (255, 220, 40)),
    ],
)
def test_ink_is_white_whatever_the_paper(paper, ink):
    scribble = scribble_from_drawing(drawing(paper, ink))
    assert scribble.dtype == np.uint8
    expected = np.zeros((40, 50), np.uint8)
    expected[10:12, 5:45] = 255
    assert np.array_equal(scribble, expected)


def test_the_released_threshold_holds_on_light_paper():
    image = np.full((4, 6, 3), 255, np.uint8)
    image[0, 0], image[0, 1] = (255, 126, 255), (255, 127, 255)
    assert np.argwhere(scribble_from_drawing(image)).tolist() == [[0, 0]]
    assert np.argwhere(scribble_from_drawing(image, ink=200)).tolist() == [[0, 0], [0, 1]]


@pytest.mark.parametrize("level", [0, 255])
@pytest.mark.parametrize("size", [(1, 1), (7, 5)])
def test_an_empty_page_has_no_ink(level, size):
    scribble = scribble_from_drawing(np.full((*size, 3), level, np.uint8))
    assert scribble.shape == size
    assert not scribble.any()


@pytest.mark.parametrize("ink", [0, 255])
def test_drawings_on_a_transparent_background_may_be_light_or_dark(tmp_path, ink):
    rgba = np.full((32, 32, 4), ink, np.uint8)
    rgba[..., 3] = 0
    rgba[10:14, :, 3] = 255
    images.write(tmp_path / "a.png", rgba)
    detector = DrawingDetector()
    (detection,) = detector.detect([detector.read(str(tmp_path / "a.png"))], ["a"])
    assert (detection.map > 0).any(axis=1).tolist() == [10 <= row < 14 for row in range(32)]
