"""`cn detect openpose --from-json`: poses that were edited or made elsewhere, drawn as those that are detected."""

import json

import numpy as np
import pytest
from PIL import Image

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


def with_faces(path, count, hands=False):
    """A file of `count` people with faces, and one whose points are all null; the faces (count, 70, 3)."""
    rng = np.random.default_rng(0)
    faces = np.concatenate([rng.uniform(20, 200, (count, 70, 2)), np.ones((count, 70, 1))], axis=2)
    record = json.loads(poses(path, *[person()] * count).read_text())
    for somebody, face in zip(record["people"], faces, strict=True):
        somebody["face_keypoints_2d"] = face.ravel().tolist()
        somebody["hand_left_keypoints_2d"] = face[:21].ravel().tolist() if hands else None
    record["people"].append({"pose_keypoints_2d": [None] * 54, "face_keypoints_2d": [None] * 210})
    path.write_text(json.dumps(record))
    return faces


def test_faces_are_drawn_on_request_and_kept_always(tmp_path):
    faces = with_faces(tmp_path / "a.json", 2)
    words = ("--from-json", "--keypoints", "k")
    plain = cn("detect", "pose", "a.json", "a.png", *words, "--json", cwd=tmp_path)
    assert plain.stderr == "warning: a.json: 2 faces are not drawn; --face draws them\n"
    assert np.array_equal(images.read(tmp_path / "a.png"), skeleton.draw([person()] * 2, 256, 256))
    assert json.loads(plain.stdout)["found"]["not_found"] == 1, "the person without points costs nobody anything"
    kept = json.loads((tmp_path / "k" / "a.json").read_text())["people"]
    assert np.allclose([somebody["face_keypoints_2d"] for somebody in kept], faces.reshape(2, -1))
    drawn = cn("detect", "pose", "a.json", "a.png", *words, "--face", "--overwrite", cwd=tmp_path)
    assert (drawn.returncode, drawn.stderr) == (0, "")
    both = skeleton.draw([person()] * 2, 256, 256, faces=faces)
    assert np.array_equal(images.read(tmp_path / "a.png"), both)
    again = cn("detect", "pose", "k/a.json", "b.png", "--from-json", "--face", cwd=tmp_path)
    assert again.returncode == 0, again.stderr
    assert np.array_equal(images.read(tmp_path / "b.png"), both)
    quiet = cn("detect", "pose", "a.json", "c.png", "--from-json", "--no-face", cwd=tmp_path)
    assert (quiet.returncode, quiet.stderr) == (0, "")
    other = cn("detect", "pose", "a.json", "c.png", "--from-json", "--face", cwd=tmp_path)
    assert "other settings" in other.stderr


def test_faces_of_many_files_are_said_once(tmp_path):
    (tmp_path / "in").mkdir()
    for count in (1, 2, 3):
        with_faces(tmp_path / "in" / f"{count}.json", count)
    done = cn("detect", "pose", "in", "out", "--from-json", cwd=tmp_path)
    assert done.stderr == "out: 3 written\nwarning: faces are not drawn; --face draws them (3 images)\n"


def test_hands_that_are_not_drawn_are_kept(tmp_path):
    faces = with_faces(tmp_path / "a.json", 1, hands=True)
    words = ("--from-json", "--no-hands", "--no-face", "--keypoints", "k")
    assert cn("detect", "pose", "a.json", "a.png", *words, cwd=tmp_path).returncode == 0
    (kept,) = json.loads((tmp_path / "k" / "a.json").read_text())["people"]
    assert np.allclose(kept["hand_left_keypoints_2d"], faces[0, :21].ravel())


def test_feet_are_kept(tmp_path):
    points = np.column_stack([np.arange(25) + 20.0, np.full(25, 30.0), np.ones(25)])
    record = {"people": [{"pose_keypoints_2d": points.ravel().tolist()}], "canvas_width": 64, "canvas_height": 64}
    (tmp_path / "a.json").write_text(json.dumps(record))
    for source, folder in (("a.json", "k"), ("k/a.json", "l")):
        words = ("--from-json", "--keypoints", folder, "--overwrite")
        assert cn("detect", "pose", source, "a.png", *words, cwd=tmp_path).returncode == 0
        (kept,) = json.loads((tmp_path / folder / "a.json").read_text())["people"]
        assert kept["foot_keypoints_2d"] == points[19:25].ravel().tolist()
        assert len(kept["pose_keypoints_2d"]) == 54


def test_one_image_or_all_of_the_annotations_of_coco(tmp_path):
    body = [value for x in range(17) for value in (10 * x + 20, 10 * x + 5, 2)]
    photos = [{"id": n, "file_name": f"{n:012}.jpg", "width": 300, "height": 200} for n in (139, 285)]
    annotations = [{"image_id": 139, "category_id": 1, "keypoints": body, "num_keypoints": 17}]
    (tmp_path / "person.json").write_text(json.dumps({"images": photos, "annotations": annotations}))
    done = cn("detect", "pose", "person.json", "out", "--from-json", "--on-empty", "skip", cwd=tmp_path)
    assert done.stdout == "out/000000000139.png\n", done.stderr
    one = cn("detect", "pose", "person.json", "one.png", "--from-json", "--image-id", "139", cwd=tmp_path)
    assert one.returncode == 0, one.stderr
    assert np.array_equal(images.read(tmp_path / "one.png"), images.read(tmp_path / "out" / "000000000139.png"))
    assert info_of(tmp_path / "one.png").params["image_id"] == "139"
    none = cn("detect", "pose", "person.json", "x.png", "--from-json", "--image-id", "7", cwd=tmp_path)
    assert (none.returncode, none.stderr) == (3, "cn: person.json: has no image 7; it has 2: 139, 285\n")


def test_sizes_are_taken_from_the_images(tmp_path):
    (tmp_path / "photos" / "sub").mkdir(parents=True)
    Image.new("RGB", (80, 60)).save(tmp_path / "photos" / "a.png")
    turned = Image.new("RGB", (80, 60))
    turned.getexif()[0x0112] = 6
    turned.save(tmp_path / "photos" / "sub" / "b.jpg", exif=turned.getexif())
    (tmp_path / "in").mkdir()
    line = "0 0.5 0.5 0.4 0.4 " + " ".join(f"0.{k + 10} 0.5 2" for k in range(17))
    for name in "ab":
        (tmp_path / "in" / f"{name}.txt").write_text(f"{line}\n")
    done = cn("detect", "pose", "in", "out", "--from-yolo", "--images", "photos", "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    sizes = {record["path"]: record["size"] for record in map(json.loads, done.stdout.splitlines())}
    assert sizes == {"in/a.txt": [80, 60], "in/b.txt": [60, 80]}, "as seen, after rotation"
    openpose = {"people": [{"pose_keypoints_2d": [30.0, 30.0, 0.9] * 25}]}
    (tmp_path / "a_keypoints.json").write_text(json.dumps(openpose))
    words = ("--from-json", "--images", "photos")
    read = cn("detect", "pose", "a_keypoints.json", "a.png", *words, "--json", cwd=tmp_path)
    assert json.loads(read.stdout)["size"] == [80, 60]
    (tmp_path / "c.json").write_text(json.dumps(openpose))
    missing = cn("detect", "pose", "c.json", "c.png", *words, cwd=tmp_path)
    assert (missing.returncode, missing.stderr) == (
        3,
        "cn: photos: has no image called c; sizes are taken from the images there\n",
    )
    Image.new("RGB", (8, 6)).save(tmp_path / "photos" / "sub" / "a.jpg")
    twice = cn("detect", "pose", "a_keypoints.json", "d.png", *words, cwd=tmp_path)
    assert (twice.returncode, twice.stderr.count("\n")) == (3, 1)
    assert "2 images are called a" in twice.stderr


def test_a_canvas_that_the_file_has_or_that_cannot_be_right_is_said(tmp_path):
    poses(tmp_path / "a.json", person())
    own = cn("detect", "pose", "a.json", "a.png", "--from-json", "--canvas", "64x64", cwd=tmp_path)
    assert own.stderr == ("warning: a.json: the file's own size of the canvas is used, not that of --canvas: 256×256\n")
    (tmp_path / "b.json").write_text(json.dumps({"people": [{"pose_keypoints_2d": [100.0, 40.0, 1.0] * 18}]}))
    small = cn("detect", "pose", "b.json", "b.png", "--from-json", "--canvas", "64x64", cwd=tmp_path)
    assert small.stderr == (
        "warning: b.json: 18 of 18 points are outside of the canvas; is it the size of the image?\n"
    )
    half = [100.0, 40.0, 1.0] * 9 + [40.0, 40.0, 1.0] * 9
    (tmp_path / "c.json").write_text(json.dumps({"people": [{"pose_keypoints_2d": half}]}))
    cropped = cn("detect", "pose", "c.json", "c.png", "--from-json", "--canvas", "64x64", cwd=tmp_path)
    assert cropped.stderr == "", "a person who is cut by the edge is right"


@pytest.mark.parametrize(
    "words",
    [
        ("--from-json", "--from-yolo"),
        ("--from-json", "--canvas", "9x9", "--images", "."),
        ("--face",),
        ("--images", "."),
        ("--image-id", "1"),
        ("--from-yolo", "--method", "light"),
    ],
)
def test_options_that_do_not_go_together(words, tmp_path):
    poses(tmp_path / "a.json", person())
    done = cn("detect", "pose", "a.json", "a.png", *words, cwd=tmp_path)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr


def test_labels_of_yolo_given_as_json_are_told_how_to_be_read(tmp_path):
    (tmp_path / "a.txt").write_text("0 0.5 0.5 0.1 0.1\n")
    done = cn("detect", "pose", "a.txt", "a.png", "--from-json", "--canvas", "64x64", cwd=tmp_path)
    assert (done.returncode, done.stderr.count("\n")) == (3, 1)
    assert done.stderr.endswith("YOLO's labels are read with --from-yolo\n")


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
