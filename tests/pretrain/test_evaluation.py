"""The evaluation of the bundled weights: its measures on images whose figures are known, and all of it in small."""

import json

import numpy as np
import pytest
import torch

from cn.caption.scene_captioner import SceneReading
from cn.caption.scene_labels import COLORS, GROUNDS, LIGHTS, MAX_PEOPLE, PARTS, PERSON, WEATHERS, Seen
from cn.caption.scene_reader import Reading, SceneReader
from cn.checkpoints.write.native import save_base, save_control
from cn.data.seeds import EVAL_SEED
from cn.model.controlnet import ControlNet
from cn.pretrain.dense import DenseProbe
from cn.pretrain.evaluate import evaluate
from cn.pretrain.evaluation import dense_maps, lines
from cn.pretrain.evaluation.attribution import ATTRIBUTES, VERSIONS, Question, likelihoods, questions
from cn.pretrain.evaluation.held_out import render_held_out
from cn.pretrain.evaluation.realism import frechet
from cn.pretrain.evaluation.recall import named, recall, relative
from cn.pretrain.evaluation.report import number
from cn.pretrain.evaluation.sampling import psnr
from cn.pretrain.evaluation.workers import Workers
from cn.pretrain.judges import DENSE, READER, save_judge
from cn.pretrain.labels import parts_of, whole_of
from cn.scenes.captions import full_caption
from tests.helpers.model_helpers import TINY_V, tiny_base

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def held_out():
    return render_held_out(Workers(0), EVAL_SEED, 3, 64, ("canny", "hed", "depth"))


def perfect(held_out):
    """What a probe without errors finds."""
    true = held_out.labels
    return dense_maps.DenseMaps(
        true["dense_depth"] / np.float32(255),
        true["dense_normals"].astype(np.float32),
        true["dense_ade20k"],
        true["dense_coco"],
        [people[people[..., 2].max(1) == 1].astype(np.float64) for people in true["dense_keypoints"]],
    )


def test_held_out_scenes_have_images_maps_and_labels(held_out):
    assert held_out.rgb.shape == (3, 64, 64, 3)
    assert {kind: maps.shape for kind, maps in held_out.maps.items()} == dict.fromkeys(
        ("canny", "hed", "depth"), (3, 64, 64, 3)
    )
    assert held_out.captions == [full_caption(scene) for scene in held_out.scenes]
    for scene, people in zip(held_out.scenes, held_out.people, strict=True):
        assert people <= sum(item.person is not None for item in scene.items)


@pytest.mark.parametrize("kind", dense_maps.COMPARISONS)
def test_dense_measures_are_perfect_for_the_truth_and_worse_for_other_scenes(held_out, kind):
    better = dense_maps.COMPARISONS[kind][0].better
    own = dense_maps.dense_scores(kind, held_out.labels, perfect(held_out))
    other = dense_maps.dense_scores(kind, held_out.labels, perfect(held_out), shift=1)
    known = np.isfinite(own)
    assert np.allclose(own[known], 1 if better == "higher" else 0, atol=0.5 if better == "lower" else 1e-6)
    assert (other[known] < own[known]).all() if better == "higher" else (other[known] > own[known] + 5).all()


def test_people_who_are_not_there_have_no_keypoints_to_be_found(held_out):
    scores = dense_maps.dense_scores("openpose", held_out.labels, perfect(held_out))
    assert np.array_equal(np.isfinite(scores), held_out.people > 0)


@pytest.mark.parametrize("kind", ["canny", "hed"])
def test_lines_of_the_true_image_follow_its_map(held_out, kind):
    images = np.concatenate([held_out.rgb, held_out.rgb[:1]])
    flat = np.full_like(held_out.rgb, 90)
    scores = lines.line_scores(kind, held_out.maps[kind], images, {"flat": flat})
    assert (scores["samples"] > scores["mismatched"]).all()
    assert scores["samples"].mean() > 0.5
    assert (scores["flat"] == 0).all()


def test_lines_have_a_detector_and_a_measure_for_each_kind():
    image = np.zeros((64, 64, 3), np.uint8)
    image[16:48, 16:48] = 250
    assert set(lines.DETECTORS) == set(lines.COMPARISONS)
    for detect in lines.DETECTORS.values():
        found = detect(image)
        assert found.shape == (64, 64)
        assert found.any()


def test_psnr_is_that_of_its_definition():
    a = np.zeros((2, 4, 4, 3), np.uint8)
    b = a.copy()
    b[1] = 16
    b[0, 0, 0, 0] = 1
    assert psnr(a, b) == pytest.approx([10 * np.log10(255**2 * 48), 20 * np.log10(255 / 16)])


@pytest.mark.parametrize("attribute", ATTRIBUTES)
def test_versions_differ_in_one_word_only(attribute):
    for question in questions(attribute, EVAL_SEED, 3):
        assert len(question.scenes) == len(set(question.words)) == VERSIONS
        assert len({full_caption(scene) for scene in question.scenes}) == VERSIONS
        for word, scene in zip(question.words, question.scenes, strict=True):
            if attribute == "color":
                assert question.part is not None
                thing, part = question.part
                (item,) = (item for item in scene.items if item.kind == thing)
                assert parts_of(item)[part] == word
            else:
                assert getattr(scene, attribute) == word


def test_the_likeliest_version_is_the_one_that_is_seen():
    color = Question((), ("red", "blue", "green", "white"), (PERSON, "top"))
    light = Question((), LIGHTS)
    parts, colors = torch.zeros(1, 2, 2, len(PARTS)), torch.zeros(1, 2, 2, len(COLORS))
    # The person is in one cell only, and what other cells are does not matter.
    parts[0, 0, 0, PARTS.index((PERSON, "top"))] = 20
    colors[0, 0, 0, COLORS.index("green")] = colors[0, 1, 1, COLORS.index("red")] = 9
    rest = [torch.zeros(1, size) for size in (len(GROUNDS), len(LIGHTS), len(WEATHERS), MAX_PEOPLE + 1)]
    rest[1][0, 2] = 1
    reading = Reading(parts, colors, torch.zeros(1, 2, 2), *rest)
    assert likelihoods(reading, "color", [color]).argmax() == 2
    assert likelihoods(reading, "light", [light]).argmax() == 2


def test_recall_counts_what_captions_name(held_out):
    scenes, all_seen = held_out.scenes, []
    for scene in scenes:
        things, colors = named(scene)
        ground, light, weather, _ = whole_of(scene)
        seen = [
            Seen(thing, {part: color for kind, part, color in colors if kind == thing})
            for thing, count in things.items()
            for _ in range(count)
        ]
        all_seen.append(SceneReading(seen, GROUNDS[ground], LIGHTS[light], WEATHERS[weather]))
    best = recall(scenes, all_seen)
    assert {name: best[name]["value"] for name in ("things", "ground", "light", "weather", "people")} == dict.fromkeys(
        ("things", "ground", "light", "weather", "people"), 1.0
    )
    nothing = [one._replace(seen=[], light="") for one in all_seen]
    none = relative(recall(scenes, nothing), best)
    assert (none["things"]["value"], none["things"]["relative"], none["light"]["value"]) == (0, 0, 0)
    assert none["ground"]["relative"] == 1


def test_distances_are_small_among_images_of_one_kind():
    random = np.random.default_rng(0)
    true, alike = random.normal(size=(400, 4)), random.normal(size=(400, 4))
    found = frechet(true, alike + 2, alike)
    assert found["samples"] > 10
    assert found["reconstructions"] < 0.2 > found["renderings"]


def test_what_is_not_defined_is_null_in_the_report():
    assert (number(float("nan")), number(0.12345)) == (None, 0.123)


def test_everything_is_evaluated_in_small(tmp_path, capsys):
    """Random weights, two steps, four scenes; in the process itself."""
    base = tiny_base(TINY_V)
    save_base(tmp_path / "base.safetensors", base, half=False)
    torch.manual_seed(0)
    for kind in ("canny", "depth", "openpose"):
        control = ControlNet.from_unet(base.unet)
        save_control(tmp_path / f"{kind}.safetensors", control, kind=kind, base_sha256="", half=True)
    save_judge(tmp_path / READER, SceneReader())
    save_judge(tmp_path / DENSE, DenseProbe())
    (tmp_path / "stage-denoiser.json").write_text('[{"steps": 2}]')
    evaluate(tmp_path, 4, CPU, 0, steps=2, versions=1)
    report = json.loads((tmp_path / "report.json").read_text())
    figures = report["figures"]
    assert report["stages"] == {"denoiser": [{"steps": 2}]}
    assert set(report["judges"]) == {"reader", "dense"}
    assert set(figures["controls"]) == {"canny", "depth", "openpose"}
    assert {"score", "samples", "mismatched", "reconstructions", "prompt_alone"} <= set(figures["controls"]["canny"])
    assert set(figures["attribution"]) == set(ATTRIBUTES)
    assert all(0 <= one["right"]["value"] <= 1 for one in figures["attribution"].values())
    assert figures["scenes"] == 4
    assert figures["frechet_distance"]["samples"] > 0
    assert set(figures["two_controls"]) == {"openpose is followed", "depth is followed", "images"}
    sheets = {path.name for path in tmp_path.glob("*.jpg")}
    assert sheets == {
        "samples.jpg",
        *(f"control-{kind}.jpg" for kind in figures["controls"]),
        *(f"versions-{name}.jpg" for name in ATTRIBUTES),
    }
    assert "evaluate: samples with canny" in capsys.readouterr().out
