"""Sidecar files (`--keypoints`, `--ids`): no existing file is lost, and none is incomplete."""

import json

import numpy as np
import pytest
from PIL import Image

from cn import images
from cn.detect.segmentation.palettes import ADE20K, paint
from tests.detect.pose.test_skeleton import person
from tests.helpers.cli import cn
from tests.helpers.people_cases import few, poses

LABELS = np.array([[0, 1, 2], [3, 4, 150]], np.uint8)
CHALLENGE = ("--from-labels", "challenge")


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "poses" / "sub").mkdir(parents=True)
    (tmp_path / "labels" / "sub").mkdir(parents=True)
    for place in ("", "sub/"):
        poses(tmp_path / "poses" / f"{place}a.json", person(), face_of_somebody=[1, 2, 3])
        Image.fromarray(LABELS).save(tmp_path / "labels" / f"{place}a.png")
    return tmp_path


def contents(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize(
    "words",
    [
        ("pose", "poses", "out", "--from-json", "--keypoints", "poses"),
        ("pose", "poses", "out", "--from-json", "--keypoints", "./poses/../poses"),
        ("pose", "poses/*.json", "out", "--from-json", "--keypoints", "poses"),
        ("pose", "poses/a.json", "a.png", "--from-json", "--keypoints", "poses"),
        ("pose", "poses/a.json", "out/", "--from-json", "--keypoints", "poses"),
        ("seg", "labels", "out", *CHALLENGE, "--ids", "labels"),
        ("seg", "labels", "out", *CHALLENGE, "--ids", "out"),
        ("seg", "labels/a.png", "out/a.png", *CHALLENGE, "--ids", "out"),
        ("seg", "labels/a.png", "out/", *CHALLENGE, "--ids", "labels"),
    ],
)
@pytest.mark.parametrize("overwrite", [(), ("--overwrite",)])
def test_folders_that_would_lose_something_are_refused(words, overwrite, folder):
    before = contents(folder)
    done = cn("detect", *words, *overwrite, cwd=folder)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr
    assert contents(folder) == before


@pytest.mark.parametrize(
    "words",
    [
        ("pose", "poses", "out", "--from-json", "--recursive", "--keypoints", "poses/sub"),
        ("seg", "labels", "out", *CHALLENGE, "--recursive", "--ids", "labels/sub"),
    ],
)
def test_what_lies_in_the_folder_already_is_not_replaced(words, folder):
    Image.fromarray(LABELS[::-1]).save(folder / "labels" / "sub" / "a.png")
    before = contents(folder)
    done = cn("detect", *words, cwd=folder)
    assert done.returncode == 3
    assert "--overwrite" in done.stderr
    assert contents(folder) == before


def test_keypoints_may_be_written_into_the_folder_of_maps_or_photographs(folder):
    done = cn("detect", "pose", "poses", "out", "--from-json", "--keypoints", "out", cwd=folder)
    assert done.returncode == 0, done.stderr
    assert sorted(path.name for path in (folder / "out").iterdir()) == ["a.json", "a.png"]


def test_ids_below_the_labels_are_no_labels_the_next_time(folder):
    words = ("seg", "labels", "out", *CHALLENGE, "--recursive", "--ids", "labels/ids")
    for line in ("2 written", "0 written, 2 already there"):
        done = cn("detect", *words, cwd=folder)
        assert done.stderr == f"out: {line}\n"
    assert images.read(folder / "labels/ids/sub/a.png")[..., 0].tolist() == [[255, 0, 1], [2, 3, 149]]


def test_key_points_that_somebody_has_edited_are_kept(folder):
    words = ("detect", "pose", "poses", "out", "--from-json", "--keypoints", "k")
    assert cn(*words, cwd=folder).returncode == 0
    (folder / "out" / "a.png").unlink()
    same = cn(*words, cwd=folder)
    assert same.stderr.startswith("out: 1 written"), "what an interrupted run has left is no obstacle"
    (folder / "out" / "a.png").unlink()
    edited = poses(folder / "k" / "a.json", few(9)).read_bytes()
    done = cn(*words, cwd=folder)
    assert done.returncode == 3
    assert "k/a.json" in done.stderr
    assert "--overwrite" in done.stderr
    assert (folder / "k" / "a.json").read_bytes() == edited
    assert not (folder / "out" / "a.png").exists()
    assert cn(*words, "--overwrite", cwd=folder).returncode == 0
    assert len(json.loads((folder / "k" / "a.json").read_text())["people"]) == 1
    assert (folder / "k" / "a.json").read_bytes() != edited


def test_ids_that_differ_are_kept_too(folder):
    words = ("detect", "seg", "labels/a.png", "out/a.png", *CHALLENGE, "--ids", "ids")
    assert cn(*words, cwd=folder).returncode == 0
    (folder / "out" / "a.png").unlink()
    assert cn(*words, cwd=folder).returncode == 0
    (folder / "out" / "a.png").unlink()
    Image.fromarray(LABELS).save(folder / "ids" / "a.png")
    assert cn(*words, cwd=folder).returncode == 3
    assert images.read(folder / "ids" / "a.png")[..., 0].tolist() == LABELS.tolist()


def test_where_nothing_is_found_now_nothing_stays_of_the_last_time(folder):
    words = ("detect", "pose", "poses", "out", "--from-json", "--keypoints", "k", "--overwrite", "--on-empty", "skip")
    assert cn(*words, cwd=folder).returncode == 0
    assert (folder / "k" / "a.json").exists()
    assert cn(*words, "--min-keypoints", "1", "--no-hands", cwd=folder).returncode == 0
    poses(folder / "poses" / "a.json", few(3))
    done = cn(*words, cwd=folder)
    assert "1 with nothing found" in done.stderr
    assert not (folder / "k" / "a.json").exists()
    assert not (folder / "out" / "a.png").exists()


def test_maps_say_the_same_as_their_ids(folder):
    assert cn("detect", "seg", "labels", "out", *CHALLENGE, "--ids", "ids", cwd=folder).returncode == 0
    ids = images.read(folder / "ids" / "a.png")[..., 0]
    assert np.array_equal(images.read(folder / "out" / "a.png"), paint(ids, ADE20K))


def test_results_that_are_links_to_sources_are_refused(folder):
    """Writing through them would replace what is read."""
    (folder / "out").mkdir()
    (folder / "ids").mkdir()
    (folder / "k").mkdir()
    Image.fromarray(LABELS).save(folder / "labels" / "b.png")
    for link, source in {"out/a.png": "labels/a.png", "ids/b.png": "labels/b.png", "k/a.json": "poses/a.json"}.items():
        (folder / link).symlink_to(folder / source)
    poses(folder / "poses" / "b.json", person())
    before = contents(folder)
    for words in (
        ("seg", "labels", "out", *CHALLENGE),
        ("seg", "labels", "free", *CHALLENGE, "--ids", "ids"),
        ("pose", "poses", "free", "--from-json", "--keypoints", "k"),
    ):
        done = cn("detect", *words, "--overwrite", cwd=folder)
        assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr
        assert "link" in done.stderr
    assert contents(folder) == before


def test_maps_that_no_reader_would_open_are_refused(tmp_path):
    np.save(tmp_path / "wide.npy", np.zeros((1, 1_000_001), np.uint8))
    done = cn("detect", "seg", "wide.npy", "out.png", "--from-labels", "ids", cwd=tmp_path)
    assert (done.returncode, done.stderr.count("\n")) == (3, 1), done.stderr
    assert "1,000,000" in done.stderr


def test_a_record_and_a_map_do_not_share_standard_output(folder):
    done = cn("detect", "pose", "poses/a.json", "-", "--from-json", "--json", cwd=folder)
    assert (done.returncode, done.stdout) == (2, "")
