"""`cn detect openpose|openpifpaf` by networks: maps, hands, keypoints, weights, options that exclude each other."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from cn import images
from cn.conditions import get
from cn.detect.nets.cpu import optimize_for_cpu
from cn.detect.nets.loading import load_net
from cn.detect.nets.openpose import BodyNetwork, HandNetwork
from cn.detect.nets.openpose_light import LightBodyNetwork
from cn.detect.nets.pifpaf import ShuffleNetV2K16
from cn.detect.network import open_network
from cn.detect.pose import coco_skeleton, json_format, openpose, pifpaf, skeleton
from cn.detect.pose.openpose import OpenPoseDetector
from cn.detect.pose.people import ImagePoses, People
from cn.detect.pose.pifpaf import PifPafDetector
from cn.detect.pose.pifpaf_decoder import CocoPeople
from cn.detect.run import batch, inputs, jobs, schedule
from cn.files import sha256
from tests.detect.pose.test_skeleton import person
from tests.golden.make_detectors_edges import fill
from tests.golden.make_detectors_pifpaf import fill as fill_pifpaf
from tests.helpers.cli import cn
from tests.helpers.detect_cases import info_of
from tests.helpers.people_cases import few
from tests.helpers.pifpaf_pickles import write as write_pickle


def written(path: Path, height: int = 64, width: int = 96) -> Path:
    noise = np.random.default_rng(0).integers(0, 256, (height // 8, width // 8, 3), dtype=np.uint8)
    Image.fromarray(noise).resize((width, height)).save(path)
    return path


@pytest.fixture(scope="module")
def weights(tmp_path_factory) -> dict[str, Path]:
    """Made-up weights in the published layouts."""
    folder = tmp_path_factory.mktemp("weights")
    for name, network in {"body": BodyNetwork(), "hand": HandNetwork()}.items():
        torch.save(fill(network).state_dict(), folder / f"{name}.pth")
    write_pickle(fill_pifpaf(ShuffleNetV2K16()), folder / "pifpaf.pkl")
    return {path.stem: path for path in folder.iterdir()}


def test_poses_are_those_of_the_functions_and_say_so(weights, tmp_path):
    written(tmp_path / "a.png")
    words = ("--weights", weights["body"], "--keypoints", "poses", "--json", "--device", "cpu")
    done = cn("detect", "pose", "a.png", "b.png", *words, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    network = optimize_for_cpu(load_net("openpose", weights["body"]))
    (people,) = openpose.find_people(network, images.read(tmp_path / "a.png")[None])
    poses = ImagePoses(people.keypoints, np.zeros((len(people.keypoints), 2, 21, 3)), 64, 96)
    assert np.array_equal(images.read(tmp_path / "b.png"), skeleton.draw(poses.people, 64, 96))
    assert (tmp_path / "poses" / "b.json").read_text() == json_format.write(poses)
    record = json.loads(done.stdout)
    assert record["found"] == json.loads(json.dumps(json_format.record(poses)))
    assert (record["found"]["canvas_width"], record["found"]["canvas_height"]) == (96, 64)
    info = info_of(tmp_path / "b.png")
    assert (info.kind, info.detector, info.weights_sha256) == ("openpose", "OpenPose", sha256(weights["body"]))
    assert info.params == {"style": "released", "hands": False, "scales": [0.5], "convention": get("pose").convention}


def test_hands_are_found_by_a_network_of_their_own(weights, tmp_path, monkeypatch):
    image = images.read(written(tmp_path / "a.png", 256, 256))
    body = open_network("openpose", str(weights["body"]))
    hand = open_network("hands", str(weights["hand"]))
    monkeypatch.setattr(openpose, "find_people", lambda *_: [People(person()[None], np.ones(1))])
    detector = OpenPoseDetector(body, hands=hand)
    (found,) = detector.detect([image], ["a"])
    (plain,) = OpenPoseDetector(body).detect([image], ["a"])
    left = found.found["people"][0]["hand_left_keypoints_2d"]
    assert left is not None
    assert len(left) == 63
    assert plain.found["people"][0]["hand_left_keypoints_2d"] is None
    assert not np.array_equal(found.map, plain.map)
    assert detector.info("a").params["hand_weights_sha256"] == sha256(weights["hand"])
    words = ("detect", "pose", "a.png", "b.png", "--weights", weights["body"], "--hands")
    done = cn(*words, cwd=tmp_path, env={"CN_WEIGHTS": str(tmp_path)})
    assert done.returncode == 4
    assert "cn weights pull openpose-hand" in done.stderr


def test_pifpaf_draws_its_own_skeletons_or_openposes(weights, tmp_path, monkeypatch):
    written(tmp_path / "a.png")
    done = cn("detect", "openpifpaf", "a.png", "b.png", "--weights", weights["pifpaf"], cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert info_of(tmp_path / "b.png").detector == "OpenPifPaf ShuffleNetV2K16"
    body = np.zeros((1, 17, 3))
    body[0, :, :2] = np.random.default_rng(0).uniform(5, 60, (17, 2))
    body[0, :, 2] = 0.9
    monkeypatch.setattr(pifpaf, "find_people", lambda *_: [CocoPeople(body, np.ones(1))])
    network = open_network("openpifpaf", str(weights["pifpaf"]))
    image = images.read(tmp_path / "a.png")
    (own,) = PifPafDetector(network).detect([image], ["a"])
    (as_openpose,) = PifPafDetector(network, style="v1.1").detect([image], ["a"])
    assert np.array_equal(own.map, coco_skeleton.draw(body, 64, 96))
    assert np.array_equal(as_openpose.map, skeleton.draw(coco_skeleton.to_openpose(body), 64, 96, "v1.1"))
    assert own.found == as_openpose.found
    assert not own.empty
    body[0, 5:] = 0
    (five,) = PifPafDetector(network).detect([image], ["a"])
    assert five.empty, "5 of 17 are less than 30 %"


def test_pickled_networks_become_safetensors_and_find_the_same(weights, tmp_path):
    written(tmp_path / "a.png")
    done = cn("convert", weights["pifpaf"], "p.safetensors", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (0, "p.safetensors\n")
    for name, file in {"pickle": weights["pifpaf"], "safetensors": "p.safetensors"}.items():
        assert cn("detect", "openpifpaf", "a.png", f"{name}.png", "--weights", file, cwd=tmp_path).returncode == 0
    assert np.array_equal(images.read(tmp_path / "pickle.png"), images.read(tmp_path / "safetensors.png"))
    again = cn("convert", weights["pifpaf"], "p.safetensors", cwd=tmp_path)
    assert (again.returncode, again.stderr.count("\n")) == (3, 1)
    assert "--overwrite" in again.stderr
    (tmp_path / "link.safetensors").symlink_to(tmp_path / "p.safetensors")
    before = (tmp_path / "p.safetensors").read_bytes()
    for target in ("p.safetensors", "link.safetensors"):
        itself = cn("convert", "p.safetensors", target, "--overwrite", cwd=tmp_path)
        assert (itself.returncode, itself.stderr.count("\n")) == (2, 1)
    assert (tmp_path / "p.safetensors").read_bytes() == before
    other = cn("convert", weights["body"], "q.safetensors", cwd=tmp_path)
    assert other.returncode == 4
    assert "holds OpenPose, a detector's network" in other.stderr
    assert not (tmp_path / "q.safetensors").exists()
    inapplicable = cn("convert", "p.safetensors", "r.safetensors", "--half", "--to", "ldm", cwd=tmp_path)
    assert (inapplicable.returncode, inapplicable.stderr.count("\n")) == (2, 1)
    assert "--to, --half: not for OpenPifPaf networks" in inapplicable.stderr
    planned = cn("convert", "p.safetensors", "r.safetensors", "--dry-run", cwd=tmp_path)
    assert (planned.returncode, planned.stdout) == (0, "")
    assert not (tmp_path / "r.safetensors").exists()


def test_options_that_the_weights_do_not_know_are_refused(tmp_path):
    written(tmp_path / "a.png")
    torch.save(fill(LightBodyNetwork()).state_dict(), tmp_path / "light.pth")
    words = ("a.png", "b.png", "--weights", "light.pth")
    done = cn("detect", "pose", *words, "--scale", "1", cwd=tmp_path)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "--scale" in done.stderr


def test_the_rule_is_applied_to_what_a_network_finds(weights, monkeypatch):
    network = open_network("openpose", str(weights["body"]))
    monkeypatch.setattr(openpose, "find_people", lambda *_: [People(few(6)[None], np.ones(1))])
    noise = np.zeros((256, 256, 3), np.uint8)
    for least, empty in ((0.3, False), (0.34, True)):
        (found,) = OpenPoseDetector(network, min_keypoints=least).detect([noise], ["a"])
        assert found.empty == empty
        assert found.map.any(), "a map of what there is"


@pytest.mark.parametrize(
    "words",
    [
        ("pose", "--canvas", "64x64"),
        ("pose", "--min-score", "0.2"),
        ("pose", "--from-json", "--all-hand-scales"),
        ("pose", "--from-json", "--hand-weights", "x"),
        ("pose", "--from-json", "--method", "light"),
        ("pose", "--from-json", "--device", "cpu"),
        ("pose", "--all-hand-scales"),
        ("pose", "--method", "light", "--scale", "1"),
        ("pose", "--method", "lsd"),
        ("openpifpaf", "--method", "k20"),
        ("pose", "--min-keypoints", "2"),
    ],
)
def test_words_that_do_not_go_together(words, tmp_path):
    written(tmp_path / "a.png")
    done = cn("detect", words[0], "a.png", "b.png", *words[1:], cwd=tmp_path)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr


@pytest.mark.parametrize(
    ("words", "name"),
    [
        (("openpose",), "openpose-body"),
        (("openpose", "--method", "light"), "openpose-light"),
        (("openpose", "--method", "keypointrcnn"), "keypointrcnn"),
        (("openpifpaf",), "pifpaf-k16"),
        (("openpifpaf", "--method", "k30"), "pifpaf-k30"),
    ],
)
def test_missing_weights_say_how_to_get_them(words, name, tmp_path):
    written(tmp_path / "a.png")
    done = cn("detect", words[0], "a.png", "b.png", *words[1:], cwd=tmp_path, env={"CN_WEIGHTS": str(tmp_path)})
    assert (done.returncode, done.stderr.count("\n")) == (4, 1)
    assert f"cn weights pull {name} " in done.stderr


def test_workers_and_batches_change_no_byte(weights, tmp_path):
    for number in range(4):
        written(tmp_path / f"{number}.png", 64 + 8 * (number % 2), 96)
    network = open_network("openpifpaf", str(weights["pifpaf"]))
    found = inputs.find(str(tmp_path), "", suffixes=images.SUFFIXES)
    for workers in (1, 2):
        work = batch.Pipeline(PifPafDetector(network), sidecars=str(tmp_path / f"k{workers}"))
        todo = jobs.of(found, str(tmp_path / f"out{workers}"))
        assert all(o.status == "written" for o in schedule.run(work, todo, 4, workers))
    for number in range(4):
        assert (tmp_path / f"out1/{number}.png").read_bytes() == (tmp_path / f"out2/{number}.png").read_bytes()
        assert (tmp_path / f"k1/{number}.json").read_bytes() == (tmp_path / f"k2/{number}.json").read_bytes()
