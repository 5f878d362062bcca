"""Files of poses of other tools: each form in its smallest file, with points that were worked out by hand."""

import json

import numpy as np
import pytest

from cn.detect.pose import json_files
from cn.errors import InputError
from tests.helpers.people_cases import parse

SIZE = (100, 200)
X = np.arange(1, 137)
"""Point k of each person is at (k + 1, 50), so that a place tells which point it was."""

COCO_ORDER = [1, None, 7, 9, 11, 6, 8, 10, 13, 15, 17, 12, 14, 16, 3, 2, 5, 4]
"""The x of OpenPose's 18 joints where COCO's 17 keypoints have x = 1..17; the neck is between 6 and 7."""
FROM_COCO = [6.5 if x is None else x for x in COCO_ORDER]


def flat(count: int, score: float = 0.9) -> list[float]:
    return [value for x in X[:count] for value in (float(x), 50.0, score)]


def pairs(count: int) -> list[list[float]]:
    return [[float(x), 50.0] for x in X[:count]]


def coco_file(**more: object) -> dict:
    people = [
        {"image_id": 7, "category_id": 1, "keypoints": flat(17, 2), "segmentation": [[1, 2]], "iscrowd": 0},
        {"image_id": 7, "category_id": 1, "keypoints": [0] * 51, "num_keypoints": 0},
        {"image_id": 9, "category_id": 1, "keypoints": flat(17, 1)},
    ]
    images = [
        {"id": 7, "file_name": "val/a.jpg", "height": 100, "width": 200},
        {"id": 8, "file_name": "val/b.jpg", "height": 60, "width": 80},
        {"id": 9, "file_name": "val/c.jpg", "height": 100, "width": 200},
    ]
    return {"images": images, "annotations": people, "categories": [{"id": 1, "name": "person"}]} | more


MMPOSE = {"keypoints": pairs(17), "keypoint_scores": [0.9] * 17, "bbox": [[0, 0, 9, 9]], "bbox_score": 0.8}
ONE = {
    "editor": {"width": 200, "height": 100, "keypoints": pairs(18)},
    "alphapose": [{"image_id": "a.jpg", "category_id": 1, "keypoints": flat(17), "score": 2.5}],
    "alphapose cmu": {"a.jpg": {"version": "AlphaPose v0.3", "bodies": [{"joints": flat(18)}]}},
    "alphapose cmu, one image": {"version": "AlphaPose v0.3", "bodies": [{"joints": flat(18)}]},
    "alphapose open": {"a.jpg": {"version": "AlphaPose v0.3", "people": [{"pose_keypoints_2d": flat(18)}]}},
    "mmpose": [MMPOSE],
    "mmpose demo": {"meta_info": {"dataset_name": "coco"}, "instance_info": [MMPOSE]},
    "mmpose video": {"meta_info": {}, "instance_info": [{"frame_id": 1, "instances": [MMPOSE]}]},
    "mmpose inferencer": {"visualization": [], "predictions": [[MMPOSE]]},
    "openpifpaf": [{"keypoints": flat(17), "bbox": [1, 2, 3, 4], "score": 0.9, "category_id": 1}],
    "openpifpaf video": {"frame": 1, "predictions": [{"keypoints": flat(17), "bbox": [1, 2, 3, 4], "score": 0.9}]},
    "ultralytics": [
        {
            "name": "person",
            "class": 0,
            "confidence": 0.8,
            "box": {"x1": 1, "y1": 2, "x2": 3, "y2": 4},
            "keypoints": {"x": X[:17].tolist(), "y": [50] * 17, "visible": [0.9] * 17},
        }
    ],
    "dwpose": {
        "bodies": {"candidate": [[x / 200, 0.5] for x in range(1, 19)], "subset": [list(range(18))]},
        "hands": [[[-1, -1]] * 21, [[x / 200, 0.25] for x in range(1, 22)]],
        "faces": [[[x / 200, 0.75] for x in range(1, 69)]],
    },
}
OPENPOSE_ORDER = {"editor", "alphapose cmu", "alphapose cmu, one image", "alphapose open", "dwpose"}


@pytest.mark.parametrize("form", ONE)
def test_the_body_is_read_in_the_order_of_its_tool(form):
    (poses,) = parse(json.dumps(ONE[form]), "p", SIZE)
    expected = np.arange(1, 19) if form in OPENPOSE_ORDER else FROM_COCO
    (body,) = poses.people
    assert np.allclose(body[:, 0], expected)
    assert np.allclose(body[:, 1], 50)
    assert (body[:, 2] > 0).all()
    assert (poses.height, poses.width) == SIZE
    assert poses.warnings == ()


def test_dwposes_hands_and_faces_are_fractions_all_left_hands_first():
    (poses,) = parse(json.dumps(ONE["dwpose"]), "p", SIZE)
    assert not poses.hands[0, 0].any()
    assert np.allclose(poses.hands[0, 1], [[x, 25, 1] for x in range(1, 22)])
    assert np.allclose(poses.faces[0, :68], [[x, 75, 1] for x in range(1, 69)])
    assert not poses.faces[0, 68:].any()
    missing = json.loads(json.dumps(ONE["dwpose"]))
    missing["bodies"]["subset"][0][4] = -1
    (poses,) = parse(json.dumps(missing), "p", SIZE)
    assert np.flatnonzero(poses.people[0, :, 2] == 0).tolist() == [4]


@pytest.mark.parametrize(
    ("count", "neck", "feet", "face", "hands"),
    [
        (17, 6.5, None, None, None),
        (23, 6.5, [18, 19, 20, 21, 22, 23], None, None),
        (26, 19, [21, 23, 25, 22, 24, 26], None, None),
        (68, 19, [21, 23, 25, 22, 24, 26], None, (27, 48)),
        (133, 6.5, [18, 19, 20, 21, 22, 23], 24, (92, 113)),
        (136, 19, [21, 23, 25, 22, 24, 26], 27, (95, 116)),
    ],
)
def test_whole_bodies_keep_feet_faces_and_hands(count, neck, feet, face, hands):
    """The first x of each part, counted from 1, by the tables of COCO-WholeBody and Halpe."""
    record = [{"image_id": "a.jpg", "keypoints": flat(count), "score": 1}]
    (poses,) = parse(json.dumps(record), "p", SIZE)
    assert poses.people[0, :, 0].tolist() == [neck if x is None else x for x in COCO_ORDER]
    assert poses.feet[0, :, 0].tolist() == (feet or [0] * 6)
    assert poses.faces[0, :68, 0].tolist() == (list(range(face, face + 68)) if face else [0] * 68)
    for side in (0, 1):
        assert poses.hands[0, side, :, 0].tolist() == (
            list(range(hands[side], hands[side] + 21)) if hands else [0] * 21
        )


def test_134_points_are_dwposes():
    record = [{"keypoints": pairs(134), "keypoint_scores": [0.9] * 134}]
    (poses,) = parse(json.dumps(record), "p", SIZE)
    assert poses.people[0, :, 0].tolist() == list(range(1, 19))
    assert poses.feet[0, :, 0].tolist() == list(range(19, 25))
    assert poses.faces[0, :68, 0].tolist() == list(range(25, 93))
    assert poses.hands[0, :, 0, 0].tolist() == [93, 114]


def test_coco_gives_a_map_for_each_image_also_those_without_people():
    file = json_files.parse(json.dumps(coco_file()), "p")
    assert file.names() == ["a", "b", "c"]
    first, second, third = (file.image(k) for k in range(3))
    assert np.allclose(first.people[0, :, 0], FROM_COCO)
    assert first.not_found == 1, "a person without labeled keypoints"
    assert len(second.people) == 0
    assert (second.height, second.width) == (60, 80)
    assert set(third.people[0, :, 2]) == {0.5}, "labeled but hidden"
    assert len(file.image(2, min_score=0.6).people) == 0
    assert [file.number_of(word) for word in ("9", "val/b.jpg", "a")] == [2, 1, 0]
    with pytest.raises(InputError, match=r"^p: has no image 1; it has 3: 7, 8, 9$"):
        file.number_of("1")


def test_coco_wholebody_has_its_parts_beside_the_body():
    annotations = coco_file()["annotations"][:1]
    annotations[0] |= {"foot_kpts": flat(6, 2), "face_kpts": flat(68, 2), "lefthand_kpts": flat(21, 1)}
    (poses, *_) = parse(json.dumps(coco_file(annotations=annotations)), "p")
    assert poses.feet[0].tolist() == [[x, 50, 1] for x in range(1, 7)]
    assert poses.faces[0, 67].tolist() == [68, 50, 1]
    assert poses.hands[0, 0, 20].tolist() == [21, 50, 0.5]
    assert not poses.hands[0, 1].any()


def test_people_of_alphapose_are_grouped_by_image():
    records = [{"image_id": name, "keypoints": flat(17), "score": 1} for name in ("b.jpg", "a.jpg", "b.jpg")]
    file = json_files.parse(json.dumps(records), "p")
    assert file.names() == ["b", "a"]
    assert [len(file.image(k, SIZE).people) for k in range(2)] == [2, 1]


@pytest.mark.parametrize(("form", "limit"), [("alphapose", 0.4), ("mmpose", 0.3), ("ultralytics", 0.25)])
def test_points_that_the_tool_does_not_draw_are_not_drawn_unless_asked_for(form, limit):
    for score, drawn in ((limit + 0.01, True), (limit - 0.01, False)):
        text = json.dumps(ONE[form]).replace("0.9", str(score))
        assert (len(parse(text, "p", SIZE)[0].people) == 1) == drawn
        assert len(parse(text, "p", SIZE, min_score=0.01)[0].people) == 1


def test_videos_of_openpifpaf_are_a_line_for_each_frame():
    lines = "\n".join(json.dumps(ONE["openpifpaf video"] | {"frame": frame}) for frame in (1, 2))
    assert [len(poses.people) for poses in parse(lines, "p", SIZE)] == [1, 1]


def test_points_that_are_null_or_nan_are_not_found():
    keypoints = [None, *pairs(18)[1:]]
    keypoints[3] = [None, 50]
    (poses,) = parse(json.dumps({"width": 200, "height": 100, "keypoints": keypoints}), "p")
    assert np.flatnonzero(poses.people[0, :, 2] == 0).tolist() == [0, 3]
    body = flat(18)
    body[3], body[8] = float("nan"), None
    people = [{"pose_keypoints_2d": body}, {"pose_keypoints_2d": [None] * 54}, {"pose_keypoints_2d": [0] * 54}]
    (poses,) = parse(json.dumps({"people": people, "canvas_width": 200, "canvas_height": 100}), "p")
    assert np.flatnonzero(poses.people[0, :, 2] == 0).tolist() == [1, 2]
    assert (len(poses.people), poses.not_found) == (1, 2)


@pytest.mark.parametrize(
    ("value", "what"),
    [
        ({"width": 200, "height": 100, "keypoints": pairs(17)}, "keypoints has 17 points, not 18 for each person"),
        ({"width": 200, "height": 0, "keypoints": []}, "height is 0, where a number of pixels is needed"),
        ({"header": "Openpose Editor by Yu Zhu", "object": {}}, "is a scene of a 3-D editor, not a pose"),
        ({"images": [], "annotations": 3}, "annotations is not a list"),
        (coco_file(annotations=[{"image_id": 7, "bbox": []}]), "its annotations have no keypoints"),
        (coco_file(images=[{"file_name": "a"}]), "an element of images has no id"),
        ([{"image_id": 1, "keypoints": [1.0] * 42}], r"predictions?|has 42 numbers"),
        ([{"keypoints": pairs(16), "keypoint_scores": [1] * 16}], r"has 16 keypoints; those of people"),
        ([{"keypoints": pairs(17), "keypoint_scores": [1] * 3}], "has 17 points and 3 scores"),
        ([{"keypoints": {"x": [1], "y": [1, 2]}}], "has 1 x, 2 y and 1 scores"),
        (json.loads("[" * 400 + "]" * 400), 'has no "people"'),
        ([{"a": 1}], 'has no "people", and is no file of poses that is read: OpenPose'),
        ({"bodies": {"candidate": [[0, 0]], "subset": [[5] * 18]}}, "does not number 18 of 1 candidates"),
    ],
)
def test_what_is_wrong_is_one_line(value, what):
    with pytest.raises(InputError, match=what) as caught:
        parse(json.dumps(value), "p", SIZE)
    assert str(caught.value).startswith("p")
    assert "\n" not in str(caught.value)


YOLO = "0 0.5 0.5 0.4 0.8 " + " ".join(f"{x / 200} 0.5 2" for x in range(1, 18))


@pytest.mark.parametrize(
    ("line", "scores"),
    [
        (YOLO, {1.0}),
        (YOLO.replace(" 2", " 0.8"), {0.8}),
        (YOLO.replace(" 2", " 0.8") + " 0.93", {0.8}),
        (YOLO.replace(" 2", " 0.8") + " 0.93 4", {0.8}),
        (YOLO.replace(" 2", ""), {1.0}),
        (YOLO.replace(" 2", " 1", 16), {0.5, 1.0}),
    ],
)
def test_labels_of_yolo(line, scores):
    file = json_files.parse(f"{line}\n\n".encode(), "a.txt", yolo=True)
    poses = file.image(0, SIZE)
    assert np.allclose(poses.people[0, :, 0], FROM_COCO)
    assert np.allclose(poses.people[0, :, 1], 50)
    assert set(poses.people[0, :, 2].round(4)) == scores


def test_lines_of_yolo_without_points_are_nobody():
    file = json_files.parse(f"{YOLO}\n1 0.5 0.5 0.1 0.1\n".encode(), "a.txt", yolo=True)
    poses = file.image(0, SIZE)
    assert (len(poses.people), poses.not_found) == (1, 1)
    assert len(json_files.parse(b"", "a.txt", yolo=True).image(0, SIZE).people) == 0
    for text, what in (
        (b"person dog", "line 1 holds person"),
        (b"0 1 2", "line 1 has 3 numbers"),
        (b"0 nan", "finite"),
    ):
        with pytest.raises(InputError, match=what):
            json_files.parse(text, "a.txt", yolo=True)
