"""People as JSON, in all variants of OpenPose, the web UIs and their editors."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cn.detect.pose.json_format import record, write
from cn.detect.pose.people import ImagePoses
from cn.errors import InputError
from tests.helpers.people_cases import image_record, only, parse, random_body


def test_the_format_of_the_editors_is_read():
    body = random_body()
    body[4] = 0
    hands = random_body(1, points=21)
    poses = only(parse(json.dumps(image_record(body, random_body(2), hands=hands)), "poses.json"))
    assert (poses.height, poses.width) == (200, 300)
    assert np.array_equal(poses.people, [body, random_body(2)])
    assert poses.people.dtype == np.float64
    assert np.array_equal(poses.hands[0, 0], hands)
    assert not poses.hands[0, 1].any()
    assert not poses.hands[1].any()


def test_a_list_holds_several_images():
    first, second = parse(
        json.dumps([image_record(random_body()), image_record(random_body(1), canvas_width=600)]), "poses.json"
    )
    assert (first.width, second.width) == (300, 600)
    assert np.array_equal(second.people[0], random_body(1))


def test_fractions_of_the_canvas_become_pixels():
    body, hands = random_body(), random_body(1, points=21)
    fractions = [points / (300, 200, 1) for points in (body, hands)]
    # The extension writes missing hand points just outside of the canvas.
    fractions[1][3] = (-1 / 300, -1 / 200, 1)
    fractions[1][4, 0] = 1.2
    hands[4, 0] = 360
    poses = only(parse(json.dumps(image_record(fractions[0], hands=fractions[1])), "poses.json"))
    assert np.allclose(poses.people[0], body)
    assert np.allclose(poses.hands[0, 0, 3], (-1, -1, 1))
    assert np.allclose(np.delete(poses.hands[0, 0], 3, 0), np.delete(hands, 3, 0))


@pytest.mark.parametrize("outlier", [(0.4, 2.1), (9.0, 0.5), (0.5, -3.0)])
def test_one_outlier_does_not_turn_fractions_into_pixels(outlier):
    body = random_body()
    fractions = body / (300, 200, 1)
    fractions[9, :2] = outlier
    poses = only(parse(json.dumps(image_record(fractions)), "p"))
    assert np.allclose(np.delete(poses.people[0], 9, 0), np.delete(body, 9, 0))
    assert np.allclose(poses.people[0, 9, :2], np.multiply(outlier, (300, 200)))


def test_bodies_and_hands_may_have_different_units():
    fractions, hands = random_body() / (300, 200, 1), random_body(1, points=21)
    poses = only(parse(json.dumps(image_record(fractions, hands=hands)), "p"))
    assert np.allclose(poses.people[0], random_body())
    assert np.array_equal(poses.hands[0, 0], hands)


def test_coordinates_from_minus_one_to_one_are_refused():
    body = random_body() / (150, 100, 1) - (1, 1, 0)
    with pytest.raises(InputError, match=r"^p: its coordinates go from -1 to 1"):
        parse(json.dumps(image_record(body)), "p")


def test_points_that_openpose_did_not_detect_are_dropped_unless_requested():
    """It writes all points of a hand, with low scores for missing ones."""
    body, hands = random_body(), random_body(1, points=21)
    body[:2, 2] = (0.04, 0.06)
    hands[:, 2] = 0.003
    hands[:3, 2] = (0.19, 0.21, 0.9)
    own = image_record(body, hands=hands)
    del own["canvas_width"], own["canvas_height"]
    poses = only(parse(json.dumps(own), "p", (200, 300)))
    assert np.flatnonzero(poses.people[0, :, 2] == 0).tolist() == [0]
    assert np.flatnonzero(poses.hands[0, 0, :, 2]).tolist() == [1, 2]
    assert not poses.hands[0, 0, 3].any()
    edited = only(parse(json.dumps(image_record(body, hands=hands)), "p"))
    assert (edited.people[0, :, 2] > 0).all()
    assert (edited.hands[0, 0, :, 2] > 0).all()
    chosen = only(parse(json.dumps(own), "p", (200, 300), 0.05))
    assert (chosen.people[0, 1:, 2] > 0).all()
    assert np.flatnonzero(chosen.hands[0, 0, :, 2]).tolist() == [0, 1, 2]


def test_too_many_people_are_refused(monkeypatch):
    monkeypatch.setattr("cn.detect.pose.pose_images.MAX_PEOPLE", 2)
    assert len(only(parse(json.dumps(image_record(random_body(), random_body())), "p")).people) == 2
    with pytest.raises(InputError, match="p: has 3 people"):
        parse(json.dumps(image_record(random_body(), random_body(), random_body())), "p")


def test_a_canvas_that_is_too_large_is_refused():
    with pytest.raises(InputError, match="too large"):
        parse('{"people": []}', "p", (100_000, 100_000))


def test_pixels_stay_pixels_when_few_points_were_found():
    body = np.zeros((18, 3))
    body[0] = (0.5, 40, 1)
    assert np.array_equal(only(parse(json.dumps(image_record(body)), "p")).people[0], body)


def test_openpose_writes_25_points_with_scores_and_no_canvas():
    body = random_body(points=25)
    body[:, 2] = np.linspace(0.1, 0.9, 25)
    text = json.dumps({"version": 1.3, "people": [{"person_id": [-1], "pose_keypoints_2d": body.ravel().tolist()}]})
    poses = only(parse(text, "p_keypoints.json", size=(480, 640)))
    assert (poses.height, poses.width) == (480, 640)
    assert np.array_equal(poses.people[0], np.delete(body[:19], 8, 0))
    with pytest.raises(InputError, match=r"^p_keypoints\.json: has no canvas size \(canvas_width, canvas_height\)"):
        parse(text, "p_keypoints.json")


def test_editors_that_call_the_canvas_width_and_height():
    poses = {"people": [{"pose_keypoints_2d": random_body().ravel().tolist()}], "width": 300, "height": 200}
    read = only(parse(json.dumps(poses), "p"))
    assert (read.height, read.width) == (200, 300)
    # The usual names have priority.
    read = only(parse(json.dumps(poses | {"canvas_width": 600, "canvas_height": 400}), "p"))
    assert (read.height, read.width) == (400, 600)
    with pytest.raises(InputError, match="p: height is null, not a number"):
        parse(json.dumps({"people": [], "width": 300}), "p")


@pytest.mark.parametrize("points", [56, 68, 70])
def test_faces_without_the_points_that_were_not_found(points):
    face = random_body(1, points=points)
    own = image_record(random_body())
    own["people"][0]["face_keypoints_2d"] = face.ravel().tolist()
    (found,) = only(parse(json.dumps(own), "p")).faces
    assert np.array_equal(found[:points], face)
    assert not found[points:].any()
    own["people"][0]["face_keypoints_2d"] = [1.0] * 213
    with pytest.raises(InputError, match="face_keypoints_2d has 213 numbers, where x, y and score of 1 to 70 points"):
        parse(json.dumps(own), "p")


def test_the_canvas_has_priority_over_a_given_size():
    assert only(parse(json.dumps(image_record(random_body())), "p", size=(9, 9))).width == 300


def test_the_17_points_of_coco_get_a_neck():
    body = random_body(points=17)
    poses = only(parse(json.dumps(image_record(body)), "p"))
    assert np.array_equal(poses.people[0, 0], body[0])
    assert np.allclose(poses.people[0, 1, :2], (body[5, :2] + body[6, :2]) / 2)
    assert np.array_equal(poses.people[0, 2], body[6]), "the right shoulder"
    assert np.array_equal(poses.people[0, 17], body[3]), "the left ear"


def test_the_field_names_of_the_first_openpose_are_read():
    text = json.dumps({"people": [{"pose_keypoints": random_body().ravel().tolist()}]})
    assert np.array_equal(only(parse(text, "p", (200, 300))).people[0], random_body())


@pytest.mark.parametrize(
    "empty", [{}, {"pose_keypoints_2d": None}, {"pose_keypoints_2d": []}, image_record(np.zeros((18, 3)))["people"][0]]
)
def test_people_without_keypoints_are_dropped(empty):
    poses = only(parse(json.dumps({"people": [empty], "canvas_width": 30, "canvas_height": 20}), "p"))
    assert poses.people.shape == (0, 18, 3)
    assert poses.hands.shape == (0, 2, 21, 3)


def test_hands_alone_are_kept():
    alone = {"hand_right_keypoints_2d": random_body(points=21).ravel().tolist()}
    poses = only(parse(json.dumps({"people": [alone], "canvas_width": 300, "canvas_height": 200}), "p"))
    assert not poses.people.any()
    assert np.array_equal(poses.hands[0, 1], random_body(points=21))


def test_animals_are_counted():
    text = json.dumps({"animals": [[1.0] * 51], "version": "ap10k", "canvas_width": 30, "canvas_height": 20})
    poses = only(parse(text, "p"))
    assert len(poses.people) == 0
    assert poses.warnings == (("1 animal is not drawn", "animals are not drawn"),)


def test_points_without_a_score_are_missing():
    body = random_body()
    body[3, 2], body[7, 2] = 0, -1
    poses = only(parse(json.dumps(image_record(body)), "p"))
    assert not poses.people[0, [3, 7]].any()


def image_poses(people, hands=None):
    hands = np.zeros((len(people), 2, 21, 3)) if hands is None else hands
    return ImagePoses(np.array(people, np.float64).reshape(-1, 18, 3), hands, 200, 300)


def test_the_output_follows_the_format_of_the_web_uis():
    body, hands = random_body(), np.zeros((1, 2, 21, 3))
    body[:, 2] = 0.37
    body[5] = 0
    hands[0, 1] = random_body(1, points=21)
    made = json.loads(write(image_poses([body], hands)))
    assert (made["canvas_width"], made["canvas_height"]) == (300, 200)
    (somebody,) = made["people"]
    assert somebody["face_keypoints_2d"] is somebody["hand_left_keypoints_2d"] is None
    numbers = np.array(somebody["pose_keypoints_2d"]).reshape(18, 3)
    assert np.array_equal(numbers[:, :2], body[:, :2])
    # Their editors ignore scores below 1.
    assert numbers[:, 2].tolist() == [1.0] * 5 + [0.0] + [1.0] * 12
    assert np.array_equal(np.array(somebody["hand_right_keypoints_2d"]).reshape(21, 3), hands[0, 1])


def test_an_image_without_people_is_written():
    assert json.loads(write(image_poses([]))) == record(image_poses([]))
    assert record(image_poses([])) == {"people": [], "canvas_height": 200, "canvas_width": 300}


def test_points_that_are_not_finite_are_written_as_missing():
    body = random_body()
    body[2, 0] = np.nan
    assert json.loads(write(image_poses([body])))["people"][0]["pose_keypoints_2d"][6:9] == [0.0, 0.0, 0.0]


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(0, 4), st.booleans())
def test_the_output_is_read_back_unchanged(seed, count, scores):
    rng = np.random.default_rng(seed)
    people = np.concatenate([rng.uniform(-50, 400, (count, 18, 2)), rng.uniform(0.01, 1.2, (count, 18, 1))], axis=2)
    hands = np.concatenate([rng.uniform(0, 300, (count, 2, 21, 2)), rng.uniform(0.01, 1.2, (count, 2, 21, 1))], axis=3)
    people[:, 1:][rng.random((count, 17)) < 0.4] = 0
    hands[rng.random((count, 2)) < 0.5] = 0
    if not scores:
        people[..., 2], hands[..., 2] = people[..., 2] > 0, hands[..., 2] > 0
    made = image_poses(people, hands)
    again = only(parse(json.dumps(record(made)) if scores else write(made), "again"))
    assert np.array_equal(again.people, people)
    assert np.array_equal(again.hands, hands)
    assert (again.height, again.width) == (200, 300)
