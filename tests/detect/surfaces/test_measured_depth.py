"""Measured and rendered depth: what its numbers are, its range, and what is said about both. Levels are by hand."""

import json
import warnings
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cn import images
from cn.conditions import ConditionInfo
from cn.detect.surfaces.depth_scale import scale
from cn.detect.surfaces.encoding import depth_to_map
from cn.detect.surfaces.ground_truth import MeasuredDepth
from cn.detect.surfaces.measured_depth import Depth, understood
from cn.errors import InputError
from cn.images.pixel_values import Stored
from tests.helpers.cli import cn

EIGHT = np.uint8


def depth(
    values: object, kind: str | None = None, dtype: type = np.float32, name: str = "", channel: str = ""
) -> Depth:
    return understood(Stored(np.array(values, dtype), channel), kind, name)  # type: ignore[arg-type]


def levels(values: object, kind: str = "distance", dtype: type = np.float32, **limits: float) -> list[list[int]]:
    return scale(depth(values, kind, dtype), **limits).levels().tolist()


def warning(values: object, **settings: object) -> str:
    (found,) = MeasuredDepth(**settings).detect([depth(values, settings.get("depth_is"))], ["a"])  # type: ignore
    return found.warning or ""


# ---- what the numbers are ----


def test_a_mist_pass_is_inverted():
    assert levels([[0, 51, 102], [153, 204, 255]], "mist", EIGHT) == [[255, 204, 153], [102, 51, 0]]
    assert levels([[0.0, 0.5], [1.0, np.nan]], "mist") == [[255, 127], [0, 0]]


def test_a_map_that_is_near_white_stays():
    assert levels([[0, 51, 102], [153, 204, 255]], "near-white", EIGHT) == [[0, 51, 102], [153, 204, 255]]
    assert levels([[10, 60, 110]], "near-white", EIGHT) == [[0, 127, 255]]


def test_disparity_is_infinitely_far_where_it_is_0_or_unknown():
    assert levels([[10, 60, 110]], "disparity") == [[0, 127, 255]]
    # 255 / 110 = 2.318 per unit of disparity.
    assert levels([[10, 30, 60, 110, 0]], "disparity") == [[23, 69, 139, 255, 0]]
    assert levels([[10, 30, 60, 110, np.inf]], "disparity") == [[23, 69, 139, 255, 0]]
    assert levels([[160, 480, 960, 1760, -16]], "disparity", np.int16) == [[23, 69, 139, 255, 0]]


def test_distance_is_inverted_as_one_over_it():
    # 1/1, 1/2, 1/4: from 0.25 to 1, 0.5 is a third.
    assert levels([[1000, 2000, 4000]], dtype=np.uint16) == [[255, 85, 0]]
    assert levels([[1000, 2000, 4000, 0]], dtype=np.uint16) == [[255, 127, 63, 0]]


@pytest.mark.parametrize(
    ("nothing", "dtype"),
    [(np.inf, "f4"), (1e10, "f4"), (np.finfo("f4").max, "f4"), (65504, "f2"), (65535, "u2"), (65535, "i4")],
)
def test_background_of_renderers_and_sensors_is_black(nothing, dtype):
    found = depth([[1, 2, 4, nothing]], "distance", np.dtype(dtype).type)
    assert found.background.tolist() == [[False, False, False, True]]
    assert scale(found).levels().tolist() == [[255, 127, 63, 0]]


@pytest.mark.parametrize("hole", [0, -1, np.nan, -np.inf])
def test_holes_of_sensors_are_black(hole):
    found = depth([[1, 2, 4, hole]], "distance")
    assert (found.known | found.background).tolist() == [[True, True, True, False]]
    assert scale(found).levels().tolist() == [[255, 127, 63, 0]]


# ---- range ----


def wall(side: int = 30) -> np.ndarray:
    """Three walls, at 4, 2 and 1 m, in millimeters, the nearest at the bottom."""
    return np.repeat([4000, 2000, 1000], side * side // 3).reshape(side, side)


def test_one_flying_pixel_does_not_make_the_rest_black():
    flying = wall()
    flying[3, 3] = 1
    found = scale(depth(flying, "distance", np.uint16), clip=0.001).levels()
    assert found[3, 3] == 255
    flying[3, 3] = 1000
    assert found.tolist() == scale(depth(flying, "distance", np.uint16)).levels().tolist()
    assert sorted({*found.ravel().tolist()}) == [0, 85, 255]
    assert np.unique(scale(depth(wall_with(1), "distance", np.uint16)).levels())[0:2].tolist() == [0, 255], (
        "without clip"
    )


def wall_with(value: int) -> np.ndarray:
    other = wall()
    other[3, 3] = value
    return other


def test_a_wrong_match_of_stereo_is_clipped_at_either_end():
    matches = np.tile(np.linspace(20, 60, 40), (40, 1))
    for wrong, level in ((1000, 255), (-500, 0)):
        one = matches.copy()
        one[5, 5] = wrong
        found = scale(depth(one, "near-white"), clip=0.001).levels()
        assert found[5, 5] == level
        assert np.array_equal(found[10], scale(depth(matches, "near-white")).levels()[10])


def test_a_small_near_object_is_not_clipped():
    """A hundredth of the image at a tenth of the distance: right, although it leaves the wall dark."""
    scene = np.tile(np.linspace(4000, 5000, 100), (100, 1)).astype(np.uint16)
    scene[20:30, 20:30] = 400
    found = depth(scene, "distance", np.uint16)
    assert np.array_equal(scale(found, clip=0.001).levels(), depth_to_map(scene.astype(float)))


@pytest.mark.parametrize("seed", range(3))
def test_maps_of_clean_depth_are_those_of_the_scenes(seed):
    rng = np.random.default_rng(seed)
    clean = 1 + 8 * rng.random((50, 60))
    clean[rng.random(clean.shape) < 0.1] = (0, np.inf, np.nan)[seed]
    assert np.array_equal(scale(depth(clean, "distance", float), clip=0.001).levels(), depth_to_map(clean))


def test_limits_are_in_the_file_s_unit():
    # 1/500 is white, 1/4000 black: (1 - 0.25) / 1.75 · 255 = 109.3; (0.5 - 0.25) / 1.75 · 255 = 36.4
    assert levels([[1000, 2000, 4000, 400, 9000]], near=500, far=4000) == [[109, 36, 0, 255, 0]]
    assert levels([[0, 100, 200]], "mist", EIGHT, near=100, far=200) == [[255, 255, 0]]
    assert levels([[0, 100, 200]], "near-white", EIGHT, near=200, far=100) == [[0, 0, 255]]
    assert levels([[1000, 2000, 4000]], far=2000) == [[255, 0, 0]]
    with pytest.raises(InputError, match="--near must be larger than --far"):
        levels([[0, 100, 200]], "near-white", EIGHT, near=100, far=200)
    with pytest.raises(InputError, match="above 0"):
        levels([[1, 2]], near=0)


def test_constant_depth_and_none():
    assert levels([[3, 3]]) == [[0, 0]]
    assert levels([[0, 0]]) == [[0, 0]]
    assert levels([[3, 3]], clip=0.001) == [[0, 0]]
    assert levels([[3, 3, 0]]) == [[255, 255, 0]]


# ---- guesses ----


def floor(side: int = 40) -> np.ndarray:
    """Disparity of a floor under the sky: 0 above, growing to 1 at the bottom."""
    return np.repeat(np.linspace(-1, 1, side).clip(0, 1)[:, None], side, 1)


def ceiling(side: int = 40) -> np.ndarray:
    """Disparity of a corridor: near above and below."""
    return np.repeat(np.abs(np.linspace(-1, 1, side))[:, None], side, 1)


@pytest.mark.parametrize(
    ("values", "dtype", "name", "kind", "said"),
    [
        (floor() * 255, EIGHT, "", "near-white", "were read as near-white, because they are larger at the bottom"),
        (255 - floor() * 255, EIGHT, "", "mist", "were read as mist (far is white), because they are smaller"),
        (ceiling() * 255, EIGHT, "", "mist", "may be near or far: its white was read as far (mist)"),
        (floor() * 65535, np.uint16, "", "distance", "are larger at the bottom"),
        (1 - 0.9 * floor(), np.float32, "", "mist", "values from 0 to 1 were read as mist"),
        (floor() + 0.5, np.float32, "", "distance", "are larger at the bottom"),
        (floor() + 0.5, np.float32, "disp0", "disparity", "as its name says"),
        (1 - floor(), np.float32, "room_mist_0001", "mist", "as its name says"),
        (floor() + 0.5, np.float32, "display", "distance", "are larger at the bottom"),
        (1 / (floor() + 0.1), np.float32, "", "distance", ""),
        (1000 / (floor() + 0.1), np.uint16, "", "distance", ""),
        (ceiling() + 0.5, np.float32, "", "distance", ""),
    ],
)
def test_what_can_be_guessed_is_guessed_and_said(values, dtype, name, kind, said):
    found = depth(values, None, dtype, name)
    assert found.kind == kind
    assert said in (found.doubt or "")
    assert bool(said) == bool(found.doubt)
    # What is said by the user is not doubted.
    assert depth(values, "distance", dtype, name).doubt is None


def test_sixteen_bits_that_were_scaled_to_their_full_range():
    scaled = np.tile(np.linspace(0, 65535, 40)[:, None], (1, 40))
    scaled[0, 1:], scaled[-1, 1:] = 5, 65500
    found = depth(scaled, None, np.uint16)
    assert found.kind == "near-white"
    assert "values that fill 16 bits" in (found.doubt or "")


def test_the_name_of_a_channel_is_a_hint():
    assert depth(1 - floor(), channel="ViewLayer.Mist.Z").kind == "mist"
    assert depth(1 - 0.9 * floor(), channel="ViewLayer.Depth.Z").kind == "mist", "0 to 1, smaller at the bottom"
    assert depth(3 - floor(), channel="ViewLayer.Depth.Z").kind == "distance"


# ---- warnings ----


def test_holes_are_named_with_their_share_and_backgrounds_are_not():
    scene = np.full((100, 100), 2.0)
    scene[:, 50:] = 3.0
    holes = scene.copy()
    holes[20:60, 20:60] = 0
    assert "over 10 % of its pixels are holes without depth" in warning(holes)
    sparse = np.where(np.random.default_rng(0).random(scene.shape) < 0.1, scene, 0)
    assert "of its pixels are holes" in warning(sparse), "points of a lidar"
    speckled = np.where(np.random.default_rng(0).random(scene.shape) < 0.03, 0, scene)
    assert warning(speckled) == "", "few"
    # An object in front of nothing, of a renderer that writes 0 for it.
    rendered = np.zeros((100, 100))
    rendered[30:90, 30:70] = scene[30:90, 30:70]
    assert warning(rendered, depth_is="distance") == ""
    sky = scene.copy()
    sky[:60] = np.inf
    assert warning(sky) == ""


def test_limits_in_another_unit_are_noticed():
    assert "100 % of its pixels are farther than --far 5 and black; it has 1000 to 4000" in warning(
        wall(), near=0.5, far=5.0
    )
    assert "over 60 % of its pixels are nearer than --near 3000 and white" in warning(wall(), near=3000.0)
    assert warning(wall(), near=900.0, far=3000.0) == "", "a third of the pixels is farther: wanted"


# ---- the command ----


def in_all_formats(folder: Path, values: np.ndarray) -> None:
    exr = pytest.importorskip("OpenEXR")
    tifffile = pytest.importorskip("tifffile")
    folder.mkdir()
    np.save(folder / "npy.npy", values)
    np.savez_compressed(folder / "npz.npz", depth=values)
    tifffile.imwrite(folder / "f16.tif", values.astype(np.float16))
    tifffile.imwrite(folder / "f64.tiff", values.astype(np.float64))
    Image.fromarray(values.astype(np.uint16)).save(folder / "png.png")
    height, width = values.shape
    (folder / "pfm.pfm").write_bytes(f"Pf\n{width} {height}\n-1\n".encode() + values[::-1].astype("<f4").tobytes())
    header = {"type": exr.scanlineimage, "compression": exr.ZIP_COMPRESSION}
    exr.File(header, {"Z": values.astype(np.float32)}).write(str(folder / "float.exr"))
    exr.File(header, {"Z": values.astype(np.float16)}).write(str(folder / "half.EXR"))


def test_every_format_alone_and_in_a_folder(tmp_path):
    values = wall(24)
    in_all_formats(tmp_path / "in", values)
    done = cn("detect", "depth", "in", "out", "--from-depth", "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    records = [json.loads(line) for line in done.stdout.splitlines()]
    written = [record for record in records if record.get("status") == "written"]
    assert len(written) == 8
    for record in written:
        assert np.array_equal(images.read(tmp_path / record["output"])[..., 0], depth_to_map(values)), record
        found = record["found"]
        assert {name: found[name] for name in ("depth_is", "near", "far", "unknown")} == {
            "depth_is": "distance",
            "near": 1000,
            "far": 4000,
            "unknown": 0,
        }
    for path in sorted((tmp_path / "in").iterdir()):
        done = cn("detect", "depth", path, f"{path.name}.png", "--from-depth", cwd=tmp_path)
        assert (done.returncode, done.stderr) == (0, ""), path
        piped = cn(
            "detect", "depth", "-", "p.png", "--from-depth", "--overwrite", cwd=tmp_path, stdin=path.read_bytes()
        )
        assert piped.returncode == 0, (path, piped.stderr)
        assert (tmp_path / "p.png").read_bytes() == (tmp_path / f"{path.name}.png").read_bytes()


def test_another_setting_is_noticed_by_a_second_run(tmp_path):
    Image.fromarray(wall(24).astype(np.uint16)).save(tmp_path / "a.png")
    (tmp_path / "in").mkdir()
    (tmp_path / "a.png").rename(tmp_path / "in/a.png")
    assert cn("detect", "depth", "in", "out", "--from-depth", cwd=tmp_path).returncode == 0
    for options in (("--depth-is", "mist"), ("--far", "3000"), ("--near", "500"), ("--clip", "1")):
        done = cn("detect", "depth", "in", "out", "--from-depth", *options, cwd=tmp_path)
        assert "made with other settings" in done.stderr, options
    done = cn("detect", "depth", "in", "out", "--from-depth", cwd=tmp_path)
    assert "other settings" not in done.stderr
    done = cn(
        "detect", "depth", "in/a.png", "b.png", "--from-depth", "--depth-is", "distance", "--far", "3e3", cwd=tmp_path
    )
    info = ConditionInfo.from_text(images.read_info(tmp_path / "b.png"))
    assert info is not None
    assert (info.params["depth_is"], info.params["far"]) == ("distance", 3000.0)


@pytest.mark.parametrize(
    ("words", "what"),
    [
        (("--depth-is", "mist"), "--depth-is is for --from-depth"),
        (("--near", "1"), "--near is for --from-depth"),
        (("--from-depth", "--depth-is", "mist", "--near", "5", "--far", "1"), "--near must be smaller than --far"),
        (("--from-depth", "--depth-is", "disparity", "--near", "1", "--far", "5"), "--near must be larger than --far"),
        (("--from-depth", "--depth-is", "distance", "--near", "0"), "must be above 0"),
        (("--from-depth", "--near", "nan"), "--near must be a finite number"),
        (("--from-depth", "--clip", "50"), "--clip"),
    ],
)
def test_options_that_cannot_be_are_refused(tmp_path, words, what):
    np.save(tmp_path / "a.npy", wall())
    done = cn("detect", "depth", "a.npy", "b.png", *words, cwd=tmp_path)
    assert done.returncode == 2
    assert what in done.stderr


def test_warnings_of_many_files_are_counted(tmp_path):
    (tmp_path / "in").mkdir()
    for n in range(3):
        Image.fromarray((floor() * (255 - n)).astype(np.uint8)).save(tmp_path / f"in/{n}.png")
    done = cn("detect", "depth", "in", "out", "--from-depth", cwd=tmp_path)
    assert done.stderr.count("were read as near-white") == 1
    assert "(3 images)" in done.stderr
    done = cn("detect", "depth", "in", "out", "--from-depth", "--depth-is", "near-white", "--overwrite", cwd=tmp_path)
    assert "warning" not in done.stderr


def test_unknown_numbers_raise_no_warnings_of_numpy():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for kind in ("distance", "disparity", "mist", "near-white"):
            for dtype in (np.float16, np.float32, np.float64):
                MeasuredDepth().detect([depth([[np.nan, np.inf, -np.inf, 0, 1, 2]], kind, dtype)], ["a"])
