"""Normal maps of renderers and games (`--from-normals`), and what is refused as normals. Colors are by hand."""

import json

import cv2
import numpy as np
import pytest
from PIL import Image

from cn import images
from cn.conditions import ConditionInfo
from cn.detect.surfaces.encoding import normals_to_map, resize_normals
from cn.detect.surfaces.normal_maps import read_normals
from cn.errors import InputError
from tests.helpers.cli import cn

RIGHT_UP_FRONT = ((0.6, 0, 0.8), (0, 0.6, 0.8), (0, 0, 1))
"""Vectors of surfaces that face right, up, and the viewer: right, up, towards the viewer."""


def sphere(side: int = 64) -> np.ndarray:
    """Normals of a ball seen from the front, (side, side, 3): right, up, towards the viewer; 0 around it."""
    y, x = np.mgrid[1 : -1 : side * 1j, -1 : 1 : side * 1j]
    inside = x**2 + y**2 < 0.95
    z = np.sqrt(np.where(inside, 1 - x**2 - y**2, 0))
    return np.where(inside[..., None], np.stack([x, y, z], axis=-1), 0)


def encoded(vectors: np.ndarray, flips: tuple[int, int, int] = (1, 1, 1), bits: int = 8) -> np.ndarray:
    """(n + 1) / 2 of full scale, rounded."""
    colors = np.rint((vectors * flips + 1) / 2 * (2**bits - 1))
    return colors.astype(np.uint8 if bits == 8 else np.uint16)


def said(path, convention="opengl"):
    return read_normals(str(path), convention).doubt or ""


# ---- conventions ----


@pytest.mark.parametrize(
    ("convention", "colors"),
    [
        # 127.5 · (1 ± 0.6) = 204 or 51; 127.5 · 1.8 = 229.5
        ("opengl", [(204, 128, 230), (128, 204, 230), (128, 128, 255)]),
        ("directx", [(204, 128, 230), (128, 51, 230), (128, 128, 255)]),
        ("camera", [(51, 128, 230), (128, 204, 230), (128, 128, 255)]),
    ],
)
def test_the_colors_of_each_convention(tmp_path, convention, colors):
    Image.fromarray(np.array([colors] * 2, np.uint8)).save(tmp_path / "a.png")
    done = cn("detect", "normal", "a.png", "b.png", "--from-normals", convention, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    made = images.read(tmp_path / "b.png")[0]
    # Red left, green up, blue towards the viewer.
    assert np.abs(made.astype(int) - [(51, 128, 230), (128, 204, 230), (128, 128, 255)]).max() <= 1
    done = cn("detect", "normal", "a.png", "bgr.png", "--from-normals", convention, "--bgr", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert np.array_equal(images.read(tmp_path / "bgr.png")[0], made[:, ::-1]), "as the released v1.0 control"
    info = ConditionInfo.from_text(images.read_info(tmp_path / "b.png"))
    assert info is not None
    assert (info.kind, info.params["axes"]) == ("normal", convention)


def test_maps_of_our_own_are_unchanged(tmp_path):
    ours = normals_to_map(sphere())
    Image.fromarray(ours).save(tmp_path / "a.png")
    found = normals_to_map(read_normals(str(tmp_path / "a.png"), "camera").vectors, rounded=True)
    assert np.abs(found.astype(int) - ours).max() <= 1


@pytest.mark.parametrize("form", ["8", "16", "tif16", "float", "float01", "npz", "exr", "exr half", "jpg"])
def test_every_form_of_the_same_normals(tmp_path, form):
    ball = sphere()
    path = tmp_path / {"npz": "a.npz", "jpg": "a.jpg", "tif16": "a.tif"}.get(form, "a.png")
    if form in ("8", "jpg"):
        Image.fromarray(encoded(ball)).save(path, quality=95, subsampling=0)
    elif form in ("16", "tif16"):
        cv2.imwrite(str(path), encoded(ball, bits=16)[..., ::-1])
    elif form.startswith("float"):
        path = tmp_path / "a.npy"
        np.save(path, (ball if form == "float" else np.where(ball.any(-1, keepdims=True), (ball + 1) / 2, 0)))
    elif form == "npz":
        np.savez(path, normal=ball.astype(np.float32))
    else:
        exr = pytest.importorskip("OpenEXR")
        path, kind = tmp_path / "a.exr", np.float16 if "half" in form else np.float32
        channels = {f"ViewLayer.Normal.{name}": ball[..., n].astype(kind) for n, name in enumerate("XYZ")}
        channels |= {f"ViewLayer.Combined.{name}": ball[..., 0].astype(kind) for name in "RGB"}
        exr.File({"type": exr.scanlineimage, "compression": exr.ZIP_COMPRESSION}, channels).write(str(path))
    found = read_normals(str(path), "opengl")
    inside = np.linalg.norm(ball, axis=-1) > 0
    tolerance = 0.08 if form == "jpg" else 0.012 if form == "8" else 1e-3
    errors = np.abs(found.vectors - ball)[inside]
    # JPEG has waves at edges.
    assert (np.quantile(errors, 0.95) if form == "jpg" else errors.max()) < tolerance
    assert found.doubt is None
    if form not in ("jpg",):
        assert not found.vectors[~inside].any(), "around the ball is nothing"


def test_unknown_pixels(tmp_path):
    ball = encoded(sphere() + (sphere() == 0).all(-1, keepdims=True) * [0, 0, 1.0])
    alpha = np.full((64, 64), 255, np.uint8)
    alpha[:8] = 0
    ball[8:10], ball[10:12], ball[12:14] = 0, 255, 128
    Image.fromarray(np.dstack([ball, alpha])).save(tmp_path / "a.png")
    known = read_normals(str(tmp_path / "a.png"), "opengl").vectors.any(axis=-1)
    assert not known[:14].any()
    assert known[14:].all()
    for color, invalid in (((127, 127, 255), "flat"), ((127, 127, 127), "gray"), ((0, 0, 0), "black")):
        done = cn(
            *(
                "detect",
                "normal",
                "a.png",
                f"{invalid}.png",
                "--from-normals",
                "opengl",
                "--invalid",
                invalid,
                "--json",
            ),
            cwd=tmp_path,
        )
        assert json.loads(done.stdout)["found"]["unknown"] == round(14 / 64, 4)
        assert (images.read(tmp_path / f"{invalid}.png")[:14] == color).all()


# ---- what is no normal map ----


def test_a_photograph_and_gray_images_are_refused(tmp_path):
    from skimage import data

    Image.fromarray(data.astronaut()).save(tmp_path / "photo.png")
    gray = np.tile(np.arange(64, dtype=np.uint8)[:, None] * 3, (1, 64))
    Image.fromarray(np.dstack([gray] * 3)).save(tmp_path / "rgb.png")
    Image.fromarray(gray).save(tmp_path / "gray.png")
    np.save(tmp_path / "labels.npy", np.ones((4, 4, 3), np.int32))
    for name, what in {
        "photo.png": "% of its vectors are not of length 1, so it is no normal map",
        "rgb.png": "is gray, so it holds no normals",
        "gray.png": "has one channel",
        "labels.npy": "holds int32; normals are 8 or 16 bits",
    }.items():
        with pytest.raises(InputError) as error:
            read_normals(str(tmp_path / name), "opengl")
        assert str(error.value).startswith(str(tmp_path / name))
        assert what in str(error.value)


@pytest.mark.parametrize("bits", [8, 16])
def test_colors_are_no_vectors_of_diode(tmp_path, bits):
    image = encoded(sphere(), bits=bits)
    cv2.imwrite(str(tmp_path / "photo.png"), image)
    np.save(tmp_path / "a_normal.npy", image)
    for name in ("photo.png", "a_normal.npy"):
        done = cn("detect", "normal", name, "out.png", "--from-diode", cwd=tmp_path)
        assert (done.returncode, done.stderr.count("\n")) == (3, 1)
        assert f"{name}: holds colors (uint" in done.stderr
        assert "--from-normals" in done.stderr
    assert not (tmp_path / "out.png").exists()


def test_vectors_of_another_length_are_no_normals_of_diode(tmp_path):
    scaled = (sphere() + 1) / 2
    np.save(tmp_path / "a_normal.npy", scaled)
    done = cn("detect", "normal", "a_normal.npy", "out.png", "--from-diode", cwd=tmp_path)
    assert done.returncode == 3
    assert "% of its vectors are not of length 1, so they are no normals" in done.stderr
    # A few that were averaged at edges, and lengths that half floats round, are right.
    ball = sphere().astype(np.float16)
    ball[30, :20] *= np.float16(0.8)
    np.save(tmp_path / "a_normal.npy", ball)
    assert cn("detect", "normal", "a_normal.npy", "out.png", "--from-diode", cwd=tmp_path).returncode == 0


# ---- what looks wrong ----


def test_normals_of_world_space_are_noticed(tmp_path):
    """A room in Blender's world space: the floor's normal is (0, 0, 1), that of the wall behind it (0, -1, 0)."""
    room = np.zeros((40, 40, 3))
    room[:20] = (0, -1, 0)
    room[20:30] = (0, 0, 1)
    room[30:] = (0, 0, -1)
    Image.fromarray(encoded(room)).save(tmp_path / "a.png")
    assert "over 20 % of its normals point away from the viewer" in said(tmp_path / "a.png")
    # Surfaces at the edge of the view may face a little away from the direction of the camera: right.
    grazing = np.full((40, 40, 3), (0.995, 0, -0.0999))
    grazing[:10] = (0, 0, 1)
    Image.fromarray(encoded(grazing)).save(tmp_path / "b.png")
    assert said(tmp_path / "b.png") == ""


def test_vectors_that_are_not_of_length_1_are_noticed(tmp_path):
    ball = sphere() + (sphere() == 0).all(-1, keepdims=True) * [0, 0, 1.0]
    ball[:15] *= 0.5
    Image.fromarray(encoded(ball)).save(tmp_path / "a.png")
    assert said(tmp_path / "a.png").startswith("over 20 % of its vectors are not of length 1")
    assert np.allclose(np.linalg.norm(read_normals(str(tmp_path / "a.png"), "opengl").vectors, axis=-1), 1)


def test_maps_of_two_channels_are_refused(tmp_path):
    """BC5 has x and y in red and green; Unity's DXT5nm has x in alpha and y in green, and red is full."""
    ball = encoded(sphere() + (sphere() == 0).all(-1, keepdims=True) * [0, 0, 1.0])
    x, y = ball[..., 0], ball[..., 1]
    for blue in (0, 255):
        Image.fromarray(np.dstack([x, y, np.full_like(x, blue)])).save(tmp_path / "a.png")
        with pytest.raises(InputError, match="its blue channel is the same everywhere"):
            read_normals(str(tmp_path / "a.png"), "opengl")
    Image.fromarray(np.dstack([np.full_like(x, 255), y, y, x])).save(tmp_path / "b.png")
    with pytest.raises(InputError, match="its red channel is the same everywhere"):
        read_normals(str(tmp_path / "b.png"), "opengl")
    # Nearly flat, and a wall from the side: right.
    for vector in ((0, 0, 1), (1, 0, 0)):
        Image.fromarray(encoded(np.broadcast_to(np.array(vector, float), (8, 8, 3)))).save(tmp_path / "c.png")
        assert said(tmp_path / "c.png") == ""


# ---- size ----


def test_resized_normals_have_length_1_again():
    half = np.zeros((4, 8, 3))
    half[:, ::2], half[:, 1::2] = (-0.8, 0, 0.6), (0.8, 0, 0.6)
    made = resize_normals(normals_to_map(half), (2, 4))
    # The mean of both is (0, 0, 0.6), which is the viewer's direction.
    assert np.abs(made.astype(int) - (127, 127, 255)).max() <= 1
    assert np.array_equal(resize_normals(normals_to_map(half), (4, 8)), normals_to_map(half))


def test_pixels_without_normals_do_not_count_in_resized_maps():
    left = np.zeros((4, 8, 3))
    left[:, :4] = (0, 0.6, 0.8)
    for nothing in ((0, 0, 0), (127, 127, 127)):
        made = resize_normals(normals_to_map(left, nothing), (2, 4), nothing)
        assert (made[:, 2:] == nothing).all()
        assert np.abs(made[:, :2].astype(int) - (127, 204, 229)).max() <= 1


def test_resolution_resizes_the_map(tmp_path):
    Image.fromarray(encoded(sphere(96))).save(tmp_path / "a.png")
    options = ("--from-normals", "opengl", "--resolution", "64")
    assert cn("detect", "normal", "a.png", "b.png", *options, cwd=tmp_path).returncode == 0
    made = images.read(tmp_path / "b.png")
    assert made.shape == (64, 64, 3)
    done = cn("detect", "normal", "a.png", "bgr.png", *options, "--bgr", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, ""), "not that the channels are reversed"
    assert np.array_equal(images.read(tmp_path / "bgr.png"), made[..., ::-1])
    assert np.abs(np.linalg.norm(made / 127.5 - 1, axis=-1) - 1).max() < 0.02


# ---- depth to normals ----


def test_normals_of_disparity_are_those_of_its_distances(tmp_path):
    """A floor: y = -1, so that z = focal / (row - center), and its disparity is linear in the row."""
    disparity = np.repeat(np.arange(1, 41, dtype=np.float32)[:, None], 40, 1)
    np.save(tmp_path / "disparity.npy", disparity)
    np.save(tmp_path / "depth.npy", 100 / disparity)
    for name, kind in (("disparity", "disparity"), ("depth", "distance")):
        options = ("--from-depth", "--depth-is", kind, "--focal", "50")
        done = cn("detect", "normal", f"{name}.npy", f"{name}.png", *options, cwd=tmp_path)
        assert (done.returncode, done.stderr) == (0, "")
    # Up to the rounding of float32.
    by_disparity, by_distance = (images.read(tmp_path / f"{name}.png").astype(int) for name in ("disparity", "depth"))
    assert np.abs(by_disparity - by_distance).max() <= 1


def test_the_angle_of_view_instead_of_the_focal_length(tmp_path):
    np.save(tmp_path / "a.npy", np.tile(np.linspace(3, 2, 40)[:, None], (1, 60)))
    # 60 pixels at 90 degrees: a focal length of 30.
    for name, options in (("fov", ("--fov", "90")), ("focal", ("--focal", "30"))):
        assert cn("detect", "normal", "a.npy", f"{name}.png", "--from-depth", *options, cwd=tmp_path).returncode == 0
    assert np.array_equal(images.read(tmp_path / "fov.png"), images.read(tmp_path / "focal.png"))


def test_scaled_values_give_no_normals(tmp_path):
    Image.fromarray(np.tile(np.linspace(255, 0, 40)[:, None], (1, 40)).astype(np.uint8)).save(tmp_path / "a.png")
    done = cn("detect", "normal", "a.png", "b.png", "--from-depth", "--focal", "50", cwd=tmp_path)
    assert (done.returncode, done.stderr.count("\n")) == (3, 1)
    assert "a.png: holds values that were scaled to a range" in done.stderr
    options = ("--from-depth", "--focal", "50", "--depth-is", "distance")
    assert cn("detect", "normal", "a.png", "b.png", *options, cwd=tmp_path).returncode == 0


@pytest.mark.parametrize(
    ("words", "what"),
    [
        (("--from-normals", "opengl", "--from-diode"), "--from-diode and --from-normals exclude each other"),
        (("--from-normals", "opengl", "--focal", "9"), "--focal is for --from-depth"),
        (("--from-normals", "opengl", "--depth-is", "mist"), "--depth-is is for --from-depth"),
        (("--channel", "Z"), "--channel is for --from-depth and --from-normals"),
        (("--from-diode", "--channel", "Z"), "--channel is for --from-depth and --from-normals"),
        (("--from-depth", "--focal", "9", "--fov", "50"), "--focal and --fov exclude each other"),
        (("--from-depth", "--focal", "9", "--depth-is", "mist"), "mist is scaled to a range"),
        (("--from-normals", "opengl", "--method", "midas-small"), "needs no network"),
        (("--from-normals", "blender"), "--from-normals"),
    ],
)
def test_options_that_cannot_be_are_refused(tmp_path, words, what):
    np.save(tmp_path / "a.npy", np.ones((8, 8)))
    done = cn("detect", "normal", "a.npy", "b.png", *words, cwd=tmp_path)
    assert done.returncode == 2
    assert what in done.stderr
