"""The background of condition maps that are transparent."""

import numpy as np
import pytest
from PIL import Image

from cn import conditions, images
from cn.detect.surfaces.encoding import FLAT
from tests.helpers.image_files import corners, save

LINES = ("canny", "hough", "hed", "scribble", "lineart")
ON_BLACK = ("openpose", "openpifpaf", "ade20k", "coco", "depth")


def drawing(color, paper=None, size=64):
    """A cross, one pixel wide, of one color; RGBA. `paper` is what RGB is under full transparency."""
    rgba = np.zeros((size, size, 4), np.uint8)
    rgba[..., :3] = color if paper is None else paper
    rgba[size // 2, :] = rgba[:, size // 2] = (*color, 255)
    return rgba


def read(tmp_path, rgba, kind):
    return images.read_map(save(tmp_path / "map.png", Image.fromarray(rgba)), kind)


def expected(rgba, background):
    alpha = rgba[..., 3:] / 255
    return np.round(rgba[..., :3] * alpha + np.array(background) * (1 - alpha)).astype(np.uint8)


def test_every_kind_has_its_background():
    assert {*LINES, *ON_BLACK, "normal"} == set(conditions.KINDS)


@pytest.mark.parametrize("kind", LINES)
@pytest.mark.parametrize("paper", [(255, 255, 255), (0, 0, 0)])
def test_white_lines_in_the_alpha_channel_are_on_black(tmp_path, kind, paper):
    rgba = drawing((255, 255, 255), paper)
    read_back = read(tmp_path, rgba, kind)
    assert np.array_equal(read_back, expected(rgba, (0, 0, 0)))
    assert read_back[0, 0].tolist() == [0, 0, 0]
    assert read_back[32, 0].tolist() == [255, 255, 255]


@pytest.mark.parametrize("kind", LINES)
@pytest.mark.parametrize("ink", [(0, 0, 0), (30, 30, 35), (20, 20, 120)])
def test_a_drawing_in_dark_ink_is_on_white(tmp_path, kind, ink):
    rgba = drawing(ink)
    assert np.array_equal(read(tmp_path, rgba, kind), expected(rgba, (255, 255, 255)))


def test_soft_edges_keep_their_strength(tmp_path):
    """HED in the alpha channel: white everywhere, alpha is the edge."""
    rgba = np.full((16, 16, 4), 255, np.uint8)
    rgba[..., 3] = np.arange(16, dtype=np.uint8) * 17
    assert np.array_equal(read(tmp_path, rgba, "hed")[..., 0], rgba[..., 3])


def test_a_black_map_with_transparent_borders_has_black_borders(tmp_path):
    rgba = drawing((255, 255, 255), (0, 0, 0))
    rgba[..., 3] = 255
    rgba[:8, :, 3] = rgba[-8:, :, 3] = 0
    assert read(tmp_path, rgba, "canny")[0, 0].tolist() == [0, 0, 0]


@pytest.mark.parametrize("kind", ON_BLACK)
@pytest.mark.parametrize("color", [(255, 0, 0), (255, 255, 255), (120, 120, 120), (40, 40, 40)])
def test_poses_labels_and_depth_are_on_black(tmp_path, kind, color):
    rgba = drawing(color)
    assert np.array_equal(read(tmp_path, rgba, kind), expected(rgba, (0, 0, 0)))


def test_depth_that_is_black_itself_is_on_white(tmp_path):
    assert read(tmp_path, drawing((0, 0, 0)), "depth")[0, 0].tolist() == [255, 255, 255]


def test_normals_face_the_viewer_where_there_is_nothing(tmp_path):
    rgba = drawing((200, 128, 200), (0, 0, 0))
    rgba[32, 0, 3] = 128
    read_back = read(tmp_path, rgba, "normal")
    assert tuple(read_back[0, 0]) == FLAT
    assert read_back[32, 1].tolist() == [200, 128, 200]
    # (200 · 128 + 127 · 127) / 255 and so on.
    assert read_back[32, 0].tolist() == [164, 128, 227]


@pytest.mark.parametrize(
    ("color", "background"), [((255, 255, 255), 0), ((250, 250, 250), 0), ((0, 0, 0), 255), ((200, 60, 60), 255)]
)
def test_an_image_of_unknown_kind_is_on_white_unless_it_is_white(tmp_path, color, background):
    assert read(tmp_path, drawing(color), None)[0, 0].tolist() == [background] * 3


def test_what_is_wholly_transparent_or_opaque(tmp_path):
    nothing = np.zeros((8, 8, 4), np.uint8)
    assert not read(tmp_path, nothing, "canny").any()
    assert (read(tmp_path, nothing, None) == 255).all()
    opaque = np.dstack([corners(), np.full((6, 8), 255, np.uint8)])
    for kind in (*conditions.KINDS, None):
        assert np.array_equal(read(tmp_path, opaque, kind), corners())
        assert np.array_equal(images.read_map(save(tmp_path / "a.png", Image.fromarray(corners())), kind), corners())


def test_palettes_color_keys_and_16_bits_with_a_key(tmp_path):
    palette = Image.fromarray(np.array([[0, 1], [0, 1]], np.uint8), "P")
    palette.putpalette([255, 255, 255, 255, 0, 0])
    path = save(tmp_path / "p.png", palette, transparency=0)
    assert images.read_map(path, "openpose").tolist() == [[[0, 0, 0], [255, 0, 0]]] * 2
    deep = Image.fromarray(np.array([[500, 65535]], np.uint16))
    path = save(tmp_path / "deep.png", deep, transparency=500)
    assert images.read_map(path, "depth")[0].tolist() == [[0, 0, 0], [255] * 3]
    assert images.read(path)[0].tolist() == [[255] * 3] * 2


def test_the_text_comes_with_the_map(tmp_path):
    path = tmp_path / "a.png"
    images.write(path, drawing((255, 255, 255)), {"key": "value"})
    image, text = images.read_map_with_info(path, "canny")
    assert text == {"key": "value"}
    assert image[0, 0].tolist() == [0, 0, 0]


def test_a_photograph_stays_on_white(tmp_path):
    path = save(tmp_path / "a.png", Image.fromarray(drawing((255, 255, 255))))
    assert (images.read(path) == 255).all()
