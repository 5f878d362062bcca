"""Maps from ground truth: DIODE's arrays, depth from other origins, and their files."""

import json

import numpy as np
import pytest
from PIL import Image

from cn import images
from cn.conditions import ConditionInfo
from cn.detect.surfaces.camera import Camera, surface_normals
from cn.detect.surfaces.diode import DIODE, normals_from_diode, read_diode
from cn.detect.surfaces.encoding import depth_to_map, normals_to_map
from cn.detect.surfaces.measured_depth import read_depth
from cn.errors import InputError
from cn.images import pixel_values
from tests.helpers.cli import cn
from tests.helpers.depth_cases import CAMERA, SIZE, depth_from_disparity, plane_depth, unit


def stored_normals() -> np.ndarray:
    """A floor and a wall as DIODE stores them, float32, some pixels invalid."""
    room = np.minimum(plane_depth(unit(0, 1, 0.05), 1.5), plane_depth(unit(0.2, 0, 1), 8.0))
    normals = surface_normals(room, CAMERA).astype(np.float32)
    normals[:3] = 0
    return normals


def test_diode_normals_are_camera_space_already():
    stored = stored_normals()
    found = normals_from_diode(stored, camera=CAMERA)
    assert np.allclose(found, stored, atol=1e-6)
    assert not found[:3].any()
    assert normals_to_map(found)[-1, 80].tolist() == [127, 254, 133]
    assert (normals_to_map(found)[:3] == (127, 127, 255)).all()
    assert (normals_to_map(found, nothing=(127, 127, 127))[:3] == 127).all()


def test_normals_that_point_into_the_surface_are_flipped():
    stored = stored_normals()
    flipped = stored * np.random.default_rng(0).choice([-1, 1], SIZE)[..., None]
    assert np.allclose(normals_from_diode(flipped, camera=CAMERA), stored, atol=1e-6)


def test_invalid_pixels_and_other_lengths():
    stored = stored_normals() * 7
    stored[50, 50] = np.nan
    mask = np.ones(SIZE)
    mask[60, 60] = 0
    found = normals_from_diode(stored, mask, CAMERA)
    assert not found[50, 50].any()
    assert not found[60, 60].any()
    assert np.allclose(np.linalg.norm(found[70:], axis=-1), 1)
    with pytest.raises(InputError, match="different sizes"):
        normals_from_diode(stored, mask[1:], CAMERA)


def test_diode_files_are_read(tmp_path):
    assert (DIODE.fx, DIODE.fy, DIODE.cx, DIODE.cy) == (886.81, 927.06, 512, 384)
    np.save(tmp_path / "a_normal.npy", stored_normals())
    assert np.array_equal(read_diode(tmp_path / "a_normal.npy", channels=3), stored_normals())
    np.save(tmp_path / "a_depth.npy", np.ones((4, 5, 1), np.float32))
    assert read_diode(tmp_path / "a_depth.npy", channels=1).shape == (4, 5)


def test_other_files_are_refused_with_their_path(tmp_path):
    with pytest.raises(InputError, match=r"gone\.npy: no such file"):
        read_diode(tmp_path / "gone.npy", channels=3)
    (tmp_path / "text.npy").write_text("not an array")
    np.save(tmp_path / "flat.npy", np.zeros((4, 5)))
    np.save(tmp_path / "empty.npy", np.zeros((0, 5, 3)))
    np.save(tmp_path / "objects.npy", np.array([{}]), allow_pickle=True)
    np.save(tmp_path / "words.npy", np.array([["a"]]))
    np.savez(tmp_path / "zip.npy.npz", a=np.zeros((4, 5, 3)))
    whole = (tmp_path / "flat.npy").read_bytes()
    (tmp_path / "cut.npy").write_bytes(whole[:-9])
    (tmp_path / "none.npy").write_bytes(b"")
    for name in ("text", "flat", "empty", "objects", "words", "zip.npy.npz", "cut", "none"):
        path = tmp_path / (name if name.endswith("npz") else f"{name}.npy")
        with pytest.raises(InputError, match=path.name) as error:
            read_diode(path, channels=3)
        assert "\n" not in str(error.value)
    with pytest.raises(InputError, match="is a folder"):
        read_diode(tmp_path, channels=3)


# ---- any file of depth ----


def test_depth_of_every_file_format_is_read_unchanged(tmp_path):
    millimeters = np.random.default_rng(0).integers(1, 60000, (5, 7)).astype(np.uint16)
    meters = millimeters / np.float32(1000)
    Image.fromarray(millimeters).save(tmp_path / "mm.png")
    Image.fromarray(meters).save(tmp_path / "m.tif")
    np.save(tmp_path / "m.npy", meters)
    np.save(tmp_path / "m1.npy", meters[..., None])
    np.save(tmp_path / "1m.npy", meters[None])
    Image.fromarray(millimeters.astype(np.uint8)).save(tmp_path / "eight.png")
    assert np.array_equal(pixel_values.read(tmp_path / "mm.png"), millimeters)
    for name in ("m.tif", "m.npy", "m1.npy", "1m.npy"):
        assert np.array_equal(pixel_values.read(tmp_path / name), meters)
    assert np.array_equal(pixel_values.read(tmp_path / "eight.png"), millimeters.astype(np.uint8))
    assert np.allclose(read_depth(str(tmp_path / "mm.png")).values, millimeters)


def test_files_without_depth_are_refused_with_their_path(tmp_path):
    Image.new("RGB", (4, 4), (1, 2, 3)).save(tmp_path / "rgb.png")
    (tmp_path / "text.png").write_text("not an image")
    np.save(tmp_path / "three.npy", np.zeros((2, 3, 4)))
    np.save(tmp_path / "a_depth.npy", np.ones((4, 4)))
    np.save(tmp_path / "a_depth_mask.npy", np.ones((3, 4)))
    for name, what in {
        "rgb.png": "has colors; expected one value per pixel",
        "text.png": "not an image but text",
        "three.npy": "has shape 2×3×4",
        "gone.tif": "no such file",
        "a_depth.npy": "is of another size",
    }.items():
        with pytest.raises(InputError) as error:
            read_depth(str(tmp_path / name))
        assert str(error.value).startswith(str(tmp_path / name))
        assert what in str(error.value)


def test_masked_depth_is_unknown(tmp_path):
    np.save(tmp_path / "a_depth.npy", np.full((3, 4, 1), 2.5))
    mask = np.ones((3, 4))
    mask[0] = 0
    np.save(tmp_path / "a_depth_mask.npy", mask)
    depth = read_depth(str(tmp_path / "a_depth.npy"))
    assert np.array_equal(np.where(depth.known, depth.values, 0), 2.5 * mask)


# ---- the commands ----


def test_normal_maps_of_a_diode_folder_are_named_like_its_images(tmp_path):
    stored = np.zeros((24, 32, 3), np.float32)
    stored[8:] = (0.6, 0, 0.8)
    mask = np.ones((24, 32), np.float32)
    mask[:, :4] = 0
    scan = tmp_path / "in" / "scene_1" / "scan_2"
    scan.mkdir(parents=True)
    np.save(scan / "a_normal.npy", stored)
    np.save(scan / "a_depth_mask.npy", mask)
    np.save(scan / "a_depth.npy", np.ones((24, 32, 1)))
    Image.new("RGB", (32, 24)).save(scan / "a.png")
    done = cn("detect", "normal", "in", "out", "--from-diode", "-r", "--invalid", "black", "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    record, left_out = map(json.loads, done.stdout.splitlines())
    assert left_out["left_out"] == {".npy": 1, ".png": 1}, "the mask belongs to the normals"
    assert record["output"] == "out/scene_1/scan_2/a.png"
    assert record["found"] == {"unknown": round(1 - 16 * 28 / (24 * 32), 4)}
    made = images.read(tmp_path / record["output"])
    expected = normals_to_map(normals_from_diode(stored, mask), (0, 0, 0))
    assert np.array_equal(made, expected)
    assert made[20, 20].tolist() == [50, 127, 229], "faces right: little red"
    info = ConditionInfo.from_text(images.read_info(tmp_path / record["output"]))
    assert info is not None
    assert (info.kind, info.detector, info.params["invalid"]) == ("normal", "DIODE ground truth", "black")
    done = cn("detect", "normal", scan / "a_normal.npy", "bgr.png", "--from-diode", "--bgr", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert images.read(tmp_path / "bgr.png")[20, 20].tolist() == [229, 127, 50]


def test_the_maps_of_a_real_photograph_with_measured_depth(tmp_path):
    """Middlebury's motorcycle: disparity → depth → a map of depth and, through the camera, of normals."""
    from skimage import data

    disparity = data.stereo_motorcycle()[2]
    depth = depth_from_disparity(disparity, focal=994.978, baseline=193.001, offset=31.086)
    np.save(tmp_path / "a.npy", depth)
    for kind, options in {"depth": (), "normal": ("--focal", "994.978")}.items():
        done = cn("detect", kind, "a.npy", f"{kind}.png", "--from-depth", *options, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
    near = images.read(tmp_path / "depth.png")[..., 0]
    assert np.array_equal(near, depth_to_map(depth))
    known = np.isfinite(disparity)
    # Near is white: where disparity is large.
    assert np.corrcoef(near[known], disparity[known])[0, 1] > 0.999
    normals = images.read(tmp_path / "normal.png").astype(int) - 127
    floor, box = normals[440:490, 500:640], normals[150:200, 560:600]
    height, width = depth.shape
    camera = Camera(994.978, 994.978, (width - 1) / 2, (height - 1) / 2)
    assert np.array_equal(normals + 127, normals_to_map(surface_normals(depth, camera)))
    # The floor faces up (green), the box on the shelf the viewer (blue).
    assert np.median(floor[..., 1]) > 100
    assert np.median(box[..., 2]) > np.median(np.abs(box[..., 1]))


def test_resolution_applies_to_the_finished_map(tmp_path):
    depth = np.linspace(1, 9, 96 * 128).reshape(96, 128)
    np.save(tmp_path / "a.npy", depth)
    done = cn("detect", "depth", "a.npy", "a.png", "--from-depth", "--resolution", "192", "--json", cwd=tmp_path)
    assert json.loads(done.stdout)["size"] == [256, 192]
    made = images.read(tmp_path / "a.png")[..., 0]
    assert (made.max(), made.min()) == (255, 0)


@pytest.mark.parametrize(("keep", "code"), [("keep", 0), ("skip", 0), ("fail", 3)])
def test_an_image_without_known_depth_is_empty(tmp_path, keep, code):
    np.save(tmp_path / "a.npy", np.zeros((8, 8)))
    done = cn("detect", "normal", "a.npy", "a.png", "--from-depth", "--focal", "9", "--on-empty", keep, cwd=tmp_path)
    assert done.returncode == code
    assert (tmp_path / "a.png").exists() == (keep == "keep")


@pytest.mark.parametrize(
    ("words", "what"),
    [
        (("normal", "--from-depth"), "needs --focal or --fov"),
        (("normal", "--focal", "9"), "--focal is for --from-depth"),
        (("normal", "--from-depth", "--from-diode"), "exclude each other"),
        (("normal", "--invalid", "gray"), "--invalid is for --from-diode, --from-normals and --from-depth"),
        (("normal", "--from-diode", "--strength", "2"), "not for measured ones"),
        (("normal", "--from-diode", "--device", "cpu"), "needs no network"),
        (("depth", "--from-depth", "--method", "midas-small"), "needs no network"),
        (("depth", "--from-depth", "--prepare", "midas"), "needs no network"),
    ],
)
def test_conflicting_options_are_refused(tmp_path, words, what):
    np.save(tmp_path / "a.npy", np.ones((8, 8)))
    done = cn("detect", words[0], "a.npy", "b.png", *words[1:], cwd=tmp_path)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert what in done.stderr


def test_depth_is_read_from_standard_input_and_palettes_are_refused(tmp_path):
    depth = np.linspace(1, 9, 64).reshape(8, 8).astype(np.float32)
    np.save(tmp_path / "a.npy", depth)
    Image.fromarray(depth).save(tmp_path / "a.tif")
    for name in ("a.npy", "a.tif"):
        data = (tmp_path / name).read_bytes()
        done = cn("detect", "depth", "-", "out.png", "--from-depth", "--overwrite", cwd=tmp_path, stdin=data)
        assert (done.returncode, done.stdout) == (0, "out.png\n"), done.stderr
        assert np.array_equal(images.read(tmp_path / "out.png")[..., 0], depth_to_map(depth))
    Image.fromarray((depth * 20).astype(np.uint8)).convert("P").save(tmp_path / "p.png")
    done = cn("detect", "depth", "p.png", "b.png", "--from-depth", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (3, "cn: p.png: has mode P; expected an image of one channel\n")
    done = cn("detect", "normal", "a.npy", "b.png", "--from-depth", "--focal", "inf", cwd=tmp_path)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
