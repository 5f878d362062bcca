"""Maps that are not detected: labels, measurements, poses and finished maps, cut to the frames of their images."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from cn import app, images
from cn.conditions import ConditionInfo
from cn.data.build.frame import frame
from cn.data.build.image import Picture
from cn.data.build.maps import Item, make
from cn.data.build.recipes import Recipe
from cn.data.sources.sample import Sample
from cn.detect.detector import Detection, WithoutNetwork
from cn.detect.nets.mlsd import MLSDTiny
from cn.detect.pose.skeleton import draw
from cn.detect.segmentation.palettes import ADE20K, paint
from cn.errors import InputError
from tests.helpers.photos import photo, records, statuses


def build(src: Path, out: Path, kind: str, *words: object) -> int:
    command = ("dataset", "build", src, out, "--cond", kind, "--resolution", 64, "-q", *words)
    return app.run([str(word) for word in command])


def map_of(out: Path, kind: str | None = None) -> np.ndarray:
    """The only map of a dataset."""
    folder = out if kind is None else out / kind
    (line,) = records(out, kind)
    return images.read(folder / line["source"])


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    images.write(folder / "room.jpg", photo(1, 128, 64))
    return folder


def test_labels_take_the_place_of_a_network(tmp_path, photos):
    ids = np.zeros((64, 128), np.uint8)
    ids[:, 40:] = 3
    ids[20:, 40:] = 13
    (tmp_path / "labels").mkdir()
    images.write(tmp_path / "labels/room.png", ids)
    assert build(photos, tmp_path / "set", "ade20k", "--labels", tmp_path / "labels") == 0
    # The challenge counts classes from 1.
    expected = paint(ids[:, 32:96].astype(np.int16) - 1, ADE20K)
    assert np.array_equal(map_of(tmp_path / "set"), expected)
    info = ConditionInfo.from_text(images.read_info(next((tmp_path / "set/source").rglob("*.png"))))
    assert (info.kind, info.detector) == ("ade20k", "dataset labels")


def test_labels_of_half_the_size(tmp_path, photos):
    ids = np.repeat(np.arange(1, 65, dtype=np.uint8)[None], 32, axis=0)
    (tmp_path / "labels").mkdir()
    images.write(tmp_path / "labels/room.png", ids)
    assert build(photos, tmp_path / "set", "ade20k", "--labels", tmp_path / "labels") == 0
    middle = np.repeat(np.repeat(ids[:, 16:48], 2, axis=0), 2, axis=1)
    assert np.array_equal(map_of(tmp_path / "set"), paint(middle.astype(np.int16) - 1, ADE20K))


def test_the_full_release_of_ade20k_and_sub_folders(tmp_path):
    folder = tmp_path / "photos/training/a"
    folder.mkdir(parents=True)
    images.write(folder / "ADE_train_1.jpg", photo(1, 64, 64))
    # Red / 10 · 256 + green is the number of a class in the full release: wall is 2978.
    encoded = np.zeros((64, 64, 3), np.uint8)
    encoded[...] = (110, 162, 0)
    labels = tmp_path / "labels/training/a"
    labels.mkdir(parents=True)
    images.write(labels / "ADE_train_1_seg.png", encoded)
    words = ("--files", f"ade20k={tmp_path / 'labels'}", "--from", "ade20k=full")
    assert build(tmp_path / "photos", tmp_path / "set", "ade20k", *words) == 0
    assert (map_of(tmp_path / "set") == ADE20K.entries[0][1]).all()
    assert ADE20K.entries[0][0] == "wall"


def test_an_image_without_its_file_or_with_two(tmp_path, photos, capsys):
    images.write(photos / "other.jpg", photo(2, 64, 64))
    images.write(photos / "wide.jpg", photo(3, 64, 64))
    for name, size in (("a/room.png", (64, 128)), ("b/room.png", (64, 128)), ("wide.png", (64, 128))):
        path = tmp_path / "labels" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        images.write(path, np.full(size, 4, np.uint8))
    assert build(photos, tmp_path / "set", "ade20k", "--labels", tmp_path / "labels") == 3
    found = statuses(tmp_path / "set")
    assert found["other.jpg"]["status"] == "no map"
    assert "there is no ade20k map of it in " in found["other.jpg"]["reason"]
    assert found["room.jpg"]["reason"] == "room.jpg: a/room.png and b/room.png both have its name"
    assert "is 128×64 and its image 64×64: not the same frame" in found["wide.jpg"]["reason"]
    assert "not one pair came of these images" in capsys.readouterr().err


def test_measured_depth_is_scaled_and_cut(tmp_path, photos):
    depth = np.tile(np.linspace(1, 5, 128), (64, 1))
    (tmp_path / "scans").mkdir()
    np.save(tmp_path / "scans/room.npy", depth)
    words = ("--files", f"depth={tmp_path / 'scans'}", "--set", "depth.depth_is=distance")
    assert build(photos, tmp_path / "set", "depth", *words) == 0
    nearness = (1 / depth - 1 / 5) / (1 - 1 / 5)
    assert np.abs(map_of(tmp_path / "set")[..., 0] - (nearness * 255)[:, 32:96]).max() <= 1


def test_diode_is_found_beside_its_images(tmp_path):
    folder = tmp_path / "val/scene_1/scan_1"
    folder.mkdir(parents=True)
    images.write(folder / "a.png", photo(4, 128, 64))
    normals = np.zeros((64, 128, 3), np.float32)
    normals[..., 2] = -1  # DIODE's z points away from the viewer
    np.save(folder / "a_normal.npy", normals)
    np.save(folder / "a_depth.npy", np.full((64, 128, 1), 2, np.float32) + np.arange(128, dtype=np.float32)[:, None])
    np.save(folder / "a_depth_mask.npy", np.ones((64, 128), np.float32))
    out = tmp_path / "set"
    assert build(tmp_path / "val", out, "normal", "--cond", "depth") == 0
    assert (np.abs(map_of(out, "normal").astype(int) - (128, 128, 255)) <= 1).all()
    made = map_of(out, "depth")[..., 0]
    assert made[0, 0] > made[0, 40] > made[0, 63]
    info = ConditionInfo.from_text(images.read_info(next((out / "normal/source").rglob("*.png"))))
    assert info.detector == "DIODE ground truth"


def test_poses_of_other_tools(tmp_path, photos):
    people = np.zeros((1, 18, 3))
    people[0, :, 0] = np.linspace(44, 84, 18)
    people[0, :, 1] = np.linspace(4, 60, 18)
    people[0, :, 2] = 1
    (tmp_path / "poses").mkdir()
    record = {
        "people": [{"pose_keypoints_2d": people[0].ravel().tolist()}],
        "canvas_width": 128,
        "canvas_height": 64,
    }
    (tmp_path / "poses/room_keypoints.json").write_text(json.dumps(record))
    assert build(photos, tmp_path / "set", "openpose", "--files", f"openpose={tmp_path / 'poses'}") == 0
    assert np.array_equal(map_of(tmp_path / "set"), draw(people, 64, 128)[:, 32:96])


def test_finished_maps_keep_their_bytes_where_they_fit(tmp_path):
    photos, maps = tmp_path / "photos", tmp_path / "maps"
    photos.mkdir()
    maps.mkdir()
    images.write(photos / "a.png", photo(5, 64, 64))
    lines = np.zeros((64, 64), np.uint8)
    lines[10:12] = 255
    images.write(maps / "a.png", lines, {"mine": "text"})
    words = ("--files", f"scribble={maps}", "--from", "scribble=maps")
    assert build(photos, tmp_path / "set", "scribble", *words) == 0
    assert next((tmp_path / "set/source").rglob("*.png")).read_bytes() == (maps / "a.png").read_bytes()
    # Resized ones keep their text.
    images.write(photos / "a.png", photo(5, 128, 128))
    shutil.rmtree(tmp_path / "set")
    assert build(photos, tmp_path / "set", "scribble", *words) == 0
    made = next((tmp_path / "set/source").rglob("*.png"))
    assert images.read(made).shape == (64, 64, 3)
    assert images.read_info(made)["mine"] == "text"


def test_pairs_of_the_official_trainer_are_taken_as_they_are(tmp_path, capsys):
    folder = tmp_path / "fill"
    for name in ("source", "target"):
        (folder / name).mkdir(parents=True)
    lines = []
    for number in range(3):
        image = photo(number, 64, 64)
        images.write(folder / f"target/{number}.png", image)
        # The same map three times; one image twice, with another map.
        circle = np.zeros((64, 64), np.uint8)
        circle[number : number + 9, 5:20] = 255
        images.write(folder / f"source/{number}.png", circle)
        lines.append({"source": f"source/{number}.png", "target": f"target/{number}.png", "prompt": f"no. {number}"})
    lines.append({**lines[0], "source": "source/1.png"})
    (folder / "prompt.json").write_text("".join(json.dumps(line) + "\n" for line in lines))
    out = tmp_path / "set"
    assert build(folder, out, "canny") == 0
    made = {(line["prompt"], (out / line["source"]).read_bytes()) for line in records(out)}
    expected = {(line["prompt"], (folder / line["source"]).read_bytes()) for line in lines}
    assert made == expected
    assert build(folder, tmp_path / "detected", "canny", "--detect") == 0
    assert len(records(tmp_path / "detected")) == 3  # the fourth is a duplicate now


def test_a_map_that_cannot_be_right_is_warned_of(tmp_path, capsys):
    photos, maps = tmp_path / "photos", tmp_path / "maps"
    photos.mkdir()
    maps.mkdir()
    for number in range(3):
        images.write(photos / f"{number}.png", photo(number, 64, 64))
        images.write(maps / f"{number}.png", 255 - np.eye(64, dtype=np.uint8) * 255)
    words = ("--files", f"scribble={maps}", "--from", "scribble=maps")
    assert build(photos, tmp_path / "set", "scribble", *words) == 0
    errors = capsys.readouterr().err
    assert "scribble: is mostly white, but scribble maps are thick white strokes on black" in errors
    assert "(3 images)" in errors


class Recorder(WithoutNetwork):
    """A detector of batches of four that paints what it saw."""

    kind = "canny"
    batch_size = 4

    def __init__(self):
        self.batches: list[list[str]] = []

    def info(self, key):
        return ConditionInfo("canny", "recorder")

    def detect(self, images, keys):
        self.batches.append(list(keys))
        if "bad" in keys:
            raise InputError("cannot be detected")
        return [
            Detection(np.full(image.shape[:2], 200, np.uint8), {"key": key})
            for image, key in zip(images, keys, strict=True)
        ]


def item(key: str, side: int = 64) -> Item:
    image = photo(1, side, side)
    return Item(Sample(f"{key}.png", None), Picture(key, image, None, frame(side, side, 64, "none")), image)


def test_networks_get_full_batches_of_one_size_and_a_bad_image_costs_only_itself():
    detector = Recorder()
    items = [item("a"), item("b", 128), item("c"), item("d"), item("e"), item("f")]
    made = make(Recipe("canny", "detector", detector), items, True)
    # A GPU's last bits depend on the size of the batch: it is filled up with the last image.
    assert detector.batches == [["a", "c", "d", "e"], ["f"] * 4, ["b"] * 4]
    assert [one.result.found["key"] for one in made] == list("abcdef")
    detector = Recorder()
    made = make(Recipe("canny", "detector", detector), [item("a"), item("bad"), item("c")], True)
    assert [one.result.status for one in made] == ["ok", "broken", "ok"]
    assert made[1].result.reason == "cannot be detected"


def test_maps_of_an_unstated_kind_and_several_kinds(tmp_path, capsys):
    folder = tmp_path / "pairs"
    folder.mkdir()
    images.write(folder / "a.png", photo(1, 64, 64))
    images.write(folder / "b.png", photo(2, 64, 64))
    (folder / "prompt.json").write_text('{"source": "b.png", "target": "a.png", "prompt": "x", "group": "g7"}\n')
    words = ("--cond", "hed", "--method", "hed=gradient")
    assert build(folder, tmp_path / "set", "canny", *words) == 2
    assert "give only the one that they are, or --detect to detect all" in capsys.readouterr().err
    assert not (tmp_path / "set").exists()
    assert build(folder, tmp_path / "set", "canny", *words, "--detect") == 0
    # What the source says of an image stays with it.
    assert [records(tmp_path / "set", kind)[0]["group"] for kind in ("canny", "hed")] == ["g7", "g7"]


def test_other_weights_do_not_mix(tmp_path, photos, capsys):
    for number in range(2):
        torch.manual_seed(number)
        state = MLSDTiny().state_dict()
        save_file({name: value.contiguous() for name, value in state.items()}, tmp_path / f"{number}.safetensors")
    words = ("--device", "cpu", "--on-empty", "keep", "--weights")
    assert build(photos, tmp_path / "set", "hough", *words, f"hough={tmp_path / '0.safetensors'}") == 0
    assert build(photos, tmp_path / "set", "hough", *words, f"hough={tmp_path / '1.safetensors'}") == 3
    assert "was built with other weights" in capsys.readouterr().err


def test_advice_about_missing_weights_is_for_builds(tmp_path, photos, capsys, monkeypatch):
    monkeypatch.setenv("CN_WEIGHTS", str(tmp_path / "none"))
    monkeypatch.setenv("CN_OFFLINE", "1")
    assert build(photos, tmp_path / "set", "scribble") == 4
    assert "--weights scribble=FILE (without weights: --method scribble=gradient)" in capsys.readouterr().err
    assert build(photos, tmp_path / "set", "ade20k") == 4
    assert "(without weights: --files ade20k=FOLDER)" in capsys.readouterr().err
