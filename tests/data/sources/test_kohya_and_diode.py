"""kohya's folders and metadata, and DIODE's folders."""

import json

import pytest

from cn.data.sources.open import open_source
from cn.data.sources.parts import from_record
from tests.data.sources.test_folder import captions, made


def test_folders_with_repeats(tmp_path):
    made(tmp_path, "10_sks dog/a.png", "1_cat/b.jpg", "1_cat/a.caption")
    (tmp_path / "10_sks dog/a.txt").write_text("a dog")
    source = open_source(str(tmp_path))
    assert source.layout == "kohya"
    assert source.about == (
        'kohya\'s folders with repeats ("10_sks dog" 1, "1_cat" 1): 2 images, 1 with captions (.txt)'
    )
    assert captions(source) == {"10_sks dog/a.png": "a dog", "1_cat/b.jpg": "cat"}
    assert [s.extra["repeats"] for s in source.samples()] == [10, 1]
    assert source.warnings == (
        "1 image without a text file: the name of the folder is the caption, as for kohya's trainer",
    )
    assert dict(source.left_out.suffixes) == {".caption": 1}


def test_folders_with_repeats_and_conditions(tmp_path):
    made(tmp_path, "train/5_house/a.png", "conditioning/a.png", "conditioning/lost.png")
    source = open_source(str(tmp_path))
    [sample] = source.samples()
    assert sample.maps[""].path == str(tmp_path / "conditioning/a.png")
    assert dict(source.left_out.suffixes) == {".png": 1}
    assert source.about.endswith("1 with condition maps (conditioning); not used: 1 image")


def test_a_folder_that_only_begins_with_a_number_is_no_layout_of_kohya(tmp_path):
    made(tmp_path, "2024_summer/a.jpg", *(f"photos/{n}.jpg" for n in range(3)))
    assert open_source(str(tmp_path)).layout == "folder"


@pytest.mark.parametrize("keys", ["full path", "relative", "stem"])
@pytest.mark.parametrize("named", [False, True])
def test_metadata_of_fine_tuning(tmp_path, keys, named):
    made(tmp_path, "a.jpg", "b.png", "c.webp", "a.npz")
    key = {"full path": f"{tmp_path}/%s", "relative": "%s", "stem": "%s"}[keys]
    names = ["a.jpg", "b.png"] if keys != "stem" else ["a", "b"]
    metadata = {
        key % names[0]: {"caption": "a house", "tags": "red, roof", "train_resolution": [512, 512]},
        key % names[1]: {"tags": "1girl"},
    }
    (tmp_path / "meta_cap.json").write_text(json.dumps(metadata))
    source = open_source(str(tmp_path / "meta_cap.json" if named else tmp_path))
    assert source.layout == "kohya"
    assert [(str(s.image), s.read_caption(), dict(s.extra)) for s in source.samples()] == [
        (f"{tmp_path}/a.jpg", "a house, red, roof", {"train_resolution": [512, 512]}),
        (f"{tmp_path}/b.png", "1girl", {}),
    ]
    assert source.about.startswith("kohya's metadata meta_cap.json with 2 images, all with captions")
    if not named:
        assert dict(source.left_out.suffixes) == {".npz": 1, ".webp": 1}
        assert source.about.endswith("; not used: 1 image")


def test_annotations_of_another_tool_are_no_metadata(tmp_path):
    made(tmp_path, "a.jpg")
    (tmp_path / "instances.json").write_text('{"info": {"year": 2017}, "images": [{"file_name": "a.jpg"}]}')
    source = open_source(str(tmp_path))
    assert source.layout == "folder"
    assert dict(source.left_out.suffixes) == {".json": 1}


def test_diode(tmp_path):
    made(tmp_path, *(f"scan/a{ending}" for ending in (".png", "_depth.npy", "_depth_mask.npy", "_normal.npy")))
    made(tmp_path, "scan/b.png", "scan/b_depth.npy", "scan/c_depth.npy", "d.png")
    source = open_source(str(tmp_path))
    assert source.layout == "diode"
    assert {s.name: dict(s.extra) for s in source.samples()} == {
        "d.png": {},
        "scan/a.png": {
            "depth_file": str(tmp_path / "scan/a_depth.npy"),
            "normal_file": str(tmp_path / "scan/a_normal.npy"),
        },
        "scan/b.png": {"depth_file": str(tmp_path / "scan/b_depth.npy")},
    }
    assert source.about == "DIODE's layout: 3 images, without captions, 2 with measured depth, 1 with normals"
    assert dict(source.left_out.suffixes) == {".npy": 1}, "scan/c_depth.npy has no image"
    [part] = source.parts
    assert list(from_record(json.loads(json.dumps(part.record(0, None)))).samples()) == list(part.samples())
