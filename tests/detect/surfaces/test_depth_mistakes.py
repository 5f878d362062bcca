"""Files of depth that give useless maps: what is said of them, and what looks like them and is right."""

import numpy as np
import pytest

from cn.detect.surfaces.ground_truth import MeasuredDepth, MeasuredNormals
from cn.detect.surfaces.measured_depth import understood
from cn.images.pixel_values import Stored


def ramp(rows: int = 120, columns: int = 40) -> np.ndarray:
    """0 (top) to 1 (bottom), each row the same number."""
    return np.repeat(np.linspace(0, 1, rows)[:, None], columns, axis=1)


def said(values: np.ndarray, **settings: object) -> str:
    detector = MeasuredDepth(**settings)
    [found] = detector.detect([understood(Stored(values), detector.depth_is)], ["a"])
    return found.warning or ""


@pytest.mark.parametrize(("values", "what"), [
    ((1 - ramp()) * 65535, "values that fill 16 bits were read as mist"),
    (ramp() * 65535, "values that fill 16 bits were read as near-white"),
])  # fmt: skip
def test_a_whole_row_at_each_end_of_16_bits(values, what):
    assert what in said(values.round().astype(np.uint16))
    assert what.replace("that fill 16 bits", "from 0 to 1") in said((values / 65535).astype(np.float32))


def test_codes_of_depth_cameras_are_no_ends_of_a_range():
    millimeters = (1000 + (1 - ramp()) * 7000).astype(np.uint16)
    millimeters[:2] = 65535
    millimeters[10:12] = 0
    assert said(millimeters) == ""
    # The largest value of 0 to 1 meters, with unknown pixels.
    meters = (0.3 + (1 - ramp()) * 0.7).astype(np.float32)
    meters[50:52] = 0
    assert understood(Stored(meters)).kind == "distance"


def test_negative_integers_are_not_called_8_bits():
    negative = (-1000 - ramp() * 7000).astype(np.int16)
    assert understood(Stored(negative)).kind == "distance"
    assert said(negative) == "100 % of its numbers are negative, and no distance is (--depth-is near-white takes them)"
    found = MeasuredDepth(depth_is="near-white").detect([understood(Stored(negative), "near-white")], ["a"])
    assert found[0].warning is None
    assert found[0].map[0, 0] == 255


def test_raw_values_of_a_network_with_negative_ones():
    raw = (ramp() * 30 - 4.9).astype(np.float32)
    assert "over 10 % of its numbers are negative, and no distance is" in said(raw)
    assert "over 10 % of its numbers are negative, and no disparity is" in said(raw, depth_is="disparity")
    assert said(raw, depth_is="near-white") == ""


@pytest.mark.parametrize("nothing", [-1, -9999, -3.4028235e38])
def test_one_negative_number_marks_pixels_without_depth(nothing):
    meters = (8 - ramp() * 7).astype(np.float32)
    meters[:40] = nothing
    assert said(meters) == ""


@pytest.mark.parametrize(("values", "what"), [
    (np.zeros((20, 20), np.uint16), "none of its pixels has a depth"),
    (np.full((20, 20), np.nan, np.float32), "none of its pixels has a depth"),
    (np.full((20, 20), 65535, np.uint16), "all of it is background"),
])  # fmt: skip
def test_why_a_file_has_no_depth(values, what):
    assert what in said(values)


def test_flying_pixels_that_are_too_many_to_be_clipped():
    millimeters = (2000 + (1 - ramp()) * 6000).astype(np.uint16)
    millimeters[:3, :10] = 20
    assert "nearly all of its pixels are nearly black, because a few are much nearer" in said(millimeters)
    assert said(millimeters, clip=1) == ""
    assert said(millimeters, near=2000) == ""


def test_normals_say_what_was_guessed_too(tmp_path):
    def said_of_normals(values: np.ndarray, name: str = "a.npy", **settings: object) -> str:
        np.save(tmp_path / name, values)
        detector = MeasuredNormals(focal=100.0, **settings)
        [found] = detector.detect([detector.read(str(tmp_path / name))], ["a"])
        return found.warning or ""

    meters = 8 - ramp() * 7
    assert said_of_normals(meters) == ""
    assert "were read as disparity, as its name says" in said_of_normals(100 / meters, "disparity.npy")
    assert said_of_normals(100 / meters, "disparity.npy", depth_is="disparity") == ""
    assert "are larger at the bottom" in said_of_normals(100 / meters)
    assert "numbers are negative, and no distance is" in said_of_normals(-meters)


def test_a_small_object_before_a_far_wall_is_right():
    meters = np.full((100, 100), 50, np.float32)
    meters[40:60, 40:60] = 1
    assert said(meters) == ""
