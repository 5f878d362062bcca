"""Forty inputs as people give them, each with its exit code, what is said, and the values that come out.

A row stands for a kind of input that was answered by a useless map, a missing file or a traceback once. The expected
values are worked out by hand; the mechanisms have tests of their own elsewhere.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.helpers import given_inputs as inputs
from tests.helpers.cli import cn
from tests.helpers.given_inputs import CAR, ROAD, SKY, dataset, labels, people, ramp, save


@dataclass(frozen=True)
class Given:
    """One input: how it is made, the command, and what is expected of it."""

    name: str
    make: Callable[[Path], None]
    words: str
    code: int
    says: tuple[str, ...] = ()
    """Parts of stderr; without any, there is no warning."""
    values: Callable[[Path], bool] | None = None


def maps(*names: str) -> Callable[[Path], bool]:
    """Exactly these maps are in out/, and each shows something."""

    def check(folder: Path) -> bool:
        found = sorted(path.relative_to(folder / "out").as_posix() for path in (folder / "out").rglob("*.png"))
        return found == sorted(names) and all(read(folder, f"out/{name}").any() for name in names)

    return check


def read(folder: Path, name: str = "out/a.png") -> np.ndarray:
    return np.asarray(Image.open(folder / name))


def rows(*expected: int) -> Callable[[Path], bool]:
    """The gray levels of the first column of the map, to one level."""
    return lambda folder: np.abs(read(folder)[:, 0].reshape(11, -1)[:, 0].astype(int) - expected).max() <= 1


# Inverse depth of the ramps, stretched: 255 · (1/d − 1/far) / (1/near − 1/far), truncated as the annotators do.
DISTANCE = tuple(int(255 * (1 / d - 1 / 2) / (1 - 1 / 2) + 1e-9) for d in np.linspace(2, 1, 11))
LINEAR = tuple(int(255 * k / 10 + 1e-9) for k in range(11))

CANNY, DEPTH = "detect canny in out", "detect depth in out --from-depth"
SEGMENT, POSE = "detect ade20k in out --from-labels colors", "detect openpose in out --from-json"
SAMPLE_AGAIN = "sample --from a.png --base {base} {fast}"
EDGES = "sample --cond in/a.png --control canny {fast}"
TRAIN = "train --cond depth --base {base} --data data --out run --steps 1 --batch-size 1 --preview-every 0 --workers 0"

GIVEN = [
    Given(
        "a folder with formats that are not read",
        inputs.mixed_folder,
        CANNY,
        0,
        (".exr", "b.cr2", "1 .txt"),
        maps("a.png"),
    ),
    Given("a link to a folder", inputs.link_to_folder, f"{CANNY} --recursive", 0, (), maps("b.png", "day1/a.png")),
    Given("a pattern over a cycle", inputs.link_to_itself, "detect canny in/**/*.png out", 0, (), maps("a.png")),
    Given("an animation", inputs.animation, CANNY, 0, ("only the first frame",), maps("a.png")),
    Given(
        "all frames of an animation",
        inputs.animation,
        f"{CANNY} --frames all",
        0,
        (),
        maps("a-0001.png", "a-0002.png", "a-0003.png"),
    ),
    Given("a video", inputs.video, CANNY, 0, (), maps(*(f"a-00000{n}.png" for n in range(1, 5)))),
    Given("a photograph that is turned", inputs.turned, CANNY, 0, (), lambda f: read(f).shape[:2] == (60, 40)),
    Given("16 bits", inputs.deep, CANNY, 0, (), maps("a.png")),
    Given("a bomb", inputs.bomb, CANNY, 3, ("a.png: ", "cut off")),
    Given("a file that is cut off", inputs.cut, CANNY, 3, ("a.png: the image is broken or cut off",)),
    Given("edges of edges", inputs.edges_of_edges, CANNY, 0, ("is a map of canny already",)),
    Given("distance in floats", lambda f: save(f, ramp(1, 2, np.float32), "in/a.tiff"), DEPTH, 0, (), rows(*DISTANCE)),
    Given("distance in doubles", inputs.doubles, DEPTH, 0, (), rows(*DISTANCE)),
    Given("a portable float map", inputs.portable_float_map, DEPTH, 0, (), rows(*DISTANCE)),
    Given("an archive of NumPy", inputs.archive, DEPTH, 0, (), rows(*DISTANCE)),
    Given("millimeters", lambda f: save(f, ramp(1000, 2000, np.uint16)), DEPTH, 0, (), rows(*DISTANCE)),
    Given("a mist pass", lambda f: save(f, ramp(0, 255, np.uint8)), f"{DEPTH} --depth-is mist", 0, (), rows(*LINEAR)),
    Given(
        "a near-white map",
        lambda f: save(f, ramp(255, 0, np.uint8)),
        f"{DEPTH} --depth-is near-white",
        0,
        (),
        rows(*LINEAR),
    ),
    Given("8 bits without a word", lambda f: save(f, ramp(0, 255, np.uint8)), DEPTH, 0, ("--depth-is",), rows(*LINEAR)),
    Given(
        "a flying pixel at 1 mm",
        inputs.flying_pixel,
        DEPTH,
        0,
        (),
        lambda f: {read(f)[5, 5].max(), read(f)[30, 5].max()} == {0, 255},
    ),
    Given("colors for vectors", inputs.photo, "detect normal in/a.png out.png --from-diode", 3, ("a.png: ",)),
    Given(
        "a normal map of a game",
        inputs.game_normals,
        "detect normal in out --from-normals directx",
        0,
        (),
        # It faces right, up (green is down) and the viewer; here red is left and green up.
        lambda f: np.abs(read(f)[4, 4].astype(int) - (51, 209, 189)).max() <= 2,
    ),
    Given("labels", labels(CAR), SEGMENT, 0, (), lambda f: tuple(read(f)[14, 2]) == tuple(CAR)),
    Given(
        "a color of no class",
        labels((40, 70, 150)),
        SEGMENT,
        0,
        ("colors that are not in the palette of ADE20K became no class", "--nearest"),
    ),
    Given(
        "a color of no class, made a class",
        labels((1, 103, 201)),
        f"{SEGMENT} --nearest",
        0,
        None,
        lambda f: tuple(read(f)[14, 2]) == tuple(CAR),
    ),
    Given(
        "labels in a JPEG",
        inputs.smeared_labels,
        SEGMENT,
        0,
        None,
        lambda f: {tuple(color) for color in read(f).reshape(-1, 3)} == {tuple(SKY), tuple(ROAD)},
    ),
    Given(
        "a pose with a face",
        people(inputs.FACE),
        POSE,
        0,
        ("faces are not drawn; --face draws them",),
    ),
    Given(
        "a face that is drawn",
        people(inputs.FACE),
        f"{POSE} --face",
        0,
        (),
        lambda f: tuple(read(f)[9, 9]) == (255, 255, 255),
    ),
    Given(
        "a person of null",
        people({"pose_keypoints_2d": [None] * 54}, {"pose_keypoints_2d": inputs.PERSON}),
        POSE,
        0,
        (),
        maps("a.png"),
    ),
    Given("the first editor", inputs.first_editor, POSE, 0, (), maps("a.png")),
    Given("three thousand brackets", inputs.brackets, POSE, 3, ("a.json: invalid JSON: it is nested too deeply",)),
    Given(
        "inverted edges",
        inputs.inverted_edges,
        EDGES,
        0,
        ("is mostly white", "--invert"),
    ),
    Given(
        "a photograph for a map",
        inputs.real_photograph,
        EDGES,
        0,
        ("looks like a photograph", "--detect"),
    ),
    Given("lines in the alpha channel", inputs.alpha_lines, EDGES, 0, ()),
    Given("12 bits in 16", inputs.nearly_black, EDGES.replace("canny", "depth"), 0, ("is nearly black",)),
    Given("an image of A1111", inputs.of_a1111, SAMPLE_AGAIN, 0, ("was not written by cn", "only prompt, steps")),
    Given("a target cut in half", dataset(inputs.halve), TRAIN, 0, ("prompt.json:4: ", "1 of 6 pairs were skipped")),
    Given("records as an array", dataset(inputs.as_array), TRAIN, 0, ()),
    Given("records without captions", dataset(inputs.without_captions), TRAIN, 0, ("6 of 6 pairs have no caption",)),
    Given("a hub's name", lambda f: None, "sample --base runwayml/stable-diffusion-v1-5", 4, ("hf download",)),
]


@pytest.mark.parametrize("given", GIVEN, ids=[given.name for given in GIVEN])
def test_given(given: Given, tmp_path: Path, tiny_base_file: Path) -> None:
    given.make(tmp_path)
    fast = "--steps 1 --size 64x64 --out sampled.png"
    done = cn(*given.words.format(base=tiny_base_file, fast=fast).split(), cwd=tmp_path)
    assert done.returncode == given.code, done.stderr
    if given.says is not None:
        assert [part for part in given.says if part not in done.stderr] == [], done.stderr
    if given.says == () and given.code == 0:
        assert "warning" not in done.stderr
    assert "Traceback" not in done.stderr
    assert given.values is None or given.values(tmp_path)


def test_there_are_forty() -> None:
    assert len(GIVEN) >= 40
