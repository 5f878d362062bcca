"""`cn detect ade20k|coco|palette` through the command line: painted maps, ids, dataset labels, the colors."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from safetensors.torch import save_file

from cn import images
from cn.conditions import ConditionInfo, get
from cn.detect.nets.cpu import optimize_for_cpu
from cn.detect.nets.loading import load_net
from cn.detect.network import open_network
from cn.detect.segmentation import labels, networks
from cn.detect.segmentation.detectors import Ade20kDetector, CocoDetector, CocoLabels, colored
from cn.detect.segmentation.palettes import ADE20K, COCO_STUFF, paint
from cn.files import sha256
from tests.helpers.cli import cn
from tests.helpers.segmentation_cases import LONG, SHORT, filled

IDS = np.array([[0, 0, 2, 255], [12, 12, 2, 255]], np.uint8).repeat(8, axis=0).repeat(8, axis=1)


def the_map(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image)


@pytest.fixture(scope="module")
def weights(tmp_path_factory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("weights")
    made = {}
    for kind, network in {"ade20k": "uniformer", "coco": "deeplab"}.items():
        made[kind] = folder / f"{kind}.safetensors"
        save_file({k: v.contiguous() for k, v in filled(network).state_dict().items()}, made[kind])
    filled.cache_clear()  # From here on they are read from the files: one set of 400 MB is enough.
    return made


@pytest.mark.parametrize("kind", ["ade20k", "coco"])
def test_maps_and_ids_are_those_of_the_functions_and_say_so(kind, weights, tmp_path, monkeypatch):
    monkeypatch.setattr(networks, "ADE20K_SHORT", SHORT)
    monkeypatch.setattr(networks, "COCO_LONG", LONG)
    noise = np.random.default_rng(0).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    Image.fromarray(noise).resize((64, 48)).save(tmp_path / "a.png")
    words = ("--weights", weights[kind], "--ids", "ids", "--json", "--device", "cpu")
    done = cn("detect", "seg" if kind == "ade20k" else kind, "a.png", "b.png", *words, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    image = images.read(tmp_path / "a.png")
    if kind == "ade20k":
        (ids,) = networks.ade20k_ids(optimize_for_cpu(load_net("ade20k", weights[kind])), [image])
    else:
        (ids,) = networks.coco_ids(optimize_for_cpu(load_net("coco", weights[kind])), [image])
    palette = {"ade20k": ADE20K, "coco": COCO_STUFF}[kind]
    assert np.array_equal(the_map(tmp_path / "b.png"), paint(ids, palette))
    assert np.array_equal(the_map(tmp_path / "ids" / "b.png"), ids)
    shares = json.loads(done.stdout)["found"]["classes"]
    assert list(shares.values()) == sorted(shares.values(), reverse=True)
    assert all(shares[palette.name_of(i)] == round(float((ids == i).mean()), 4) for i in np.unique(ids) if i != 255)
    for path in ("b.png", "ids/b.png"):
        info = ConditionInfo.from_text(images.read_info(tmp_path / path))
        assert info is not None
        assert (info.kind, info.weights_sha256) == (kind, sha256(weights[kind]))
        assert info.params["convention"] == get(kind).convention


def test_options_reach_the_networks(weights, monkeypatch):
    monkeypatch.setattr(networks, "ADE20K_SHORT", SHORT)
    monkeypatch.setattr(networks, "COCO_LONG", LONG)
    image = np.random.default_rng(1).integers(0, 256, (40, 56, 3), dtype=np.uint8)
    ade = open_network("ade20k", str(weights["ade20k"]))
    (plain,), (swapped,) = (Ade20kDetector(ade, s).detect([image], ["a"]) for s in (False, True))
    (reversed_,) = Ade20kDetector(ade).detect([image[..., ::-1].copy()], ["a"])
    assert np.array_equal(swapped.map, reversed_.map)
    assert not np.array_equal(swapped.map, plain.map)
    coco = open_network("coco", str(weights["coco"]))
    large = np.random.default_rng(2).integers(0, 256, (20, 28, 3), dtype=np.uint8).repeat(4, axis=0).repeat(4, axis=1)
    (once,), (thrice,) = (CocoDetector(coco, m).detect([large], ["a"]) for m in (False, True))
    assert not np.array_equal(once.map, thrice.map)


@pytest.mark.parametrize(
    ("kind", "layout", "stored"),
    [
        ("ade20k", "challenge", np.where(IDS == 255, 0, IDS + 1)),
        ("ade20k", "ids", IDS),
        ("ade20k", "colors", paint(IDS, ADE20K)),
        ("coco", "stuffthingmaps", IDS),
        ("coco", "ids", IDS),
    ],
)
def test_labels_of_data_sets_are_painted(kind, layout, stored, tmp_path):
    (tmp_path / "in" / "sub").mkdir(parents=True)
    Image.fromarray(stored.astype(np.uint8)).save(tmp_path / "in" / "sub" / "a.png")
    if layout == "ids":
        np.save(tmp_path / "in" / "b.npy", stored)
    words = ("--from-labels", layout, "--recursive", "--ids", "ids")
    done = cn("detect", kind, "in", "out", *words, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    # Label 12 of COCO-Stuff is class 11, since one label before it is never used.
    expected = np.where(IDS == 12, 11, IDS) if layout == "stuffthingmaps" else IDS
    assert np.array_equal(the_map(tmp_path / "ids" / "sub" / "a.png"), expected)
    palette = {"ade20k": ADE20K, "coco": COCO_STUFF}[kind]
    assert np.array_equal(the_map(tmp_path / "out" / "sub" / "a.png"), paint(expected, palette))
    assert (tmp_path / "out" / "b.png").exists() == (layout == "ids")
    info = ConditionInfo.from_text(images.read_info(tmp_path / "out" / "sub" / "a.png"))
    assert info is not None
    assert (info.detector, info.params["layout"]) == ("dataset labels", layout)


def test_labels_are_resized_without_new_colors(tmp_path):
    Image.fromarray(IDS).save(tmp_path / "a.png")
    words = ("--from-labels", "ids", "--resolution", "192", "--ids", "ids", "--json")
    done = cn("detect", "ade20k", "a.png", "b.png", *words, cwd=tmp_path)
    assert json.loads(done.stdout)["size"] == [384, 192]
    assert set(np.unique(the_map(tmp_path / "ids" / "b.png"))) == set(np.unique(IDS))
    assert the_map(tmp_path / "ids" / "b.png").shape == (192, 384)
    assert np.array_equal(paint(the_map(tmp_path / "ids" / "b.png"), ADE20K), the_map(tmp_path / "b.png"))


def test_panoptic_maps_need_their_json(tmp_path):
    segments = np.where(IDS == 255, 0, IDS.astype(np.int32) + 300)
    Image.fromarray(np.stack([segments % 256, segments // 256, segments * 0], axis=2).astype(np.uint8)).save(
        tmp_path / "a.png"
    )
    # Categories of COCO: 1 person, 3 car, 17 cat.
    info = [{"id": 300, "category_id": 1}, {"id": 302, "category_id": 3}, {"id": 312, "category_id": 17}]
    annotations = [{"file_name": "a.png", "image_id": 1, "segments_info": info}]
    (tmp_path / "panoptic.json").write_text(json.dumps({"annotations": annotations}))
    words = ("detect", "coco", "a.png", "b.png", "--from-labels", "panoptic")
    alone = cn(*words, cwd=tmp_path)
    assert (alone.returncode, alone.stderr.count("\n")) == (2, 1)
    done = cn(*words, "--panoptic-json", "panoptic.json", "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["found"]["classes"] == {"person": 0.25, "car": 0.25, "cat": 0.25}


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("ade20k", "--from-labels", "stuffthingmaps"), 2),
        (("ade20k", "--from-labels", "ids", "--device", "cpu"), 2),
        (("ade20k", "--from-labels", "ids", "--swapped-channels"), 2),
        (("coco", "--panoptic-json", "x.json"), 2),
        (("coco", "--from-labels", "ids", "--multi-scale"), 2),
        (("ade20k", "--from-labels", "challenge"), 3),
        (("coco", "--from-labels", "panoptic", "--panoptic-json", "gone.json"), 3),
        (("ade20k",), 4),
        (("coco",), 4),
    ],
)
def test_mistakes_are_one_line(words, code, tmp_path):
    Image.fromarray(np.full((8, 8, 3), 200, np.uint8)).save(tmp_path / "a.png")
    done = cn("detect", words[0], "a.png", "b.png", *words[1:], cwd=tmp_path, env={"CN_WEIGHTS": str(tmp_path)})
    assert (done.returncode, done.stderr.count("\n")) == (code, 1), done.stderr
    assert not (tmp_path / "b.png").exists()


def test_what_has_no_class_is_nothing_found():
    assert colored(np.full((4, 4), 255, np.uint8), COCO_STUFF).empty
    assert not colored(IDS, COCO_STUFF).empty


def test_every_layout_is_offered():
    import inspect
    from typing import get_args

    from cn.commands.detect import segmentation

    for kind, command, more in (
        ("ade20k", segmentation.ade20k, {"colors"}),
        ("coco", segmentation.coco, {"colors", "panoptic"}),
    ):
        annotation = inspect.signature(command).parameters["from_labels"].annotation
        offered = {word for part in get_args(get_args(annotation)[0]) for word in get_args(part)}
        assert offered == set(labels.READERS[kind]) | more


def test_the_palettes_are_printed(tmp_path):
    lines = cn("detect", "palette", "ade20k").stdout.splitlines()
    assert len(lines) == 150
    assert lines[12].split() == ["12", "150", "5", "61", "#96053d", "person"]
    assert lines[6].endswith("road  (as skyscraper)")
    records = [json.loads(line) for line in cn("detect", "palette", "coco", "--json").stdout.splitlines()]
    assert len(records) == 171
    assert records[1] == {"id": 1, "name": "bicycle", "rgb": [0, 192, 64], "hex": "#00c040", "shared_with": ["person"]}


def test_classes_of_the_same_color_give_a_warning(tmp_path):
    bicycle, cow = COCO_STUFF.id_of("bicycle"), COCO_STUFF.id_of("cow")
    (tmp_path / "in").mkdir()
    for name in "ab":
        images.write(tmp_path / "in" / f"{name}.png", paint(np.array([[bicycle, cow]]).repeat(9, axis=0), COCO_STUFF))
    words = ("--from-labels", "colors")
    quiet = cn("detect", "coco", "in/a.png", "b.png", *words, cwd=tmp_path)
    assert "may be" not in quiet.stderr, "the map is the same for both; only their ids differ"
    words = (*words, "--ids", "ids")
    one = cn("detect", "coco", "in/a.png", "a.png", *words, "--json", cwd=tmp_path)
    assert json.loads(one.stdout)["found"] == {
        "classes": {"person": 0.5, "cow": 0.5},
        "none": 0.0,
        "ambiguous": [["person", "bicycle"]],
        "recognized": 1.0,
        "unknown_colors": [],
    }
    assert "person may be bicycle" in one.stderr
    both = cn("detect", "coco", "in", "out", *words, cwd=tmp_path)
    assert both.returncode == 0
    assert both.stderr.count("person may be bicycle, which share a color (2 images)") == 1
    clear = cn("detect", "ade20k", "in/a.png", "c.png", "--from-labels", "colors", cwd=tmp_path)
    assert clear.returncode == 3, "these are no colors of ADE20K"


def test_a_color_that_is_not_in_the_palette_is_named(tmp_path):
    """A label map edited in a paint program: 300 × 300 pixels with an object of 100 × 30 in a color of nobody."""
    (tmp_path / "in").mkdir()
    sky, tree, car = (ADE20K.id_of(name) for name in ("sky", "tree", "car"))
    ids = np.full((300, 300), sky)
    ids[150:] = tree
    edited = paint(ids, ADE20K)
    edited[100:200, 100:130] = (40, 70, 150)
    for name in "ab":
        images.write(tmp_path / "in" / f"{name}.png", edited)
    words = ("--from-labels", "colors")
    done = cn("detect", "seg", "in/a.png", "a.png", *words, "--ids", "ids", "--json", cwd=tmp_path)
    assert done.returncode == 0
    assert done.stderr == (
        "warning: in/a.png: 3.3 % has colors that are not in the palette of ADE20K (#284696: 3.3 %, nearest car at 72) "
        "and became no class; --nearest takes the nearest\n"
    )
    found = json.loads(done.stdout)["found"]
    # The color of a car is (0, 102, 200): √(40² + 32² + 50²) = 71.6.
    assert found["unknown_colors"] == [{"hex": "#284696", "share": 0.0333, "nearest": "car", "distance": 71.6}]
    assert (found["none"], found["recognized"]) == (0.0333, 0.9667)
    assert found["classes"] == {"sky": 0.4833, "tree": 0.4833}
    both = cn("detect", "seg", "in", "out", *words, cwd=tmp_path)
    assert both.stderr.count("\n") == 2
    assert "became no class; --json names them, and --nearest takes the nearest class (2 images)" in both.stderr
    again = cn("detect", "seg", "in/a.png", "a.png", *words, "--nearest", cwd=tmp_path)
    assert "other settings" in again.stderr
    near = cn("detect", "seg", "in/a.png", "b.png", *words, "--nearest", "--ids", "ids", cwd=tmp_path)
    assert (near.returncode, near.stderr) == (0, "")
    ids[100:200, 100:130] = car
    assert np.array_equal(the_map(tmp_path / "ids" / "b.png"), ids)
    wrong = cn("detect", "seg", "in", "out", "--from-labels", "ids", "--nearest", cwd=tmp_path)
    assert (wrong.returncode, wrong.stderr.count("\n")) == (2, 1)


def test_painted_maps_of_a_folder_may_be_jpegs(tmp_path):
    (tmp_path / "in").mkdir()
    sky = np.full((64, 64), ADE20K.id_of("sky"))
    Image.fromarray(paint(sky, ADE20K)).save(tmp_path / "in" / "a.jpg", quality=95)
    done = cn("detect", "seg", "in", "out", "--from-labels", "colors", cwd=tmp_path)
    assert done.stdout == "out/a.png\n", done.stderr
    refused = cn("detect", "seg", "in", "out", "--from-labels", "challenge", cwd=tmp_path)
    assert refused.returncode == 3


@pytest.mark.parametrize("layout", ["challenge", "ids"])
def test_gray_labels_that_were_saved_as_colors_are_read(layout, tmp_path):
    numbers = np.array([[0, 1, 2], [3, 4, 5]], np.uint8)
    for name, array in {"gray": numbers, "colors": numbers[..., None].repeat(3, axis=2)}.items():
        Image.fromarray(array).save(tmp_path / f"{name}.png")
        done = cn("detect", "seg", f"{name}.png", f"{name}.out.png", "--from-labels", layout, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
    assert (tmp_path / "gray.out.png").read_bytes() == (tmp_path / "colors.out.png").read_bytes()


def test_other_annotations_are_other_settings(tmp_path):
    info = CocoLabels("panoptic", "one/panoptic_val2017.json").info("a")
    assert info.params["panoptic"] == "panoptic_val2017.json"
    assert CocoLabels("panoptic", "x.json").uses_threads
    assert not CocoLabels("ids").uses_threads
