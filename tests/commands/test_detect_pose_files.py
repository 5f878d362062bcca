"""`cn detect openpose --from-json`: poses that were edited or made elsewhere, drawn as those that are detected."""

import json

import numpy as np
import pytest

from cn import images
from cn.detect.pose import skeleton
from cn.detect.pose.people import ImagePoses
from cn.detect.pose.pose_detection import openpose_detection
from tests.detect.pose.test_skeleton import person
from tests.helpers.cli import cn
from tests.helpers.detect_cases import info_of
from tests.helpers.people_cases import NO_HANDS, few, poses


@pytest.mark.parametrize("style", ["released", "v1.1", "v11"])
def test_poses_from_json_are_drawn_as_those_that_are_detected(style, tmp_path):
    poses(tmp_path / "a.json", person())
    done = cn("detect", "openpose", "a.json", "a.png", "--from-json", "--style", style, "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    drawn = skeleton.draw([person()], 256, 256, "released" if style == "released" else "v1.1")
    assert np.array_equal(images.read(tmp_path / "a.png"), drawn)
    record = json.loads(done.stdout)
    assert record["size"] == [256, 256]
    assert np.allclose(np.reshape(record["found"]["people"][0]["pose_keypoints_2d"], (18, 3)), person())
    larger = cn("detect", "openpose", "a.json", "b.png", "--from-json", "--resolution", "512", cwd=tmp_path)
    assert larger.returncode == 0, larger.stderr
    twice = person() * (2, 2, 1)
    assert np.array_equal(images.read(tmp_path / "b.png"), skeleton.draw([twice], 512, 512)), "as thick as ever"


def test_sidecar_files_can_be_drawn_again(tmp_path):
    (tmp_path / "in" / "sub").mkdir(parents=True)
    poses(tmp_path / "in" / "a.json", person())
    poses(tmp_path / "in" / "sub" / "b.json", person(), few(9))
    words = ("--from-json", "--recursive")
    done = cn("detect", "pose", "in", "out", *words, "--keypoints", "kept", cwd=tmp_path)
    assert sorted(done.stdout.split()) == ["out/a.png", "out/sub/b.png"]
    again = cn("detect", "pose", "kept", "again", *words, cwd=tmp_path)
    assert again.returncode == 0, again.stderr
    for name in ("a.png", "sub/b.png"):
        assert np.array_equal(images.read(tmp_path / "out" / name), images.read(tmp_path / "again" / name))
    (tmp_path / "kept" / "a.json").unlink()
    more = cn("detect", "pose", "in", "out", *words, "--keypoints", "kept", cwd=tmp_path)
    assert more.stderr == "out: 1 written, 1 already there\n", "a map without its keypoints is not done"
    assert (tmp_path / "kept" / "a.json").exists()


@pytest.mark.parametrize(("count", "rule", "person_there"), [(5, "0.3", False), (6, "0.3", True), (5, "0.25", True)])
def test_a_person_shows_thirty_percent_of_the_key_points(count, rule, person_there, tmp_path):
    poses(tmp_path / "a.json", few(count), few(2))
    words = ("--from-json", "--on-empty", "skip", "--min-keypoints", rule)
    done = cn("detect", "pose", "a.json", "a.png", *words, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "a.png").exists() == person_there
    detection = openpose_detection(ImagePoses(np.array([few(count)]), NO_HANDS, 256, 256), min_keypoints=float(rule))
    assert detection.empty != person_there


def test_nobody_is_kept_skipped_or_a_failure(tmp_path):
    poses(tmp_path / "a.json")
    for choice, code, there in (("keep", 0, True), ("skip", 0, False), ("fail", 3, False)):
        out = f"{choice}.png"
        words = ("--from-json", "--on-empty", choice, "--keypoints", "k")
        done = cn("detect", "pose", "a.json", out, *words, cwd=tmp_path)
        assert done.returncode == code
        assert (tmp_path / out).exists() == there
        assert (tmp_path / "k" / f"{choice}.json").exists() == there
    assert not images.read(tmp_path / "keep.png").any()


@pytest.mark.parametrize(
    ("content", "words", "what"),
    [
        ("[]", (), "is an empty list"),
        ('{"people": []}', (), "canvas"),
        ("not json", (), "a.json"),
    ],
)
def test_bad_files_of_poses_are_one_line(content, words, what, tmp_path):
    (tmp_path / "a.json").write_text(content)
    done = cn("detect", "pose", "a.json", "a.png", "--from-json", *words, cwd=tmp_path)
    assert (done.returncode, done.stderr.count("\n")) == (3, 1)
    assert what in done.stderr


def test_poses_come_through_a_pipe(tmp_path):
    data = poses(tmp_path / "a.json", person()).read_bytes()
    for mark in (b"", b"\xef\xbb\xbf", b" \n"):
        done = cn("detect", "pose", "-", "a.png", "--from-json", "--overwrite", cwd=tmp_path, stdin=mark + data)
        assert done.returncode == 0, done.stderr
        assert np.array_equal(images.read(tmp_path / "a.png"), skeleton.draw([person()], 256, 256))
    listed = cn("detect", "pose", "-", "out", "--from-json", cwd=tmp_path, stdin=b"a.json\n")
    assert listed.stdout == "out/a.png\n"


def test_a_canvas_can_be_given(tmp_path):
    (tmp_path / "a.json").write_text('{"people": []}')
    done = cn("detect", "pose", "a.json", "a.png", "--from-json", "--canvas", "64x32", "--json", cwd=tmp_path)
    assert json.loads(done.stdout)["size"] == [64, 32]
    assert info_of(tmp_path / "a.png").params["canvas"] == [64, 32]
    again = cn("detect", "pose", "a.json", "a.png", "--from-json", "--canvas", "64x64", cwd=tmp_path)
    assert "other settings" in again.stderr


@pytest.mark.parametrize("text", ["axb", "0x9", "99999999x512", "abcdefghx512", "20000x20000", "64x64x64", ""])
def test_what_is_no_canvas(text, tmp_path):
    (tmp_path / "a.json").write_text('{"people": []}')
    bad = cn("detect", "pose", "a.json", "b.png", "--from-json", f"--canvas={text}", cwd=tmp_path)
    assert (bad.returncode, bad.stderr.count("\n")) == (2, 1), bad.stderr


def test_a_file_of_several_images_becomes_a_folder(tmp_path):
    (tmp_path / "in").mkdir()
    record = json.loads(poses(tmp_path / "in" / "one.json", person()).read_text())
    several = [record, record | {"people": []}, record | {"canvas_width": 128}]
    (tmp_path / "in" / "film.json").write_text(json.dumps(several))
    done = cn("detect", "pose", "in", "out", "--from-json", "--json", "--keypoints", "k", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    records = {r["output"]: r for r in map(json.loads, done.stdout.splitlines())}
    assert sorted(records) == ["out/film/0000.png", "out/film/0001.png", "out/film/0002.png", "out/one.png"]
    assert [records[f"out/film/000{n}.png"]["size"] for n in range(3)] == [[256, 256], [256, 256], [128, 256]]
    assert sorted(str(p.relative_to(tmp_path / "k")) for p in (tmp_path / "k").rglob("*.json")) == [
        *(f"film/000{n}.json" for n in range(3)),
        "one.json",
    ]
    again = cn("detect", "pose", "in", "out", "--from-json", "--keypoints", "k", cwd=tmp_path)
    assert again.stderr == "out: 0 written, 4 already there\n"
    alone = cn("detect", "pose", "in/film.json", "film.png", "--from-json", cwd=tmp_path)
    assert (alone.returncode, alone.stderr.count("\n")) == (2, 1), "several maps need a folder"
    frames = cn("detect", "pose", "in/film.json", "frames", "--from-json", cwd=tmp_path)
    assert sorted(frames.stdout.split()) == [f"frames/000{n}.png" for n in range(3)]


def test_a_broken_image_spoils_no_other(tmp_path):
    record = json.loads(poses(tmp_path / "a.json", person()).read_text())
    lines = [{"output": f"o/{name}.png", "found": record} for name in "abc"]
    lines[1]["found"] = None
    (tmp_path / "all.jsonl").write_text("\n".join(map(json.dumps, lines)))
    for src, stdin in (("all.jsonl", None), ("-", (tmp_path / "all.jsonl").read_bytes())):
        done = cn("detect", "pose", src, "out", "--from-json", "--overwrite", cwd=tmp_path, stdin=stdin)
        assert done.returncode == 5
        assert sorted(done.stdout.split()) == ["out/a.png", "out/c.png"]
        assert '[1]: has no "people"' in done.stderr


@pytest.mark.parametrize(("text", "said"), [(b'{"persons": 3}', 'no "people"'), (b"[]", "empty list"), (b"{", "JSON")])
def test_what_is_wrong_with_standard_input_is_said_once_and_right(text, said, tmp_path):
    done = cn("detect", "pose", "-", "a.png", "--from-json", cwd=tmp_path, stdin=text)
    assert (done.returncode, done.stderr.count("\n")) == (3, 1)
    assert said in done.stderr
    assert "standard input" in done.stderr


def test_maps_of_a_film_replace_nobody_elses(tmp_path):
    (tmp_path / "in" / "film").mkdir(parents=True)
    record = json.loads(poses(tmp_path / "in" / "film" / "0001.json", person()).read_text())
    (tmp_path / "in" / "film.json").write_text(json.dumps([record, record]))
    done = cn("detect", "pose", "in", "out", "--from-json", "--recursive", cwd=tmp_path)
    assert (done.returncode, done.stderr.count("\n")) == (3, 1)
    assert "film.json" in done.stderr
    assert not (tmp_path / "out").exists()


def test_records_can_be_filtered_and_drawn_again(tmp_path):
    for name, people in {"a": [person()], "b": [person(), few(9)]}.items():
        poses(tmp_path / f"{name}.json", *people)
    found = cn("detect", "pose", "-", "out", "--from-json", "--json", cwd=tmp_path, stdin=b"a.json\nb.json\n")
    lines = sorted(found.stdout.splitlines(), key=lambda line: json.loads(line)["path"])
    done = cn("detect", "pose", "-", "again", "--from-json", cwd=tmp_path, stdin="\n".join(lines).encode())
    assert sorted(done.stdout.split()) == ["again/a.png", "again/b.png"], done.stderr
    for name in "ab":
        drawn = images.read(tmp_path / "out" / f"{name}.png")
        assert np.array_equal(images.read(tmp_path / "again" / f"{name}.png"), drawn)
    (tmp_path / "kept.jsonl").write_text("\n".join(lines))
    file = cn("detect", "pose", "kept.jsonl", "more", "--from-json", cwd=tmp_path)
    assert sorted(file.stdout.split()) == ["more/a.png", "more/b.png"], file.stderr


def test_hands_of_a_file_can_be_left_out(tmp_path):
    hands = np.concatenate([np.random.default_rng(0).uniform(20, 200, (21, 2)), np.full((21, 1), 0.5)], axis=1)
    record = json.loads(poses(tmp_path / "a.json", person()).read_text())
    record["people"][0]["hand_left_keypoints_2d"] = hands.ravel().tolist()
    (tmp_path / "a.json").write_text(json.dumps(record))
    drawn = {}
    for name, words in {"with": (), "without": ("--no-hands",), "sure": ("--min-score", "0.6")}.items():
        done = cn("detect", "pose", "a.json", f"{name}.png", "--from-json", *words, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        drawn[name] = images.read(tmp_path / f"{name}.png")
    assert np.array_equal(drawn["without"], skeleton.draw([person()], 256, 256))
    assert np.array_equal(drawn["sure"], drawn["without"])
    both = np.stack([hands, np.zeros((21, 3))])[None]
    assert np.array_equal(drawn["with"], skeleton.draw([person()], 256, 256, hands=both))
