"""`cn dataset build` and `merge` through the command line."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import numpy as np
import pytest

from cn import app, images
from cn.conditions import ConditionInfo
from cn.detect.lines.canny import canny, random_thresholds
from cn.detect.lines.hed import HedDetector
from cn.detect.lines.scribble_augmentation import augmented_scribble, random_augmentation
from tests.helpers.photos import contents, dataset_of, photo, records, statuses, write_photos

SIZE = ("--resolution", 64)


def build(src: object, out: Path, *words: object, cond: tuple[str, ...] = ("canny",)) -> int:
    kinds = [word for kind in cond for word in ("--cond", kind)]
    return app.run([str(word) for word in ("dataset", "build", src, out, *kinds, *SIZE, "-q", *words)])


def key_of(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()[:16]


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    return write_photos(tmp_path / "photos", 5)


def test_a_folder_becomes_a_dataset(tmp_path, photos, capsys):
    out = tmp_path / "set"
    assert build(photos, out) == 0
    assert capsys.readouterr().out == f"{out}\n"
    lines = records(out)
    assert len(lines) == 5
    assert [line["target"] for line in lines] == sorted(line["target"] for line in lines)
    for number in range(5):
        path = photos / f"{number:03d}{('.jpg', '.png')[number % 2]}"
        key = key_of(path)
        (line,) = [line for line in lines if key in line["target"]]
        assert line["source"] == f"source/{key[:2]}/{key}.png"
        assert line["prompt"] == f"shapes, number {number}"
        assert line["original_size"] == [96, 80]
        square = images.read(path)[:, 8:88]
        expected = images.resize(square, (64, 64))
        # The image is a JPEG; the map is that of the image before it was compressed.
        assert np.abs(images.read(out / line["target"]).astype(int) - expected).mean() < 6
        low, high = random_thresholds(0, key)
        assert np.array_equal(images.read(out / line["source"])[..., 0], canny(expected, low, high))
        info = ConditionInfo.from_text(images.read_info(out / line["source"]))
        assert (info.kind, info.params["low"], info.params["high"]) == ("canny", low, high)


def test_images_that_fit_keep_their_bytes(tmp_path):
    photos = write_photos(tmp_path / "photos", 2, width=64, height=64)
    rotated = images.encode(photo(7, 64, 64), "JPEG")
    exif = b"\xff\xe1\x00\x22Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x03\0\0\0\0\0\0"
    (photos / "rotated.jpg").write_bytes(rotated[:2] + exif + rotated[2:])
    assert build(photos, tmp_path / "set") == 0
    found = {path.suffix: path.read_bytes() for path in (tmp_path / "set/target").rglob("*.*")}
    assert found[".png"] == (photos / "001.png").read_bytes()
    kept = [path.read_bytes() for path in (tmp_path / "set/target").rglob("*.jpg")]
    assert (photos / "000.jpg").read_bytes() in kept
    # One that only some programs turn upright is written as it is to be seen.
    assert (photos / "rotated.jpg").read_bytes() not in kept
    upright = next(path for path in (tmp_path / "set/target").rglob(f"{key_of(photos / 'rotated.jpg')}.jpg"))
    assert np.abs(images.read(upright).astype(int) - photo(7, 64, 64)[::-1, ::-1]).mean() < 6


def test_order_workers_and_shards_change_nothing(tmp_path):
    photos = write_photos(tmp_path / "photos", 40)
    kinds = ("canny", "scribble", "hough")
    methods = ("--method", "scribble=gradient", "--method", "hough=lsd")
    assert build(photos, tmp_path / "one", "--workers", 1, *methods, cond=kinds) == 0
    expected = dataset_of(tmp_path / "one")
    assert {name for name in expected if name.endswith("prompt.json")} == {f"{kind}/prompt.json" for kind in kinds}
    assert build(photos, tmp_path / "three", "--workers", 3, "--shard-size", 7, *methods, cond=kinds) == 0
    assert dataset_of(tmp_path / "three") == expected
    # The same images under other names, in another order and in sub-folders.
    other = tmp_path / "other"
    for number, path in enumerate(sorted(photos.glob("0*.[jp][pn]g"))):
        place = other / f"{number % 3}" / f"{99 - number}{path.suffix}"
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, place)
        shutil.copy(path.with_suffix(".txt"), place.with_suffix(".txt"))
    assert build(other, tmp_path / "again", *methods, cond=kinds) == 0
    assert dataset_of(tmp_path / "again") == expected
    for part in (2, 0, 1):
        assert build(photos, tmp_path / "parts", "--shard", f"{part}/3", *methods, cond=kinds) == 0
    assert not (tmp_path / "parts/canny/prompt.json").exists()
    assert app.run(["dataset", "merge", str(tmp_path / "parts"), "-q"]) == 0
    assert dataset_of(tmp_path / "parts") == expected


def test_parts_in_folders_of_their_own(tmp_path, photos, capsys):
    whole = tmp_path / "whole"
    assert build(photos, whole, "--shard-size", 2) == 0
    for part in range(2):
        assert build(photos, tmp_path / f"part{part}", "--shard-size", 2, "--shard", f"{part}/2") == 0
    capsys.readouterr()
    assert app.run(["dataset", "merge", str(tmp_path / "part0"), str(tmp_path / "one"), "-q"]) == 3
    assert "1 of 3 shards are not built yet (1)" in capsys.readouterr().err
    both = [str(tmp_path / name) for name in ("part0", "part1", "out")]
    assert app.run(["dataset", "merge", *both, "-q"]) == 0
    assert dataset_of(tmp_path / "out") == dataset_of(whole)


def test_datasets_are_put_together_and_duplicates_found(tmp_path, capsys):
    first = write_photos(tmp_path / "first", 4)
    second = tmp_path / "second"
    second.mkdir()
    shutil.copy(first / "000.jpg", second / "same.jpg")
    shutil.copy(first / "000.txt", second / "same.txt")
    images.write(second / "new.png", photo(50))
    for layout in ("folder", "webdataset"):
        sets = [tmp_path / f"{layout}{number}" for number in range(3)]
        for source, out in zip((first, second), sets, strict=False):
            assert build(source, out, "--to", layout) == 0
        assert app.run(["dataset", "merge", *map(str, sets), "-q"]) == 0
        assert json.loads((sets[2] / "stats.json").read_text())["statuses"] == {"ok": 5, "duplicate": 1}
        if layout == "folder":
            assert len(records(sets[2])) == 5
            continue
        names = [name for tar in sorted(sets[2].glob("*.tar")) for name in tarfile.TarFile(tar).getnames()]
        assert len([name for name in names if name.endswith(".json")]) == 5
        assert len(names) == len(set(names)) == 5 * 4 - 1  # the new one has no caption
    assert build(first, tmp_path / "other", "--crop", "none") == 0
    capsys.readouterr()
    assert app.run(["dataset", "merge", str(tmp_path / "other"), str(tmp_path / "folder2"), "-q"]) == 3
    assert "other settings" in capsys.readouterr().err


def test_every_image_has_a_status(tmp_path, capsys):
    photos = write_photos(tmp_path / "photos", 2)
    (photos / "cut.jpg").write_bytes((photos / "000.jpg").read_bytes()[:300])
    images.write(photos / "flat.png", np.full((90, 90, 3), 70, np.uint8))
    images.write(photos / "tiny.png", photo(9, 20, 31))
    shutil.copy(photos / "001.png", photos / "twin.png")
    shutil.copy(photos / "001.txt", photos / "twin.txt")
    shutil.copy(photos / "001.png", photos / "other words.png")
    (photos / "latin.png").write_bytes((photos / "001.png").read_bytes() + b" ")
    (photos / "latin.txt").write_bytes("Brücke".encode("latin-1"))
    out = tmp_path / "set"
    assert build(photos, out) == 5
    errors = capsys.readouterr().err
    assert "cut.jpg: the image is broken or cut off" in errors
    assert "latin.png: " in errors
    assert "is not UTF-8" in errors
    assert "2 of 8 images could not be used" in errors
    found = statuses(out)
    assert {name: record["status"] for name, record in found.items()} == {
        "000.jpg": "ok",
        "001.png": "ok",
        "cut.jpg": "broken",
        "flat.png": "empty",
        "latin.png": "broken",
        "other words.png": "ok",
        "tiny.png": "too small",
        "twin.png": "duplicate",
    }
    assert found["tiny.png"]["original_size"] == [20, 31]
    # The same image with other words is another pair of the same files.
    assert len(records(out)) == 3
    assert len({line["target"] for line in records(out)}) == 2
    statistics = json.loads((out / "stats.json").read_text())
    assert statistics["images"] == 8
    assert statistics["kinds"]["canny"] == {
        "pairs": 3,
        "empty_share": 0.25,
        "statuses": {"ok": 3, "empty": 1, "duplicate": 1},
    }
    assert statistics["without_caption"] == 1
    assert statistics["caption_words"]["p50"] == 3


def test_empty_maps_can_be_kept(tmp_path):
    photos = write_photos(tmp_path / "photos", 1)
    images.write(photos / "flat.png", np.full((90, 90, 3), 70, np.uint8))
    assert build(photos, tmp_path / "set", "--on-empty", "keep") == 0
    assert len(records(tmp_path / "set")) == 2


def test_a_kind_without_a_map_does_not_cost_the_others(tmp_path):
    photos = write_photos(tmp_path / "photos", 1)
    gentle = np.repeat(np.linspace(0, 255, 96)[None, :, None], 96, axis=0).repeat(3, axis=2).astype(np.uint8)
    images.write(photos / "gentle.png", gentle)
    assert build(photos, tmp_path / "set", "--method", "hed=gradient", cond=("canny", "hed")) == 0
    assert len(records(tmp_path / "set", "canny")) == 1
    status = statuses(tmp_path / "set")["gentle.png"]
    assert status["kinds"]["canny"]["status"] == "empty"
    assert len(records(tmp_path / "set", "hed")) == (2 if status["kinds"]["hed"]["status"] == "ok" else 1)
    for kind in ("canny", "hed"):
        for line in records(tmp_path / "set", kind):
            assert (tmp_path / "set" / kind / line["source"]).is_file()
            assert (tmp_path / "set" / kind / line["target"]).is_file()


def test_scribbles_have_the_augmentation_of_their_content(tmp_path, photos):
    assert build(photos, tmp_path / "set", "--method", "scribble=gradient", "--seed", 3, cond=("scribble",)) == 0
    path = photos / "001.png"
    square = images.resize(images.read(path)[:, 8:88], (64, 64))
    (soft,) = HedDetector().maps([square])
    expected = augmented_scribble(soft, random_augmentation(3, key_of(path)))
    made = images.read(next((tmp_path / "set/source").rglob(f"{key_of(path)}.png")))[..., 0]
    assert np.array_equal(made, expected)


def test_new_images_are_added_and_others_left_alone(tmp_path, photos, capsys):
    out = tmp_path / "set"
    assert build(photos, out) == 0
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*.png")}
    for number in range(20, 23):
        images.write(photos / f"0{number}.png", photo(number))
    images.write(photos / "0000.png", photo(60))  # sorted before the others
    assert build(photos, out) == 0
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert build(photos, tmp_path / "whole") == 0
    assert dataset_of(out) == dataset_of(tmp_path / "whole")
    whole = contents(out)
    assert build(photos, out) == 0
    assert contents(out) == whole


def test_other_settings_do_not_mix(tmp_path, photos, capsys):
    out = tmp_path / "set"
    assert build(photos, out) == 0
    whole = contents(out)
    for words in (("--seed", 1), ("--crop", "none"), ("--set", "canny.low=80"), ("--on-empty", "keep")):
        assert build(photos, out, *words) == 3
        assert f"other settings ({words[0]}" in capsys.readouterr().err
    assert build(photos, out, cond=("canny", "hed")) == 3
    assert contents(out) == whole
    (out / "mine.txt").write_text("mine")
    assert build(photos, out, "--overwrite", "--seed", 1) == 0
    assert (out / "mine.txt").read_text() == "mine"
    assert build(photos, tmp_path / "fresh", "--seed", 1) == 0
    assert dataset_of(out) == dataset_of(tmp_path / "fresh") | {"mine.txt": b"mine"}


def test_a_folder_of_other_things_is_not_touched(tmp_path, photos, capsys):
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs/letter.txt").write_text("dear")
    assert build(photos, tmp_path / "docs") == 3
    assert "holds other files already" in capsys.readouterr().err
    assert contents(tmp_path / "docs") == {"letter.txt": b"dear"}
    assert build(photos, tmp_path / "docs/letter.txt") == 3


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--resolution", 100), "multiple of 64"),
        (("--method", "canny=x"), "canny has no methods"),
        (("--method", "hed=x"), "hed is not among the conditions: add --cond hed"),
        (("--set", "canny.lo=3"), "there is no such setting; there are: low, high, random, seed"),
        (("--set", "canny.low=much"), "must be a number"),
        (("--set", "canny.low"), "expected KIND=VALUE"),
        (("--set", "canny=3"), "--set is KIND.NAME=VALUE"),
        (("--shard", "4/4"), "I from 0 to N - 1"),
        (("--labels", "x"), "--labels needs --cond ade20k"),
        (("--cond", "eges"), "unknown condition"),
    ],
)
def test_wrong_options(tmp_path, photos, words, message, capsys):
    assert build(photos, tmp_path / "set", *words) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "set/build/plan.json").exists()


def test_missing_weights_are_said_before_anything_is_written(tmp_path, photos, capsys, monkeypatch):
    monkeypatch.setenv("CN_OFFLINE", "1")
    monkeypatch.setenv("CN_WEIGHTS", str(tmp_path / "none"))
    assert build(photos, tmp_path / "set", cond=("hed",)) == 4
    assert "--method" in capsys.readouterr().err
    assert not (tmp_path / "set/target").exists()


def test_shards_in_webdataset_format(tmp_path, photos):
    out = tmp_path / "set"
    assert build(photos, out, "--to", "webdataset", "--shard-size", 2) == 0
    assert sorted(path.name for path in out.glob("*.tar")) == ["00000.tar", "00001.tar", "00002.tar"]
    assert build(photos, tmp_path / "folder") == 0
    samples: dict[str, dict[str, bytes]] = {}
    for path in sorted(out.glob("*.tar")):
        with tarfile.open(path) as tar:
            for member in tar:
                assert (member.mtime, member.uid, member.uname) == (0, 0, "")
                key, _, suffix = member.name.partition(".")
                samples.setdefault(key, {})[suffix] = tar.extractfile(member).read()
    assert len(samples) == 5
    for line in records(tmp_path / "folder"):
        sample = samples[Path(line["target"]).stem]
        assert sample["jpg"] == (tmp_path / "folder" / line["target"]).read_bytes()
        assert sample["cond.png"] == (tmp_path / "folder" / line["source"]).read_bytes()
        assert sample["txt"].decode() == line["prompt"]
        assert json.loads(sample["json"])["original_width"] == 96
    again = tmp_path / "again"
    assert build(photos, again, "--to", "webdataset", "--shard-size", 2, "--workers", 3) == 0
    assert contents(again) == contents(out)


def test_paths_on_standard_input(tmp_path, photos):
    assert build(photos, tmp_path / "folder") == 0
    paths = "\n".join(str(path) for path in sorted(photos.glob("*.[jp][pn]g"), reverse=True))
    words = ["dataset", "build", "-", str(tmp_path / "piped"), "--cond", "canny", "--resolution", "64"]
    done = subprocess.run([sys.executable, "-m", "cn", *words], input=paths, text=True, capture_output=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"{tmp_path / 'piped'}\n"
    assert dataset_of(tmp_path / "piped") == dataset_of(tmp_path / "folder")


def test_a_source_that_disappears(tmp_path, photos, capsys):
    out = tmp_path / "set"
    assert build(photos, out, "--shard-size", 2, "--shard", "0/3") == 0
    os.rename(photos, tmp_path / "away")
    assert build(photos, out, "--shard-size", 2, "--shard", "1/3") == 3
    assert "the source is not there any more; the build can be continued" in capsys.readouterr().err
    os.rename(tmp_path / "away", photos)
    assert build(photos, out, "--shard-size", 2) == 0
    assert build(photos, tmp_path / "whole", "--shard-size", 2) == 0
    assert contents(out) == contents(tmp_path / "whole")


def test_an_image_that_could_not_be_read_is_tried_again(tmp_path, photos, capsys):
    out = tmp_path / "set"
    assert build(photos, out, "--shard", "0/2", "--shard-size", 3) == 0
    os.rename(photos / "004.jpg", tmp_path / "004.jpg")
    assert build(photos, out, "--shard-size", 3) == 5
    assert "004.jpg: no such file" in capsys.readouterr().err
    assert statuses(out)["004.jpg"]["status"] == "unreadable"
    os.rename(tmp_path / "004.jpg", photos / "004.jpg")
    assert build(photos, out, "--shard-size", 3) == 0
    assert build(photos, tmp_path / "whole", "--shard-size", 3) == 0
    assert contents(out) == contents(tmp_path / "whole")


def test_json(tmp_path, photos, capsys):
    assert build(photos, tmp_path / "set", "--json") == 0
    (line,) = capsys.readouterr().out.splitlines()
    record = json.loads(line)
    assert record["path"] == str(tmp_path / "set")
    assert record["kinds"]["canny"]["pairs"] == 5
    assert record["seconds"] > 0
