"""Files of people as JSON: lists, lines, names of their images, and errors in one line."""

import json

import numpy as np
import pytest

from cn.detect.pose import json_files
from cn.errors import InputError
from tests.helpers.people_cases import image_record, only, parse, random_body


def read(path):
    return [json_files.open_poses(path).image()]


def test_records_of_the_command_line_are_read_also_one_per_line():
    records = [{"path": f"{n}.jpg", "status": "written", "found": image_record(random_body(n))} for n in range(3)]
    assert np.array_equal(only(parse(json.dumps(records[1]), "p")).people[0], random_body(1))
    lines = "\n".join(map(json.dumps, records)) + "\n\n"
    for text in (lines, lines.encode("utf-8-sig"), json.dumps(records)):
        assert [np.array_equal(poses.people[0], random_body(n)) for n, poses in enumerate(parse(text, "p"))] == [
            True
        ] * 3
    with pytest.raises(InputError, match=r"^p\[1\]: has no \"people\""):
        parse(json.dumps(records[0]) + "\n" + json.dumps({"path": "x", "status": "failed", "found": None}), "p")
    with pytest.raises(InputError, match=r"^p: invalid JSON"):
        parse(json.dumps(records[0]) + "\n" + json.dumps(records[1])[:-9], "p")


@pytest.mark.parametrize(
    ("outputs", "names"),
    [
        (["o/a.png", "o/sub/b.png"], ["a", "sub/b"]),
        (["o/x.y.png", "o/x.z.png"], ["x.y", "x.z"]),
        (["a.png", "a.png"], ["0000", "0001"]),
        (["a.png", None], ["0000", "0001"]),
        (["o/a.png", "o/a.jpg"], ["0000", "0001"]),
        (["a.png", 7], ["0000", "0001"]),
        (["a.png", "b\0.png"], ["0000", "0001"]),
        (["/etc/a.png", "/b.png"], ["etc/a", "b"]),
    ],
)
def test_images_are_named_like_their_maps(outputs, names):
    records = [{"output": output, "found": image_record(random_body())} for output in outputs]
    assert json_files.parse(json.dumps(records), "p").names() == names


def test_no_name_leads_out_of_the_output_folder():
    records = [
        {"output": output, "found": image_record(random_body())}
        for output in ("../../../../../a.png", "../b.png", "c.png")
    ]
    names = json_files.parse(json.dumps(records), "p").names()
    assert not any(".." in name or name.startswith("/") for name in names)


def test_long_numbers_and_other_encodings_are_refused():
    with pytest.raises(InputError, match=r"p: invalid JSON: it holds a number with too many digits$"):
        parse('{"people": [], "canvas_width": ' + "9" * 5000 + "}", "p")
    with pytest.raises(InputError, match="p: is UTF-16; save it as UTF-8"):
        parse(json.dumps(image_record(random_body())).encode("utf-16"), "p")


def changed(change):
    made = image_record(random_body(), random_body(1))
    change(made)
    return json.dumps(made)


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("", "p: invalid JSON: Expecting value"),
        ("{", "p: invalid JSON"),
        ("[" * 100_000, "p: invalid JSON: it is nested too deeply"),
        ("[]", "p: is an empty list"),
        ("3", 'p: is a number, where an image is an object with "people"'),
        ('["a"]', r"p\[0\]: is a string, where"),
        ("null", "p: is null, where"),
        ('{"width": 3, "keypoints": []}', 'p: has no "people"'),
        ('{"people": {}}', "p: people is an object, not a list"),
        ('{"people": [3]}', r"p: has no canvas size"),
        (changed(lambda p: p["people"].append(3)), r"p: people\[2\] is a number, where a person is an object"),
        (changed(lambda p: p.pop("canvas_width")), "p: canvas_width is null, not a number"),
        (changed(lambda p: p.update(canvas_width=0)), "p: canvas_width is 0, where a number of pixels"),
        (changed(lambda p: p.update(canvas_height=2.5)), "p: canvas_height is 2.5, where a number of pixels"),
        (changed(lambda p: p.update(canvas_height="512")), "p: canvas_height is a string, not a number"),
        (changed(lambda p: p.update(canvas_height=10**9)), "p: canvas of 300×1000000000 pixels is too large"),
        (changed(lambda p: p.update(canvas_height=10**400)), "p: canvas_height is not a finite number"),
        (
            changed(lambda p: p["people"][1].update(pose_keypoints_2d={})),
            r"p: people\[1\]\.pose_keypoints_2d is an object, not a list",
        ),
        (
            changed(lambda p: p["people"][1]["pose_keypoints_2d"].pop()),
            r"p: people\[1\]\.pose_keypoints_2d has 53 numbers, where x, y and score of 18 or 25 or 17 points",
        ),
        (
            changed(lambda p: p["people"][0].update(hand_left_keypoints_2d=[1.0] * 60)),
            r"p: people\[0\]\.hand_left_keypoints_2d has 60 numbers, where x, y and score of 21 points",
        ),
        (
            changed(lambda p: p["people"][0]["pose_keypoints_2d"].__setitem__(5, float("inf"))),
            r"p: people\[0\]\.pose_keypoints_2d\[5\] is not a finite number",
        ),
        (
            changed(lambda p: p["people"][0]["pose_keypoints_2d"].__setitem__(5, "12")),
            r"p: people\[0\]\.pose_keypoints_2d\[5\] is a string, not a number",
        ),
        (
            changed(lambda p: p["people"][0]["pose_keypoints_2d"].__setitem__(7, True)),
            r"p: people\[0\]\.pose_keypoints_2d\[7\] is true or false, not a number",
        ),
    ],
)  # fmt: skip
def test_invalid_files_are_refused_with_one_line(text, what):
    with pytest.raises(InputError, match="^" + what) as refusal:
        parse(text, "p")
    assert "\n" not in str(refusal.value)


def test_files(tmp_path):
    path = tmp_path / "poses.json"
    path.write_text("\ufeff" + json.dumps(image_record(random_body())), encoding="utf-8")
    assert np.array_equal(only(read(path)).people[0], random_body())
    path.write_bytes(b"\xff\xfe{}")
    with pytest.raises(InputError, match=r"poses\.json: is UTF-16"):
        read(path)
    with pytest.raises(InputError, match=r"missing\.json: cannot be read: No such file"):
        read(tmp_path / "missing.json")


def test_huge_files_are_refused_before_they_are_parsed(tmp_path, monkeypatch):
    monkeypatch.setattr("cn.detect.pose.json_files.MAX_BYTES", 1 << 20)
    (tmp_path / "large.json").write_bytes(b" " * (1 << 20) + b"{}")
    with pytest.raises(InputError, match=r"large\.json: more than 1 MB"):
        read(tmp_path / "large.json")
