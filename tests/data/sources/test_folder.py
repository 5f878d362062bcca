"""Folders of images: captions beside them, condition maps in a folder of their own, and what is left out."""

import json
from pathlib import Path

import pytest

from cn.data.blobs import File
from cn.data.sources.open import open_source
from cn.data.sources.parts import from_record
from cn.errors import InputError, UsageError


def files(root: Path, **contents: str) -> Path:
    for name, text in contents.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def made(root: Path, *names: str) -> Path:
    return files(root, **dict.fromkeys(names, "x"))


def captions(source) -> dict[str, str | None]:
    return {sample.name: sample.read_caption() for sample in source.samples()}


def test_captions_are_found_by_every_usual_name(tmp_path):
    texts = {"a.txt": "one", "b.caption": "two", "c.png.txt": "three", "sub/d.TXT": " four\n lines "}
    root = files(tmp_path, **texts, **dict.fromkeys(["a.jpg", "b.jpeg", "c.png", "sub/d.webp", "e.jpg"], "x"))
    source = open_source(str(root))
    assert captions(source) == {
        "a.jpg": "one",
        "b.jpeg": "two",
        "c.png": "three",
        "sub/d.webp": "four lines",
        "e.jpg": None,
    }
    assert source.layout == "folder"
    assert source.about == "a folder of 5 images, 4 with captions (.caption, .txt)"
    assert not source.left_out


def test_sidecars_are_not_read_while_listing(tmp_path):
    made(tmp_path, "a.jpg")
    (tmp_path / "a.txt").write_bytes(b"\xff\xfe\xff")
    [sample] = open_source(str(tmp_path)).samples()
    with pytest.raises(InputError, match=r"a\.txt: is UTF-16"):
        sample.read_caption()


def test_what_is_not_used_is_counted(tmp_path):
    made(tmp_path, "a.jpg", "a.txt", "lonely.txt", "notes.pdf", "a.caption", "b.npy")
    source = open_source(str(tmp_path))
    assert dict(source.left_out.suffixes) == {".txt": 1, ".pdf": 1, ".caption": 1, ".npy": 1}


def test_names_do_not_depend_on_where_the_folder_lies(tmp_path, monkeypatch):
    made(tmp_path / "one", "b.jpg", "day/a.jpg")
    made(tmp_path / "two/deeper", "b.jpg", "day/a.jpg")
    monkeypatch.chdir(tmp_path)
    names = [[s.name for s in open_source(src).samples()] for src in ("one", "two/deeper/", str(tmp_path / "one"))]
    assert names == [["b.jpg", "day/a.jpg"]] * 3


def test_results_inside_the_source_are_no_images_of_it(tmp_path):
    made(tmp_path, "a.jpg", "set/target/b.jpg")
    source = open_source(str(tmp_path), results=[str(tmp_path / "set")])
    assert [sample.name for sample in source.samples()] == ["a.jpg"]


def test_sub_folders_are_counted_where_they_are_not_searched(tmp_path):
    made(tmp_path, "a.jpg", "sub/b.jpg")
    source = open_source(str(tmp_path), recursive=False)
    assert source.count == 1
    assert source.left_out.folders == 1


@pytest.mark.parametrize("pattern", ["a*.jpg", "{a0,a1}.jpg", "a{0..1}.jpg", "*/../a*.jpg"])
def test_patterns(tmp_path, pattern):
    files(tmp_path, **{"a0.jpg": "x", "a1.jpg": "x", "b.jpg": "x", "a0.txt": "zero", "s/c.jpg": "x"})
    src = str(tmp_path / pattern)
    if "/.." in pattern:
        with pytest.raises(UsageError, match="after a wildcard"):
            open_source(src)
        return
    source = open_source(src)
    assert captions(source) == {"a0.jpg": "zero", "a1.jpg": None}
    assert source.about == "2 images, 1 with captions (.txt)"


def test_one_image(tmp_path):
    files(tmp_path, **{"a.jpg": "x", "a.txt": "one", "b.jpg": "x"})
    assert captions(open_source(str(tmp_path / "a.jpg"))) == {"a.jpg": "one"}


def test_a_folder_of_condition_maps_is_found_beside_the_images(tmp_path):
    made(
        tmp_path, "images/a.jpg", "images/b.jpg", "conditioning_canny/a.png", "conditioning_canny/b.png", "depth/a.png"
    )
    source = open_source(str(tmp_path))
    maps = {sample.name: {kind: blob.path for kind, blob in sample.maps.items()} for sample in source.samples()}
    assert maps == {
        "images/a.jpg": {
            "canny": str(tmp_path / "conditioning_canny/a.png"),
            "depth": str(tmp_path / "depth/a.png"),
        },
        "images/b.jpg": {"canny": str(tmp_path / "conditioning_canny/b.png")},
    }
    assert "2 with canny maps (conditioning_canny), 1 with depth maps (depth)" in source.about


def test_a_folder_of_condition_maps_can_be_named(tmp_path):
    made(tmp_path, "images/dog/a.jpg", "images/b.jpg", "maps/a.png", "maps/c.png")
    source = open_source(str(tmp_path / "images"), conditions=str(tmp_path / "maps"))
    assert [dict(sample.maps) for sample in source.samples()] == [{}, {"": File(str(tmp_path / "maps/a.png"))}]
    assert source.warnings == (f"{tmp_path / 'maps'}: 1 condition map without an image of the same name",)
    with pytest.raises(InputError, match="no condition map here has the name of an image"):
        open_source(str(tmp_path / "images/dog"), conditions=str(made(tmp_path / "other", "z.png")))


def test_images_of_a_class_called_like_a_kind_stay_images(tmp_path):
    made(tmp_path, "control/a.jpg", "normal/b.jpg", "sick/c.jpg")
    assert [s.name for s in open_source(str(tmp_path)).samples()] == ["control/a.jpg", "normal/b.jpg", "sick/c.jpg"]


def test_an_ambiguous_map_is_said(tmp_path):
    made(tmp_path, "day1/a.jpg", "day2/a.jpg", "cond/a.png")
    [warning] = open_source(str(tmp_path)).warnings
    assert "1 condition map would belong to several images" in warning


def test_parts_come_back_from_their_records(tmp_path):
    made(tmp_path, "a.jpg", "a.txt", "b.jpg", "c.jpg", "caf\udce9.jpg", "cond/b.png", "cond/a.png")
    [part] = open_source(str(tmp_path)).parts
    again = from_record(json.loads(json.dumps(part.record(0, None))))
    assert list(again.samples()) == list(part.samples())
    assert [s.name for s in again.samples()] == ["a.jpg", "b.jpg", "c.jpg", "caf\\xe9.jpg"]
    some = from_record(json.loads(json.dumps(part.record(1, 3))))
    assert list(some.samples()) == list(part.samples(1, 3))
    assert [s.name for s in some.samples()] == ["b.jpg", "c.jpg"]
    assert [s.name for s in part.samples(3, 9)] == ["caf\\xe9.jpg"]
    with pytest.raises(InputError, match="unknown part"):
        from_record({"type": "tape"})


def test_a_source_without_images_says_what_there_is(tmp_path):
    made(tmp_path, "a.txt", "b.pdf", "c.pdf")
    with pytest.raises(InputError, match=r"no images in it: 3 files of other kinds: 2 \.pdf, 1 \.txt"):
        open_source(str(tmp_path))
    with pytest.raises(InputError, match="no such file"):
        open_source(str(tmp_path / "missing"))
    with pytest.raises(UsageError, match="choose one of"):
        open_source(str(tmp_path), layout="other")
    with pytest.raises(InputError, match=r"is not of the layout prompt\.json"):
        open_source(str(tmp_path), layout="prompt.json")
