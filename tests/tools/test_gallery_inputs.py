"""The inputs that the gallery draws by code of its own."""

import json

import cv2
import numpy as np
import pytest

from cn import images
from tests.helpers.cli import cn
from tools.gallery import inputs, solids, stick_figures, strokes


@pytest.mark.parametrize("name", strokes.DRAWINGS)
def test_a_drawing_is_ink_on_paper_and_always_the_same(name, tmp_path):
    for file in ("a.png", "b.png"):
        inputs.main([name, str(tmp_path / file)])
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    drawn = images.read(tmp_path / "a.png")
    assert drawn.shape == (256, 256, 3)
    assert 0.01 < (drawn < 128).mean() < 0.2
    assert (drawn[0] == 255).all()


def test_strokes_tremble_but_keep_their_place():
    line = ((0.2, 0.5), (0.8, 0.5))
    drawn = strokes.drawing((line,), 256)
    rows, columns = np.nonzero(drawn[..., 0] < 128)
    assert np.ptp(rows) > 4, "a ruler would give 3 rows"
    assert abs(rows.mean() - 128) < 8
    assert abs(columns.min() - 51) < 12
    assert abs(columns.max() - 205) < 12


@pytest.mark.parametrize("name", stick_figures.GROUPS)
def test_stick_figures_are_read_by_cn(name, tmp_path):
    keypoints, out = tmp_path / f"{name}.json", tmp_path / f"{name}.png"
    inputs.main([name, str(keypoints)])
    people = json.loads(keypoints.read_text())["people"]
    assert [len(person["pose_keypoints_2d"]) for person in people] == [54] * len(stick_figures.GROUPS[name])
    done = cn("detect", "openpose", keypoints, out, "--from-json", "-q")
    assert (done.returncode, done.stderr) == (0, "")
    assert images.read(out).any()
    for person in people:
        x, y = np.array(person["pose_keypoints_2d"]).reshape(18, 3)[:, :2].T
        assert x.min() >= 0
        assert x.max() < 256
        assert y.max() - y.min() > 120


def test_limbs_have_their_lengths_and_angles():
    points = np.array(stick_figures.Stick(0.5, 0.3, 1.0, right_arm=(90, 180)).points())
    shoulder, elbow, wrist = points[2:5]
    assert np.allclose(elbow - shoulder, (-0.17, 0)), "outwards, to the viewer's left"
    assert np.allclose(wrist - elbow, (0, -0.17)), "up"


def test_distances_are_those_of_the_solids(tmp_path):
    ahead = np.array([[0.0, 0.0, 1.0], [0.0, 1.0, 1.0]])
    assert np.allclose(solids.Sphere((0, 0, 5), 2).distance(ahead), [3, np.inf])
    assert np.allclose(solids.box((0, 0, 5), (1, 1, 2), 0).distance(ahead), [3, np.inf])
    turned = solids.box((0, 0, 5), (1, 1, 1), np.pi / 4).distance(ahead)
    assert np.isclose(turned[0], 5 - np.sqrt(2)), "an edge is in front"
    # The ridge is 1 above the lower face: half way up, the roof is half as deep.
    half_way = np.array([[0.0, -0.1, 1.0]])
    (distance,) = solids.roof((0, 0, 5), (1, 1, 1), 0).distance(half_way)
    assert np.isclose(distance, 5 - (1 - 0.1 * distance))
    inputs.main(["depth-balls", str(tmp_path / "d.png")])
    read = cv2.imread(str(tmp_path / "d.png"), cv2.IMREAD_UNCHANGED)
    assert read.dtype == np.uint16
    assert (read[0] == 0).all(), "the sky has no distance"
    floor = solids.millimeters((), 256)
    assert abs(int(floor[-1, 0]) - 1400 / np.tan(0.45) / (1 - 1 / 256)) < 20


def test_masks_cover_what_they_are_of(tmp_path):
    shown = np.zeros((64, 64, 3), np.uint8)
    shown[30:40, 2:20] = (0, 255, 0)
    images.write(tmp_path / "map.png", shown)
    inputs.main(["mask-of", str(tmp_path / "mask.png"), str(tmp_path / "map.png")])
    mask = images.read(tmp_path / "mask.png")[..., 0]
    margin = inputs.MARGIN
    assert (mask[30 - margin : 40 + margin, : 20 + margin] == 255).all()
    assert (mask == 255).sum() == (10 + 2 * margin) * (20 + margin)
    inputs.main(["tree-mask", str(tmp_path / "tree.png")])
    ink = strokes.drawing(strokes.DRAWINGS["tree"], 256)[..., 0] < 128
    assert (images.read(tmp_path / "tree.png")[..., 0][ink] == 255).all()


def test_captions_are_those_of_the_first_scenes(tmp_path):
    inputs.main(["captions", str(tmp_path / "captions.txt"), "3"])
    cn("dataset", "synth", tmp_path / "set", "--count", 3, "--cond", "canny", "--size", 64, "--seed", 11, "-q")
    records = (tmp_path / "set/prompt.json").read_text().splitlines()
    assert (tmp_path / "captions.txt").read_text().splitlines() == [json.loads(line)["prompt"] for line in records]
