"""Datasets of several kinds as one list of samples."""

import json

import pytest

from cn import app
from cn.data.formats.dataset import open_dataset
from cn.errors import InputError
from tests.data.formats.sets import image, put, write_kinds, write_lines


def test_kinds_of_one_image_are_one_sample(tmp_path):
    write_kinds(tmp_path)
    dataset = open_dataset(tmp_path)
    assert dataset.kinds == ("canny", "depth", "openpose")
    samples = list(dataset.samples())
    assert [sample.name for sample in samples] == [f"target/3f/{n}.jpg" for n in range(4)]
    assert [sorted(sample.maps) for sample in samples] == [
        ["canny", "depth", "openpose"],
        ["canny", "depth", "openpose"],
        ["canny", "openpose"],
        ["canny", "depth", "openpose"],
    ]
    assert samples[1].extra == {"all": 1, "cn.extra": {"canny": {"low": 51}}}


def test_scenes_have_their_image_in_each_kind(tmp_path):
    words = ["dataset", "synth", str(tmp_path), "-n", "3", "--cond", "canny", "--cond", "depth", "--size", "32"]
    assert app.run([*words, "--workers", "1", "-q"]) == 0
    samples = list(open_dataset(tmp_path).samples())
    assert [(s.name, sorted(s.maps)) for s in samples] == [(f"target/{n:06}.png", ["canny", "depth"]) for n in range(3)]


def test_lines_in_another_order_and_repeated_ones(tmp_path):
    for number in range(2):
        put(tmp_path / f"target/{number}.png", image(number, "PNG"))
    for kind, order in (("canny", [0, 1, 0]), ("depth", [1, 0, 0])):
        lines = []
        for place, number in enumerate(order):
            put(tmp_path / kind / f"source/{place}.png", image(place, "PNG"))
            lines.append({"source": f"source/{place}.png", "target": f"../target/{number}.png", "prompt": "p"})
        write_lines(tmp_path / kind / "prompt.json", lines)
    found = [
        (sample.name, {kind: blob.path.removeprefix(f"{tmp_path}/") for kind, blob in sample.maps.items()})
        for sample in open_dataset(tmp_path).samples()
    ]
    assert found == [
        ("target/0.png", {"canny": "canny/source/0.png", "depth": "depth/source/1.png"}),
        ("target/1.png", {"canny": "canny/source/1.png", "depth": "depth/source/0.png"}),
        ("target/0.png", {"canny": "canny/source/2.png", "depth": "depth/source/2.png"}),
    ]


def test_problems_keep_their_line(tmp_path):
    write_kinds(tmp_path)
    (tmp_path / "depth/source/3f/1.png").unlink()
    problems = [(s.name, s.problem) for s in open_dataset(tmp_path).samples() if s.problem]
    assert [name for name, _ in problems] == ["target/3f/1.jpg"]
    assert "the source image" in problems[0][1]


def test_one_kind_out_of_several(tmp_path):
    write_kinds(tmp_path)
    dataset = open_dataset(tmp_path / "canny/prompt.json")
    assert dataset.kinds == ()
    assert [list(sample.maps) for sample in dataset.samples()] == [[""]] * 4


@pytest.mark.parametrize(
    "make", [lambda p: None, lambda p: put(p / "prompt.json", b""), lambda p: put(p / "a.txt", b"")]
)
def test_what_is_no_dataset(tmp_path, make):
    make(tmp_path / "set")
    with pytest.raises(InputError, match="set"):
        open_dataset(tmp_path / "set")


def test_a_description_that_is_broken_is_said(tmp_path):
    write_kinds(tmp_path)
    put(tmp_path / "dataset.json", json.dumps([1]).encode())
    with pytest.raises(InputError, match=r"dataset\.json: is not a JSON object"):
        open_dataset(tmp_path)
