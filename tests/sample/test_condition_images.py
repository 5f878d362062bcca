"""How condition images are read, and what is noticed about them."""

import json

import numpy as np
import pytest
from PIL import Image

from cn import images
from cn.conditions import ConditionInfo
from cn.errors import InputError, UsageError
from cn.sample.request import make_conditions, with_detected

SIDE = 128


def lines() -> np.ndarray:
    """White upright lines on black, (h, w)."""
    map = np.zeros((SIDE, SIDE), np.uint8)
    map[4:-4, 4::16] = 255
    return map


def read(path, *, kind="canny", **options):
    (condition,) = make_conditions([str(path)], control=["any"], **options)
    return condition.image, [str(warning) for warning in condition.warnings(kind)]


def test_lines_in_the_alpha_channel_alone(tmp_path):
    """Lines of an image whose colors are all white, as paint programs export them."""
    white = np.full((SIDE, SIDE, 4), 255, np.uint8)
    white[..., 3] = lines()
    Image.fromarray(white).save(tmp_path / "a.png")
    image, warnings = read(tmp_path / "a.png")
    assert np.array_equal(image[..., 0], lines())
    assert warnings == []


def test_what_is_transparent_has_the_background_of_the_controls_kind(tmp_path):
    """A skeleton in an unknown PNG is over black, if its control follows poses."""
    skeleton = np.zeros((SIDE, SIDE, 4), np.uint8)
    skeleton[40:80, 60:64] = (255, 85, 0, 255)
    Image.fromarray(skeleton).save(tmp_path / "a.png")
    for control, background in (("openpose", 0), ("any", 255)):
        (condition,) = make_conditions([str(tmp_path / "a.png")], control=[control])
        assert condition.image[0, 0].tolist() == [background] * 3
        assert condition.image[50, 62].tolist() == [255, 85, 0]


def test_an_image_that_lost_its_alpha_channel(tmp_path):
    Image.new("RGB", (SIDE, SIDE), "white").save(tmp_path / "a.png")
    (warning,) = read(tmp_path / "a.png")[1]
    assert "entirely white" in warning


def test_dark_lines_on_white_can_be_inverted(tmp_path):
    images.write(tmp_path / "a.png", 255 - lines())
    image, (warning,) = read(tmp_path / "a.png")
    assert image[0, 0].tolist() == [255, 255, 255]
    assert "looks like" not in warning
    assert "cn sample: --invert" in warning
    image, warnings = read(tmp_path / "a.png", invert=True)
    assert np.array_equal(image[..., 0], lines())
    assert warnings == []


def test_an_inverted_map_of_cn_is_checked(tmp_path):
    images.write(tmp_path / "a.png", lines(), ConditionInfo("canny", "x").to_text())
    assert read(tmp_path / "a.png")[1] == []
    (warning,) = read(tmp_path / "a.png", invert=True)[1]
    assert "mostly white" in warning


def test_few_of_16_bits(tmp_path):
    Image.fromarray((lines() // 16).astype(np.uint16) * 257).save(tmp_path / "a.png")
    (warning,) = read(tmp_path / "a.png")[1]
    assert "few of the 16 bits" in warning


def test_the_first_frame_is_taken_and_said(tmp_path):
    frames = [Image.fromarray(lines()), Image.fromarray(lines().T)]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    image, warnings = read(tmp_path / "a.gif")
    assert np.array_equal(image[..., 0], lines())
    assert warnings == ["has 2 frames: only the first is used"]


def test_keypoints_are_named_as_such(tmp_path):
    for text in (json.dumps({"people": []}), "\ufeff[1]"):
        (tmp_path / "pose.json").write_text(text)
        with pytest.raises(InputError, match=r"pose\.json: is JSON, .* cn detect openpose --from-json .*pose\.json"):
            make_conditions([str(tmp_path / "pose.json")], control=["openpose"])


def test_numbers_are_named_as_such(tmp_path):
    np.save(tmp_path / "depth.npy", np.ones((4, 4)))
    with pytest.raises(InputError, match=r"cn detect depth --from-depth"):
        make_conditions([str(tmp_path / "depth.npy")], control=["depth"])


def test_detecting_edges_in_edges(tmp_path):
    images.write(tmp_path / "a.png", lines())
    (condition,) = make_conditions([str(tmp_path / "a.png")], control=["any"], detect="canny")
    assert condition.kind == "canny"
    (warning,) = condition.warnings("canny")
    assert "map of edges already" in warning
    (made,) = with_detected([condition])
    assert not np.array_equal(made.image, condition.image)
    assert made.warnings("canny") == [warning], "the detected map itself is not suspected"


def test_detecting_makes_maps_that_need_no_inversion(tmp_path):
    with pytest.raises(UsageError, match="--invert"):
        make_conditions(["a.png"], detect="canny", invert=True)
    with pytest.raises(UsageError, match="--invert need a --cond"):
        make_conditions([], invert=True)
