"""People as JSON: every dialect of OpenPose, the web UIs and their editors; and what is refused, in one line."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cn.detect.pose import json_files
from cn.detect.pose.json_format import Posed, record, write
from cn.errors import InputError


def parse(text, name, size=None, least=None):
    """All images of a text."""
    poses = json_files.parse(text, name)
    return [poses.picture(number, size, least) for number in range(len(poses))]


def read(path):
    return [json_files.open_poses(path).picture()]


def person(seed=0, width=300, height=200, points=18):
    rng = np.random.default_rng(seed)
    return np.column_stack([rng.uniform(0, width, points), rng.uniform(0, height, points), np.ones(points)])


def picture(*bodies, hands=None, **more):
    """The object of one picture."""
    people = [{"pose_keypoints_2d": body.ravel().tolist()} for body in bodies]
    if hands is not None:
        people[0] |= {"hand_left_keypoints_2d": hands.ravel().tolist()}
    return {"people": people, "canvas_width": 300, "canvas_height": 200} | more


def only(pictures):
    (posed,) = pictures
    return posed


def test_what_the_editor_writes_is_read():
    body = person()
    body[4] = 0
    hands = person(1, points=21)
    posed = only(parse(json.dumps(picture(body, person(2), hands=hands)), "poses.json"))
    assert (posed.height, posed.width) == (200, 300)
    assert np.array_equal(posed.people, [body, person(2)])
    assert posed.people.dtype == np.float64
    assert np.array_equal(posed.hands[0, 0], hands)
    assert not posed.hands[0, 1].any()
    assert not posed.hands[1].any()


def test_a_list_holds_an_image_each():
    first, second = parse(json.dumps([picture(person()), picture(person(1), canvas_width=600)]), "poses.json")
    assert (first.width, second.width) == (300, 600)
    assert np.array_equal(second.people[0], person(1))


def test_shares_of_the_canvas_become_pixels():
    body, hands = person(), person(1, points=21)
    shares = [points / (300, 200, 1) for points in (body, hands)]
    # The extension puts hand points that it did not find a little outside of the canvas.
    shares[1][3] = (-1 / 300, -1 / 200, 1)
    shares[1][4, 0] = 1.2
    hands[4, 0] = 360
    posed = only(parse(json.dumps(picture(shares[0], hands=shares[1])), "poses.json"))
    assert np.allclose(posed.people[0], body)
    assert np.allclose(posed.hands[0, 0, 3], (-1, -1, 1))
    assert np.allclose(np.delete(posed.hands[0, 0], 3, 0), np.delete(hands, 3, 0))


@pytest.mark.parametrize("outlier", [(0.4, 2.1), (9.0, 0.5), (0.5, -3.0)])
def test_one_place_far_outside_makes_no_pixels_of_shares(outlier):
    body = person()
    shares = body / (300, 200, 1)
    shares[9, :2] = outlier
    posed = only(parse(json.dumps(picture(shares)), "p"))
    assert np.allclose(np.delete(posed.people[0], 9, 0), np.delete(body, 9, 0))
    assert np.allclose(posed.people[0, 9, :2], np.multiply(outlier, (300, 200)))


def test_bodies_and_hands_may_be_written_in_different_ways():
    shares, hands = person() / (300, 200, 1), person(1, points=21)
    posed = only(parse(json.dumps(picture(shares, hands=hands)), "p"))
    assert np.allclose(posed.people[0], person())
    assert np.array_equal(posed.hands[0, 0], hands)


def test_places_from_minus_one_to_one_are_refused():
    body = person() / (150, 100, 1) - (1, 1, 0)
    with pytest.raises(InputError, match=r"^p: its places go from -1 to 1"):
        parse(json.dumps(picture(body)), "p")


def test_what_openpose_has_not_seen_is_left_out_unless_asked_for():
    """It writes all points of a hand, with small scores where there is none."""
    body, hands = person(), person(1, points=21)
    body[:2, 2] = (0.04, 0.06)
    hands[:, 2] = 0.003
    hands[:3, 2] = (0.19, 0.21, 0.9)
    own = picture(body, hands=hands)
    del own["canvas_width"], own["canvas_height"]
    posed = only(parse(json.dumps(own), "p", (200, 300)))
    assert np.flatnonzero(posed.people[0, :, 2] == 0).tolist() == [0]
    assert np.flatnonzero(posed.hands[0, 0, :, 2]).tolist() == [1, 2]
    assert not posed.hands[0, 0, 3].any()
    edited = only(parse(json.dumps(picture(body, hands=hands)), "p"))
    assert (edited.people[0, :, 2] > 0).all()
    assert (edited.hands[0, 0, :, 2] > 0).all()
    chosen = only(parse(json.dumps(own), "p", (200, 300), 0.05))
    assert (chosen.people[0, 1:, 2] > 0).all()
    assert np.flatnonzero(chosen.hands[0, 0, :, 2]).tolist() == [0, 1, 2]


def test_records_of_the_command_line_are_read_also_a_line_each():
    records = [{"path": f"{n}.jpg", "status": "written", "found": picture(person(n))} for n in range(3)]
    assert np.array_equal(only(parse(json.dumps(records[1]), "p")).people[0], person(1))
    lines = "\n".join(map(json.dumps, records)) + "\n\n"
    for text in (lines, lines.encode("utf-8-sig"), json.dumps(records)):
        assert [np.array_equal(posed.people[0], person(n)) for n, posed in enumerate(parse(text, "p"))] == [True] * 3
    with pytest.raises(InputError, match=r"^p\[1\]: has no \"people\""):
        parse(json.dumps(records[0]) + "\n" + json.dumps({"path": "x", "status": "failed", "found": None}), "p")
    with pytest.raises(InputError, match=r"^p: is no JSON"):
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
def test_images_are_called_as_their_maps_were(outputs, names):
    records = [{"output": output, "found": picture(person())} for output in outputs]
    assert json_files.parse(json.dumps(records), "p").names() == names


def test_no_name_leads_out_of_the_folder_of_results():
    records = [
        {"output": output, "found": picture(person())} for output in ("../../../../../a.png", "../b.png", "c.png")
    ]
    names = json_files.parse(json.dumps(records), "p").names()
    assert not any(".." in name or name.startswith("/") for name in names)


def test_more_people_than_any_crowd_has_are_refused(monkeypatch):
    monkeypatch.setattr("cn.detect.pose.json_format.MOST_PEOPLE", 2)
    assert len(only(parse(json.dumps(picture(person(), person())), "p")).people) == 2
    with pytest.raises(InputError, match="p: has 3 people"):
        parse(json.dumps(picture(person(), person(), person())), "p")


def test_absurd_numbers_and_other_encodings_are_named():
    with pytest.raises(InputError, match=r"p: holds a number with too many digits$"):
        parse('{"people": [], "canvas_width": ' + "9" * 5000 + "}", "p")
    with pytest.raises(InputError, match="p: is not UTF-8"):
        parse(json.dumps(picture(person())).encode("utf-16"), "p")


def test_a_given_canvas_may_be_too_large():
    with pytest.raises(InputError, match="too large"):
        parse('{"people": []}', "p", (100_000, 100_000))


def test_pixels_stay_pixels_when_few_points_were_found():
    body = np.zeros((18, 3))
    body[0] = (0.5, 40, 1)
    assert np.array_equal(only(parse(json.dumps(picture(body)), "p")).people[0], body)


def test_openpose_itself_has_25_points_scores_and_no_canvas():
    body = person(points=25)
    body[:, 2] = np.linspace(0.1, 0.9, 25)
    text = json.dumps({"version": 1.3, "people": [{"person_id": [-1], "pose_keypoints_2d": body.ravel().tolist()}]})
    posed = only(parse(text, "p_keypoints.json", size=(480, 640)))
    assert (posed.height, posed.width) == (480, 640)
    assert np.array_equal(posed.people[0], np.delete(body[:19], 8, 0))
    with pytest.raises(InputError, match=r"^p_keypoints\.json: does not say how large .*canvas_width, canvas_height"):
        parse(text, "p_keypoints.json")


def test_a_given_size_does_not_replace_the_canvas():
    assert only(parse(json.dumps(picture(person())), "p", size=(9, 9))).width == 300


def test_coco_has_17_points_and_gets_a_neck():
    body = person(points=17)
    posed = only(parse(json.dumps(picture(body)), "p"))
    assert np.array_equal(posed.people[0, 0], body[0])
    assert np.allclose(posed.people[0, 1, :2], (body[5, :2] + body[6, :2]) / 2)
    assert np.array_equal(posed.people[0, 2], body[6]), "the right shoulder"
    assert np.array_equal(posed.people[0, 17], body[3]), "the left ear"


def test_the_first_versions_of_openpose_had_shorter_names():
    text = json.dumps({"people": [{"pose_keypoints": person().ravel().tolist()}]})
    assert np.array_equal(only(parse(text, "p", (200, 300))).people[0], person())


@pytest.mark.parametrize(
    "nobody", [{}, {"pose_keypoints_2d": None}, {"pose_keypoints_2d": []}, picture(np.zeros((18, 3)))["people"][0]]
)
def test_people_without_key_points_are_left_out(nobody):
    posed = only(parse(json.dumps({"people": [nobody], "canvas_width": 30, "canvas_height": 20}), "p"))
    assert posed.people.shape == (0, 18, 3)
    assert posed.hands.shape == (0, 2, 21, 3)


def test_hands_alone_are_kept():
    alone = {"hand_right_keypoints_2d": person(points=21).ravel().tolist()}
    posed = only(parse(json.dumps({"people": [alone], "canvas_width": 300, "canvas_height": 200}), "p"))
    assert not posed.people.any()
    assert np.array_equal(posed.hands[0, 1], person(points=21))


def test_animals_are_passed_over():
    text = json.dumps({"animals": [[1.0] * 51], "version": "ap10k", "canvas_width": 30, "canvas_height": 20})
    assert len(only(parse(text, "p")).people) == 0


def test_points_without_a_score_are_not_found():
    body = person()
    body[3, 2], body[7, 2] = 0, -1
    posed = only(parse(json.dumps(picture(body)), "p"))
    assert not posed.people[0, [3, 7]].any()


def changed(change):
    made = picture(person(), person(1))
    change(made)
    return json.dumps(made)


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("", "p: is no JSON: Expecting value"),
        ("{", "p: is no JSON"),
        ("[" * 100_000, "p: is nested too deeply"),
        ("[]", "p: is an empty list"),
        ("3", 'p: is a number, where an image is an object with "people"'),
        ('["a"]', r"p\[0\]: is a text, where"),
        ("null", "p: is null, where"),
        ('{"width": 3, "keypoints": []}', 'p: has no "people"'),
        ('{"people": {}}', "p: people is an object, not a list"),
        ('{"people": [3]}', r"p: does not say how large"),
        (changed(lambda p: p["people"].append(3)), r"p: people\[2\] is a number, where a person is an object"),
        (changed(lambda p: p.pop("canvas_width")), "p: canvas_width is null, not a number"),
        (changed(lambda p: p.update(canvas_width=0)), "p: canvas_width is 0, where a number of pixels"),
        (changed(lambda p: p.update(canvas_height=2.5)), "p: canvas_height is 2.5, where a number of pixels"),
        (changed(lambda p: p.update(canvas_height="512")), "p: canvas_height is a text, not a number"),
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
            changed(lambda p: p["people"][0]["pose_keypoints_2d"].__setitem__(5, float("nan"))),
            r"p: people\[0\]\.pose_keypoints_2d\[5\] is not a finite number",
        ),
        (
            changed(lambda p: p["people"][0]["pose_keypoints_2d"].__setitem__(5, "12")),
            r"p: people\[0\]\.pose_keypoints_2d\[5\] is a text, not a number",
        ),
        (
            changed(lambda p: p["people"][0]["pose_keypoints_2d"].__setitem__(7, True)),
            r"p: people\[0\]\.pose_keypoints_2d\[7\] is true or false, not a number",
        ),
        (
            changed(lambda p: p["people"][0]["pose_keypoints_2d"].__setitem__(7, None)),
            r"p: people\[0\]\.pose_keypoints_2d\[7\] is null, not a number",
        ),
    ],
)  # fmt: skip
def test_what_cannot_be_understood_is_named_in_one_line(text, what):
    with pytest.raises(InputError, match="^" + what) as refusal:
        parse(text, "p")
    assert "\n" not in str(refusal.value)


def test_files(tmp_path):
    path = tmp_path / "poses.json"
    path.write_text("\ufeff" + json.dumps(picture(person())), encoding="utf-8")
    assert np.array_equal(only(read(path)).people[0], person())
    path.write_bytes(b"\xff\xfe{}")
    with pytest.raises(InputError, match=r"poses\.json: is not UTF-8"):
        read(path)
    with pytest.raises(InputError, match=r"missing\.json: cannot be read: No such file"):
        read(tmp_path / "missing.json")


def test_files_of_absurd_size_are_refused_before_they_are_parsed(tmp_path, monkeypatch):
    monkeypatch.setattr("cn.detect.pose.json_files.LARGEST", 1 << 20)
    (tmp_path / "large.json").write_bytes(b" " * (1 << 20) + b"{}")
    with pytest.raises(InputError, match=r"large\.json: more than 1 MB"):
        read(tmp_path / "large.json")


def posed(people, hands=None):
    hands = np.zeros((len(people), 2, 21, 3)) if hands is None else hands
    return Posed(np.array(people, np.float64).reshape(-1, 18, 3), hands, 200, 300)


def test_what_is_written_is_what_the_web_uis_read():
    body, hands = person(), np.zeros((1, 2, 21, 3))
    body[:, 2] = 0.37
    body[5] = 0
    hands[0, 1] = person(1, points=21)
    made = json.loads(write(posed([body], hands)))
    assert (made["canvas_width"], made["canvas_height"]) == (300, 200)
    (somebody,) = made["people"]
    assert somebody["face_keypoints_2d"] is somebody["hand_left_keypoints_2d"] is None
    numbers = np.array(somebody["pose_keypoints_2d"]).reshape(18, 3)
    assert np.array_equal(numbers[:, :2], body[:, :2])
    # Their editors take nothing below 1.
    assert numbers[:, 2].tolist() == [1.0] * 5 + [0.0] + [1.0] * 12
    assert np.array_equal(np.array(somebody["hand_right_keypoints_2d"]).reshape(21, 3), hands[0, 1])


def test_nobody_is_written_too():
    assert json.loads(write(posed([]))) == record(posed([]))
    assert record(posed([])) == {"people": [], "canvas_height": 200, "canvas_width": 300}


def test_points_that_are_not_finite_are_written_as_not_found():
    body = person()
    body[2, 0] = np.nan
    assert json.loads(write(posed([body])))["people"][0]["pose_keypoints_2d"][6:9] == [0.0, 0.0, 0.0]


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(0, 4), st.booleans())
def test_what_is_written_is_read_again(seed, count, scores):
    rng = np.random.default_rng(seed)
    people = np.concatenate([rng.uniform(-50, 400, (count, 18, 2)), rng.uniform(0.01, 1.2, (count, 18, 1))], axis=2)
    hands = np.concatenate([rng.uniform(0, 300, (count, 2, 21, 2)), rng.uniform(0.01, 1.2, (count, 2, 21, 1))], axis=3)
    people[:, 1:][rng.random((count, 17)) < 0.4] = 0
    hands[rng.random((count, 2)) < 0.5] = 0
    if not scores:
        people[..., 2], hands[..., 2] = people[..., 2] > 0, hands[..., 2] > 0
    made = posed(people, hands)
    again = only(parse(json.dumps(record(made)) if scores else write(made), "again"))
    assert np.array_equal(again.people, people)
    assert np.array_equal(again.hands, hands)
    assert (again.height, again.width) == (200, 300)
