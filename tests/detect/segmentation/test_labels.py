"""Label maps of the datasets: what each number means, and what is refused."""

import io
import re

import numpy as np
import pytest
from PIL import Image

from cn import images
from cn.detect.pose import skeleton
from cn.detect.segmentation import labels
from cn.detect.segmentation.labels import read_ade20k, read_ade20k_full, read_cocostuff, read_ids, read_palette_image
from cn.detect.segmentation.palettes import ADE20K, COCO_STUFF, NONE, paint
from cn.errors import InputError
from tests.detect.pose.test_skeleton import person
from tests.helpers.segmentation_cases import golden

READERS = [reader for readers in labels.READERS.values() for reader in readers.values()]


def saved(path, array, mode=None, **options):
    """`array` as an image file; returns its path."""
    Image.fromarray(np.asarray(array), mode).save(path, **options)
    return path


def gray(path, *rows):
    return saved(path, np.array(rows, np.uint8))


def test_plain_ids_are_what_was_written(tmp_path):
    ids = np.array([[0, 1, 149], [255, 3, 48]], np.uint8)
    images.write(tmp_path / "ids.png", ids)
    read = read_ids(tmp_path / "ids.png", 150)
    assert read.dtype == np.uint8
    assert np.array_equal(read, ids)


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.int64, ">u2"])
def test_plain_ids_as_an_array(tmp_path, dtype):
    ids = np.array([[0, 1, 149], [255, 3, 48]], dtype)
    np.save(tmp_path / "ids.npy", ids)
    assert np.array_equal(read_ids(tmp_path / "ids.npy", 150), ids)
    # What is in the file counts, not its name.
    (tmp_path / "ids.npy").rename(tmp_path / "ids.png")
    assert np.array_equal(read_ids(tmp_path / "ids.png", 150), ids)


def test_of_an_image_with_a_color_table_or_16_bits_the_numbers_count(tmp_path):
    ids = np.array([[0, 1, 149], [255, 3, 48]], np.uint8)
    image = Image.fromarray(ids, "P")
    image.putpalette(np.random.default_rng(0).integers(0, 256, 768).astype(np.uint8).tobytes())
    image.save(tmp_path / "table.png")
    saved(tmp_path / "deep.png", ids.astype(np.uint16))
    for name in ("table.png", "deep.png"):
        assert np.array_equal(read_ids(tmp_path / name, 150), ids)
    Image.fromarray(np.array([[True, False]])).save(tmp_path / "bits.png")
    assert read_ids(tmp_path / "bits.png", 2).tolist() == [[1, 0]]


@pytest.mark.parametrize(("number", "classes"), [(150, 150), (254, 171), (171, 171)])
def test_ids_out_of_range_are_named(tmp_path, number, classes):
    with pytest.raises(InputError, match=rf"m\.png.*number {number}.*0\.\.{classes - 1}"):
        read_ids(gray(tmp_path / "m.png", [0, number]), classes)
    np.save(tmp_path / "m.npy", np.array([[0, -1]]))
    with pytest.raises(InputError, match=r"m\.npy.*number -1"):
        read_ids(tmp_path / "m.npy", classes)


def test_the_layouts_by_name(tmp_path):
    path = gray(tmp_path / "m.png", [1, 12, 149])
    found = {kind: {name: read(path).tolist()[0] for name, read in labels.READERS[kind].items() if name != "full"}
             for kind in labels.READERS}  # fmt: skip
    assert found == {
        "ade20k": {"challenge": [0, 11, 148], "ids": [1, 12, 149]},
        "coco": {"stuffthingmaps": [1, 11, 138], "ids": [1, 12, 149]},
    }
    for kind, classes in (("ade20k", 150), ("coco", 171)):
        with pytest.raises(InputError, match=f"number {classes}"):
            labels.READERS[kind]["ids"](gray(tmp_path / "m.png", [classes]))


def test_the_ade20k_challenge_counts_from_one(tmp_path):
    assert read_ade20k(gray(tmp_path / "m.png", [0, 1, 13, 150])).tolist() == [[NONE, 0, 12, 149]]
    assert (ADE20K.names[0], ADE20K.names[12], ADE20K.names[149]) == ("wall", "person", "flag")
    for number in (151, 255):
        with pytest.raises(InputError, match=rf"m\.png.*number {number}.*1\.\.150"):
            read_ade20k(gray(tmp_path / "m.png", [0, number]))


def test_the_full_release_becomes_the_challenges_classes_by_its_authors_table(tmp_path):
    table = golden("ade20k.objects")
    assert len(table) == 153
    numbers = np.arange(26 * 256).reshape(26, 256)
    coded = np.stack([numbers // 256 * 10, numbers % 256, numbers % 7], axis=-1).astype(np.uint8)
    found = read_ade20k_full(saved(tmp_path / "x_seg.png", coded))
    expected = np.full(numbers.size, NONE)
    expected[table[:, 1]] = table[:, 0] - 1
    assert np.array_equal(found.ravel(), expected)
    assert found.ravel()[2978] == ADE20K.id_of("wall")
    assert found.ravel()[774] == found.ravel()[783] == ADE20K.id_of("door")


def test_what_is_no_map_of_the_full_release_is_refused(tmp_path):
    painted = paint(np.arange(150, dtype=np.uint8).reshape(10, 15), ADE20K)
    with pytest.raises(InputError, match=r"painted\.png.*red.*steps of 10"):
        read_ade20k_full(saved(tmp_path / "painted.png", painted))
    with pytest.raises(InputError, match=r"m\.png.*one channel"):
        read_ade20k_full(gray(tmp_path / "m.png", [0, 1]))


def test_coco_stuff_counts_182_labels(tmp_path):
    read = read_cocostuff(gray(tmp_path / "m.png", [0, 10, 12, 91, 181, 255]))
    assert [COCO_STUFF.names[i] if i != NONE else None for i in read[0]] == [
        "person", "fire hydrant", "stop sign", "banner", "wood", None
    ]  # fmt: skip
    for number in (182, 254):
        with pytest.raises(InputError, match=rf"m\.png.*number {number}.*0\.\.181"):
            read_cocostuff(gray(tmp_path / "m.png", [0, number]))


@pytest.mark.parametrize(
    ("kind", "layout", "numbers", "what"),
    [
        ("ade20k", "ids", [0, 7, 150], "number 150 (33 % of the image), but .*: --from-labels challenge"),
        ("ade20k", "ids", [0, 151, 154, 154], "number 151 and 1 more that are no class (75 % of the image), but"),
        ("ade20k", "challenge", [1, 2, 255, 3], "number 255 (25 % of the image), but .*: --from-labels ids"),
        ("coco", "ids", [0, 171], "number 171 (50 % of the image), but .*: --from-labels stuffthingmaps"),
        ("coco", "stuffthingmaps", [11, 12], "number 11 (50 % of the image), but .*: --from-labels ids"),
    ],
)
def test_what_is_no_class_is_counted_and_may_be_of_another_layout(tmp_path, kind, layout, numbers, what):
    pattern = re.escape(what).replace(r"\.\*", ".*")
    with pytest.raises(InputError, match=pattern) as caught:
        labels.READERS[kind][layout](gray(tmp_path / "m.png", numbers))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("written", "layout", "said"),
    [
        ("challenge", "ids", "the file's own colors are those of --from-labels challenge, not ids"),
        ("ids", "challenge", "the file's own colors are those of --from-labels ids, not challenge"),
        ("challenge", "challenge", None),
        ("ids", "ids", None),
        ("other", "ids", None),
    ],
)
def test_a_file_whose_own_colors_fit_another_layout_is_noticed(tmp_path, written, layout, said):
    """Nothing else tells plain ids from those of the challenge, which are one higher."""
    colors = np.random.default_rng(0).integers(0, 256, (256, 3), dtype=np.uint8)
    if written != "other":
        colors[:151] = np.vstack([[0, 0, 0], ADE20K.colors]) if written == "challenge" else [*ADE20K.colors, [9, 9, 9]]
    image = Image.fromarray(np.array([[3, 5], [20, 21]], np.uint8), "P")
    image.putpalette(colors.tobytes())
    image.save(tmp_path / "m.png")
    ids = labels.READERS["ade20k"][layout](tmp_path / "m.png")
    assert labels.warning(tmp_path / "m.png", "ade20k", layout, ids) == said


def test_maps_of_parts_are_said_to_be_such(tmp_path):
    path = saved(tmp_path / "x_parts_1.png", np.zeros((4, 4, 3), np.uint8))
    ids = read_ade20k_full(path)
    assert "parts of objects" in (labels.warning(path, "ade20k", "full", ids) or "")
    assert labels.warning(tmp_path / "x_seg.png", "ade20k", "full", ids) is None


def test_gray_numbers_are_no_colors(tmp_path):
    for numbers in ([0, 1, 2], [3, 12, 255], [0, 4, 5, 150]):
        with pytest.raises(InputError, match=r"is gray, with the values .*numbers of classes, not colors; choose"):
            read_palette_image(gray(tmp_path / "m.png", numbers), ADE20K)
    wall = saved(tmp_path / "wall.png", paint(np.array([[0, 0], [255, 0]]), ADE20K))
    assert read_palette_image(wall, ADE20K).ids.tolist() == [[0, 0], [255, 0]], "the color of walls is gray, too"


@pytest.mark.parametrize("palette", [ADE20K, COCO_STUFF], ids=lambda p: p.name)
@pytest.mark.parametrize("name", ["m.png", "m.jpg"])
def test_painted_maps_are_read(tmp_path, palette, name):
    shared = [number for group in palette.shared().values() for number in group]
    own = [number for number in range(100) if number not in shared][:30]
    ids = np.kron(np.array(own).reshape(5, 6), np.ones((24, 24))).astype(np.uint8)
    saved(tmp_path / name, paint(ids, palette), quality=95)
    assert (read_palette_image(tmp_path / name, palette).ids == ids).mean() > (0.999 if name == "m.png" else 0.96)


def test_a_photograph_is_no_painted_map(tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (40, 60, 3)).astype(np.uint8)
    with pytest.raises(InputError, match=r"p\.png.*no map in the colors of ADE20K.*%"):
        read_palette_image(saved(tmp_path / "p.png", noise), ADE20K)


def test_what_is_far_from_any_color_of_the_palette_has_no_class(tmp_path):
    """Areas are not filled from their neighbors, but named."""
    painted = paint(np.full((100, 100), ADE20K.id_of("wall")), ADE20K)
    painted[:40], painted[70:76] = 255, 255
    read = read_palette_image(saved(tmp_path / "m.png", painted), ADE20K)
    expected = np.full((100, 100), ADE20K.id_of("wall"))
    expected[:40], expected[70:76] = NONE, NONE
    assert np.array_equal(read.ids, expected)
    assert read.matched == pytest.approx(0.54)
    assert [(color.hex, color.share) for color in read.unknown] == [("#ffffff", 0.46)]


@pytest.mark.parametrize("palette", [ADE20K, COCO_STUFF], ids=lambda p: p.name)
def test_maps_of_other_kinds_are_no_painted_maps(tmp_path, palette):
    """They are mostly black, which says nothing; a map that is black throughout is one of no class."""
    canny = np.zeros((64, 64, 3), np.uint8)
    canny[::9] = 255
    for other in (skeleton.draw([person()], 256, 256), canny):
        with pytest.raises(InputError, match=r"of what is not black"):
            read_palette_image(saved(tmp_path / "o.png", other), palette)
    assert (read_palette_image(saved(tmp_path / "o.png", canny * 0), palette).ids == NONE).all()


@pytest.mark.parametrize("reader", READERS)
def test_what_is_no_label_map_is_refused_in_one_line(tmp_path, reader):
    files = {
        "missing.png": None,
        "empty.png": b"",
        "text.png": b"no image at all",
        "cut.png": gray(tmp_path / "whole.png", *np.arange(64).reshape(8, 8)).read_bytes()[:-30],
        "cut.npy": b"\x93NUMPY\x01\x00v\x00{'descr'",
        "pickle.npy": b"\x93NUMPY\x01\x00F\x00{'descr': '|O', 'fortran_order': False, 'shape': (2, 2), }     \n",
    }
    for name, data in files.items():
        if data is not None:
            (tmp_path / name).write_bytes(data)
        with pytest.raises(InputError) as caught:
            reader(tmp_path / name)
        assert str(tmp_path / name) in str(caught.value)
        assert "\n" not in str(caught.value)
    with pytest.raises(InputError, match="folder"):
        reader(tmp_path)


class Trap:
    """Makes a file when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


@pytest.mark.parametrize("reader", READERS)
def test_arrays_of_objects_are_refused_unopened(tmp_path, reader):
    np.save(tmp_path / "trap.npy", np.array([[Trap(tmp_path / "sprung")]], object), allow_pickle=True)
    with pytest.raises(InputError, match=r"trap\.npy.*objects"):
        reader(tmp_path / "trap.npy")
    assert not (tmp_path / "sprung").exists()


@pytest.mark.parametrize("reader", READERS)
def test_standard_input_is_read_and_named(tmp_path, monkeypatch, reader):
    for data, wanted in ((b"no image", "not an image but text"), (b"", "the file is empty")):
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(data)))
        with pytest.raises(InputError, match=f"^standard input: {wanted}"):
            reader("-")
    colors = np.full((3, 4, 3), 7 if reader is not read_ade20k_full else 0, np.uint8)
    data = saved(tmp_path / "m.png", colors if reader is read_ade20k_full else colors[..., 0]).read_bytes()
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(data)))
    assert np.array_equal(reader("-"), reader(tmp_path / "m.png"))


@pytest.mark.parametrize("reader", READERS)
def test_images_that_do_not_keep_labels_are_refused(tmp_path, reader):
    saved(tmp_path / "m.jpg", np.zeros((8, 8), np.uint8))
    with pytest.raises(InputError, match=r"m\.jpg.*JPEG is lossy"):
        reader(tmp_path / "m.jpg")
    saved(tmp_path / "m.png", np.zeros((8, 8, 4), np.uint8))
    with pytest.raises(InputError, match=r"m\.png.*RGBA"):
        reader(tmp_path / "m.png")


@pytest.mark.parametrize("reader", [r for r in READERS if r is not read_ade20k_full])
def test_a_color_image_is_no_map_of_one_channel(tmp_path, reader):
    with pytest.raises(InputError, match=r"c\.png.*color image.*single-channel"):
        reader(saved(tmp_path / "c.png", np.full((4, 4, 3), (0, 1, 0), np.uint8)))
    np.save(tmp_path / "f.npy", np.zeros((4, 4), np.float32))
    with pytest.raises(InputError, match=r"f\.npy.*float32 4×4"):
        reader(tmp_path / "f.npy")
    np.save(tmp_path / "d.npy", np.zeros((4, 4, 1), np.uint8))
    with pytest.raises(InputError, match=r"d\.npy.*uint8 4×4×1"):
        reader(tmp_path / "d.npy")


def test_a_map_that_claims_too_many_pixels_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("cn.images.claims.MAX_PIXELS", 10)
    with pytest.raises(InputError, match=r"m\.png.*4×3 pixels are too many"):
        read_ade20k(gray(tmp_path / "m.png", *np.zeros((3, 4))))
