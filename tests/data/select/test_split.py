"""`cn dataset split`: what belongs together stays together, and what is added later moves little."""

import io
import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from cn import app
from tests.data.formats.sets import put, write_lines
from tests.data.test_near_duplicates import picture


def encoded(array: np.ndarray, format: str = "PNG", **options) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(array).save(buffer, format, **options)
    return buffer.getvalue()


def write(root: Path, images: dict[str, bytes], extra: dict[str, dict] | None = None) -> Path:
    lines = []
    for name, data in images.items():
        put(root / "target" / name, data)
        put(root / "source" / f"{name}.png", encoded(np.zeros((8, 8, 3), np.uint8)))
        line = {"source": f"source/{name}.png", "target": f"target/{name}", "prompt": name}
        lines.append({**line, **(extra or {}).get(name, {})})
    write_lines(root / "prompt.json", lines)
    return root


def split(*words: object) -> int:
    return app.run(["dataset", "split", *map(str, words)])


def side(root: Path, name: str) -> set[str]:
    lines = (root / name / "prompt.json").read_text().splitlines()
    return {json.loads(line)["prompt"] for line in lines}


def sides(root: Path) -> tuple[set[str], set[str]]:
    return side(root, "train"), side(root, "validation")


def test_near_duplicates_are_on_one_side(tmp_path, capsys):
    images = {}
    for number in range(20):
        image = picture(number)
        images[f"{number:02}-a.png"] = encoded(image)
        images[f"{number:02}-b.jpg"] = encoded(image, "JPEG", quality=60)
        images[f"{number:02}-c.png"] = encoded(cv2.resize(image, (96, 72), interpolation=cv2.INTER_AREA))
    write(tmp_path / "set", images)
    assert split(tmp_path / "set", tmp_path / "out", "--validation", 12, "--json") == 0
    records = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(r["side"], r["count"]) for r in records] == [("train", 48), ("validation", 12)]
    train, validation = sides(tmp_path / "out")
    assert len(validation) == 12
    assert train | validation == set(images)
    assert {name[:2] for name in train} & {name[:2] for name in validation} == set()


def test_what_the_lines_say_belongs_together(tmp_path):
    images = {f"{number:02}.png": encoded(picture(number)) for number in range(30)}
    extra = {f"{number:02}.png": {"video": f"clip{number // 5}", "patient": number % 3} for number in range(30)}
    write(tmp_path / "set", images, extra)
    assert split(tmp_path / "set", tmp_path / "out", "--validation", "20%") == 0
    train, validation = sides(tmp_path / "out")
    assert len(validation) == 5
    assert {int(name[:2]) // 5 for name in train} & {int(name[:2]) // 5 for name in validation} == set()
    for line in (tmp_path / "set/prompt.json").read_text().splitlines():
        assert "video" in json.loads(line)
    plain = {name: {"patient": values["patient"]} for name, values in extra.items()}
    write(tmp_path / "patients", images, plain)
    assert split(tmp_path / "patients", tmp_path / "p", "--validation", 10, "--group-by", "patient") == 0
    train, validation = sides(tmp_path / "p")
    assert len(validation) == 10
    assert {int(name[:2]) % 3 for name in train} & {int(name[:2]) % 3 for name in validation} == set()


def test_frames_of_a_video_that_was_built(tmp_path):
    images = {f"{number:02}.png": encoded(picture(number)) for number in range(20)}
    write(tmp_path / "set", images)
    statuses = [
        {"name": f"clip{number // 4}.mp4#{number:06}", "status": "ok", "target": f"target/{number:02}.png"}
        for number in range(20)
    ]
    write_lines(tmp_path / "set/build/status/00000.jsonl", statuses)
    assert split(tmp_path / "set", tmp_path / "out", "--validation", 4) == 0
    train, validation = sides(tmp_path / "out")
    assert {int(name[:2]) // 4 for name in train} & {int(name[:2]) // 4 for name in validation} == set()
    assert len(validation) == 4


def test_lines_of_one_image(tmp_path):
    images = {f"{number}.png": encoded(picture(number)) for number in range(6)}
    write(tmp_path / "set", images)
    lines = [json.loads(line) for line in (tmp_path / "set/prompt.json").read_text().splitlines()]
    write_lines(tmp_path / "set/prompt.json", lines + [{**line, "prompt": f"other {line['prompt']}"} for line in lines])
    assert split(tmp_path / "set", tmp_path / "out", "--validation", 4) == 0
    train, validation = sides(tmp_path / "out")
    assert len(validation) == 4
    assert {name[-5:] for name in train} & {name[-5:] for name in validation} == set()


def test_images_that_are_added_move_few_others(tmp_path):
    images = {f"{number:03}.png": encoded(picture(number, 48, 64)) for number in range(120)}
    write(tmp_path / "before", dict(list(images.items())[:100]))
    write(tmp_path / "after", dict(reversed(images.items())))
    for name in ("before", "after"):
        assert split(tmp_path / name, tmp_path / f"out-{name}", "--validation", "0.2", "-q") == 0
    before, after = side(tmp_path / "out-before", "validation"), side(tmp_path / "out-after", "validation")
    old = {name for name in after if name in dict(list(images.items())[:100])}
    assert (len(before), len(after)) == (20, 24)
    assert len(before ^ old) <= 6, "a fifth of the new ones is expected to push as many old ones out or in"
    assert split(tmp_path / "before", tmp_path / "seed", "--validation", "0.2", "--seed", 1) == 0
    assert side(tmp_path / "seed", "validation") != before


def test_a_large_group_stays_in_training(tmp_path, capsys):
    images = {f"same{number:02}.png": encoded(picture(0)) for number in range(15)}
    images |= {f"{number:02}.png": encoded(picture(number)) for number in range(1, 21)}
    write(tmp_path / "set", images)
    assert split(tmp_path / "set", tmp_path / "out", "--validation", 16) == 0
    _, validation = sides(tmp_path / "out")
    assert len(validation) == 16
    assert not any(name.startswith("same") for name in validation)
    assert "15 samples are alike and stay together, such as target/same00.png" in capsys.readouterr().err


def test_broken_images_are_on_neither_side(tmp_path, capsys):
    images = {f"{number}.png": encoded(picture(number)) for number in range(6)}
    write(tmp_path / "set", {**images, "broken.png": images["0.png"][:200]})
    assert split(tmp_path / "set", tmp_path / "out", "--validation", 2) == 5
    assert "broken.png" in capsys.readouterr().err
    train, validation = sides(tmp_path / "out")
    assert (len(train), len(validation)) == (4, 2)
    assert "broken.png" not in train | validation


@pytest.mark.parametrize("value", ["0", "-3", "1.5", "100%", "0%", "many", "nan", "inf", ""])
def test_what_is_no_number_of_samples(tmp_path, value, capsys):
    assert split(tmp_path, tmp_path / "out", f"--validation={value}") == 2
    assert "0.05 or 5%" in " ".join(capsys.readouterr().err.split())


def test_nothing_would_be_left(tmp_path, capsys):
    write(tmp_path / "set", {f"{number}.png": encoded(picture(number)) for number in range(3)})
    assert split(tmp_path / "set", tmp_path / "out", "--validation", 3) == 3
    assert "has 3 samples that can be used; 3 for validation leave none" in capsys.readouterr().err
    write(tmp_path / "same", {f"{number}.png": encoded(picture(0)) for number in range(3)})
    assert split(tmp_path / "same", tmp_path / "out", "--validation", 1) == 3
    assert "3 samples are alike" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
