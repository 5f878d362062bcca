"""The same images and captions in every layout give identical datasets."""

import csv
import io
import json
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from cn import app
from tests.helpers.photos import dataset_of, records, write_photos


def folder(photos: Path, out: Path) -> Path:
    """Images with captions beside them."""
    return Path(shutil.copytree(photos, out))


def kohya(photos: Path, out: Path) -> Path:
    """sd-scripts' folder of repeats."""
    shutil.copytree(photos, out / "10_shapes")
    return out


def official(photos: Path, out: Path) -> Path:
    """A list of images and captions in JSON lines, without maps."""
    shutil.copytree(photos, out / "target")
    return write_lines(
        out / "list.jsonl", [{"image": f"target/{p.name}", "prompt": caption(p)} for p in images_of(photos)]
    )


def imagefolder(photos: Path, out: Path) -> Path:
    """Hugging Face's imagefolder."""
    shutil.copytree(photos, out / "train", ignore=shutil.ignore_patterns("*.txt"))
    write_lines(out / "train/metadata.jsonl", [{"file_name": p.name, "text": caption(p)} for p in images_of(photos)])
    return out


def table(photos: Path, out: Path) -> Path:
    """A list in CSV."""
    out.mkdir()
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(["path", "caption"])
    writer.writerows([str(p), caption(p)] for p in images_of(photos))
    (out / "list.csv").write_text(text.getvalue())
    return out / "list.csv"


def parquet(photos: Path, out: Path) -> Path:
    """As `datasets` writes it."""
    datasets = pytest.importorskip("datasets")
    features = datasets.Features({"image": datasets.Image(), "text": datasets.Value("string")})
    rows = [{"image": {"bytes": p.read_bytes(), "path": p.name}, "text": caption(p)} for p in images_of(photos)]
    out.mkdir()
    datasets.Dataset.from_list(rows, features=features).to_parquet(str(out / "train-00000-of-00001.parquet"))
    return out


def webdataset(photos: Path, out: Path) -> Path:
    """Shards as img2dataset leaves them."""
    out.mkdir()
    for shard, paths in enumerate((images_of(photos)[:3], images_of(photos)[3:])):
        with tarfile.open(out / f"{shard:05d}.tar", "w") as tar:
            for path in paths:
                tar.add(path, f"{path.stem:0>9}{path.suffix}")
                tar.add(path.with_suffix(".txt"), f"{path.stem:0>9}.txt")
    return out


def images_of(photos: Path) -> list[Path]:
    return [path for path in sorted(photos.iterdir()) if path.suffix != ".txt"]


def caption(path: Path) -> str:
    return path.with_suffix(".txt").read_text().strip()


def write_lines(path: Path, rows: list[dict[str, str]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.fixture(scope="module")
def photos(tmp_path_factory) -> Path:
    return write_photos(tmp_path_factory.mktemp("layouts") / "photos", 7)


@pytest.fixture(scope="module")
def expected(photos, tmp_path_factory) -> dict[str, bytes]:
    return built(photos, tmp_path_factory.mktemp("expected") / "set")


def built(src: Path, out: Path) -> dict[str, bytes]:
    words = ("dataset", "build", src, out, "--cond", "canny", "--resolution", 64, "-q")
    assert app.run([str(word) for word in words]) == 0
    return dataset_of(out)


@pytest.mark.parametrize("layout", [folder, kohya, official, imagefolder, table, parquet, webdataset])
def test_layouts(tmp_path, photos, expected, layout):
    assert len(expected) == 7 * 2 + 3
    assert built(layout(photos, tmp_path / "source"), tmp_path / "set") == expected


def test_a_pipe(tmp_path, photos, expected):
    paths = "".join(f"{path}\n" for path in images_of(photos))
    words = ["dataset", "build", "-", str(tmp_path / "set"), "--cond", "canny", "--resolution", "64", "-q"]
    done = subprocess.run([sys.executable, "-m", "cn", *words], input=paths, text=True, capture_output=True)
    assert done.returncode == 0, done.stderr
    assert dataset_of(tmp_path / "set") == expected


def test_a_dataset_of_a_build_is_a_source_again(tmp_path, photos):
    words = ["--cond", "canny", "--cond", "hed", "--method", "hed=gradient", "--resolution", "64", "-q"]
    assert app.run(["dataset", "build", str(photos), str(tmp_path / "one"), *words]) == 0
    # Its own maps are taken, and the images are those that were written.
    assert app.run(["dataset", "build", str(tmp_path / "one"), str(tmp_path / "two"), *words]) == 0
    for kind in ("canny", "hed"):
        first, second = (
            {
                line["prompt"]: (tmp_path / name / kind / line["source"]).read_bytes()
                for line in records(tmp_path / name, kind)
            }
            for name in ("one", "two")
        )
        assert len(first) == 7
        assert first == second
