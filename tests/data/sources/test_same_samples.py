"""The same images, captions and maps in every layout, written with the tools that people use, give the same samples."""

import csv
import hashlib
import io
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from cn.data.sources.open import open_source
from cn.data.sources.parts import from_record

NUMBER = 5
CAPTIONS = ["a red house", 'two "quoted", cats', "drei Bäume: 木", "a line, with commas", "last"]

Writer = Callable[[Path, Path], dict[str, Any]]
WRITERS: dict[str, Writer] = {}


def layout(write: Writer) -> Writer:
    WRITERS[write.__name__] = write
    return write


@pytest.fixture(scope="module")
def given(tmp_path_factory) -> Path:
    """images/N.jpg, maps/N.png, and captions by number."""
    root = tmp_path_factory.mktemp("given")
    for n in range(NUMBER):
        for folder, suffix in (("images", "jpg"), ("maps", "png")):
            pixels = np.random.default_rng([n, len(folder)]).integers(0, 256, (16, 24, 3), np.uint8)
            (root / folder).mkdir(exist_ok=True)
            Image.fromarray(pixels).save(root / folder / f"{n}.{suffix}")
    return root


def expected(given: Path) -> list[tuple[str, str, str]]:
    return sorted((digest(image(given, n)), CAPTIONS[n], digest(condition(given, n))) for n in range(NUMBER))


def image(given: Path, n: int) -> bytes:
    return (given / f"images/{n}.jpg").read_bytes()


def condition(given: Path, n: int) -> bytes:
    return (given / f"maps/{n}.png").read_bytes()


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:16]


@layout
def folder(given: Path, out: Path) -> dict[str, Any]:
    shutil.copytree(given / "images", out / "day/images")
    shutil.copytree(given / "maps", out / "conditioning/images")
    for n in range(NUMBER):
        (out / f"day/images/{n}.{'caption' if n % 2 else 'txt'}").write_text(f"{CAPTIONS[n]}\n")
    return {"layout": "folder"}


@layout
def folder_and_conditions(given: Path, out: Path) -> dict[str, Any]:
    shutil.copytree(given / "images", out)
    for n in range(NUMBER):
        (out / f"{n}.txt").write_text(CAPTIONS[n])
    return {"layout": "folder", "conditions": str(given / "maps")}


@layout
def fill50k(given: Path, out: Path) -> dict[str, Any]:
    shutil.copytree(given / "images", out / "target")
    shutil.copytree(given / "maps", out / "source")
    lines = [{"source": f"source/{n}.png", "target": f"target/{n}.jpg", "prompt": CAPTIONS[n]} for n in range(NUMBER)]
    (out / "prompt.json").write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    return {"layout": "prompt.json"}


def copied(given: Path, out: Path) -> None:
    shutil.copytree(given / "images", out / "images")
    shutil.copytree(given / "maps", out / "maps")


def rows(text: str = "text", image: str = "file_name", condition: str = "conditioning_image_file_name") -> list[dict]:
    return [{image: f"images/{n}.jpg", text: CAPTIONS[n], condition: f"maps/{n}.png"} for n in range(NUMBER)]


@layout
def imagefolder_jsonl(given: Path, out: Path) -> dict[str, Any]:
    copied(given, out / "train")
    (out / "train/metadata.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows()))
    return {"layout": "imagefolder"}


@layout
def imagefolder_csv(given: Path, out: Path) -> dict[str, Any]:
    copied(given, out)
    written_csv(out / "metadata.csv", rows(condition="conditioning_image"))
    return {"layout": "imagefolder"}


@layout
def imagefolder_parquet(given: Path, out: Path) -> dict[str, Any]:
    import pyarrow
    import pyarrow.parquet

    copied(given, out)
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows("prompt")), out / "metadata.parquet")
    return {"layout": "imagefolder"}


def written_csv(path: Path, rows: list[dict], **options: Any) -> None:
    with path.open("w", newline="", encoding=options.pop("encoding", "utf-8")) as file:
        writer = csv.DictWriter(file, list(rows[0]), **options)
        writer.writeheader()
        writer.writerows(rows)


@layout
def csv_list(given: Path, out: Path) -> dict[str, Any]:
    copied(given, out)
    written_csv(out / "mine.csv", rows("caption", "path", "control"), delimiter=";", encoding="utf-8-sig")
    return {"layout": "list"}


@layout
def csv_list_elsewhere(given: Path, out: Path) -> dict[str, Any]:
    out.mkdir()
    written_csv(out / "mine.csv", rows("beschreibung", "bild", "kanten"))
    return {
        "src": out / "mine.csv",
        "layout": "list",
        "images": str(given),
        "columns": {"image": "bild", "caption": "beschreibung", "condition": "kanten"},
    }


@layout
def tsv_list(given: Path, out: Path) -> dict[str, Any]:
    copied(given, out)
    written_csv(out / "mine.tsv", rows("caption", "image", "hint"), delimiter="\t")
    return {"layout": "list", "src": out / "mine.tsv"}


@layout
def json_array(given: Path, out: Path) -> dict[str, Any]:
    copied(given, out)
    (out / "all.json").write_text(json.dumps(rows("captions", "img", "condition"), indent=1))
    return {"layout": "list"}


@layout
def kohya_metadata(given: Path, out: Path) -> dict[str, Any]:
    shutil.copytree(given / "images", out)
    shutil.copytree(given / "maps", out / "conditioning")
    (out / "meta_cap.json").write_text(json.dumps({f"{n}.jpg": {"caption": CAPTIONS[n]} for n in range(NUMBER)}))
    return {"layout": "kohya"}


@layout
def kohya_folders(given: Path, out: Path) -> dict[str, Any]:
    shutil.copytree(given / "images", out / "train/10_any thing")
    shutil.copytree(given / "maps", out / "conditioning")
    for n in range(NUMBER):
        (out / f"train/10_any thing/{n}.caption").write_text(CAPTIONS[n])
    return {"layout": "kohya", "extra": {"repeats": 10}}


@layout
def kinds_of_cn(given: Path, out: Path) -> dict[str, Any]:
    shutil.copytree(given / "images", out / "target")
    for kind in ("canny", "depth"):
        shutil.copytree(given / "maps", out / kind / "source")
        lines = [
            {"source": f"source/{n}.png", "target": f"../target/{n}.jpg", "prompt": CAPTIONS[n]} for n in range(NUMBER)
        ]
        (out / kind / "prompt.json").write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    return {"layout": "prompt.json", "kinds": ["canny", "depth"]}


def records(given: Path) -> dict[str, list[Any]]:
    return {
        "image": [{"bytes": image(given, n), "path": f"{n}.jpg"} for n in range(NUMBER)],
        "conditioning_image": [{"bytes": condition(given, n), "path": None} for n in range(NUMBER)],
        "text": CAPTIONS,
    }


def hugging_face(given: Path) -> Any:
    import datasets

    features = {"image": datasets.Image(), "conditioning_image": datasets.Image(), "text": datasets.Value("string")}
    return datasets.Dataset.from_dict(records(given), features=datasets.Features(features))


@layout
def parquet_of_datasets(given: Path, out: Path) -> dict[str, Any]:
    (out / "data").mkdir(parents=True)
    dataset = hugging_face(given)
    for k in range(2):
        dataset.shard(2, k, contiguous=True).to_parquet(out / f"data/train-0000{k}-of-00002.parquet", batch_size=2)
    (out / "README.md").write_text("---\n---\n")
    return {"layout": "parquet"}


@layout
def saved_to_disk(given: Path, out: Path) -> dict[str, Any]:
    hugging_face(given).save_to_disk(str(out))
    return {"layout": "parquet"}


@layout
def parquet_of_bytes(given: Path, out: Path) -> dict[str, Any]:
    import pyarrow
    import pyarrow.parquet

    out.mkdir()
    columns = {
        "jpg": [image(given, n) for n in range(NUMBER)],
        "cond": [condition(given, n) for n in range(NUMBER)],
        "caption": [[text, "another"] for text in CAPTIONS],
    }
    pyarrow.parquet.write_table(pyarrow.table(columns), out / "a.parquet", row_group_size=2)
    return {"layout": "parquet", "src": out / "a.parquet"}


@layout
def shards_of_webdataset(given: Path, out: Path) -> dict[str, Any]:
    import webdataset

    out.mkdir()
    with webdataset.ShardWriter(str(out / "%05d.tar"), maxcount=2, verbose=0) as writer:
        for n in range(NUMBER):
            record = {"__key__": f"{n:03}", "jpg": image(given, n), "cond.png": condition(given, n)}
            writer.write(record | ({"txt": CAPTIONS[n]} if n % 2 else {"json": {"caption": CAPTIONS[n]}}))
    return {"layout": "webdataset"}


@layout
def compressed_shard(given: Path, out: Path) -> dict[str, Any]:
    import tarfile

    out.mkdir()
    with tarfile.open(out / "a.tar.gz", "w:gz") as file:
        for n in range(NUMBER):
            contents = {"jpg": image(given, n), "conditioning.png": condition(given, n), "txt": CAPTIONS[n].encode()}
            for suffix, data in contents.items():
                info = tarfile.TarInfo(f"{n}.{suffix}")
                info.size = len(data)
                file.addfile(info, io.BytesIO(data))
    return {"layout": "webdataset"}


@layout
def records_on_standard_input(given: Path, out: Path) -> dict[str, Any]:
    lines = [json.dumps(row) for row in rows("text", "path", "condition")]
    return {"src": "-", "layout": "list", "stdin_paths": lines, "images": str(given)}


@layout
def paths_on_standard_input(given: Path, out: Path) -> dict[str, Any]:
    folder_and_conditions(given, out)
    paths = [str(out / f"{n}.jpg").encode() for n in range(NUMBER)]
    return {"src": "-", "layout": "list", "stdin_paths": paths, "conditions": str(given / "maps")}


@layout
def text_list(given: Path, out: Path) -> dict[str, Any]:
    copied(given, out)
    (out / "list.txt").write_text("".join(f"images/{n}.jpg\t{CAPTIONS[n]}\n" for n in range(NUMBER)))
    return {"src": out / "list.txt", "layout": "list", "conditions": str(given / "maps")}


@pytest.mark.parametrize("name", WRITERS)
def test_every_layout_gives_the_same_samples(name, given, tmp_path):
    options = WRITERS[name](given, tmp_path / "set")
    expected_layout, extra, kinds = options.pop("layout"), options.pop("extra", {}), options.pop("kinds", [""])
    source = open_source(str(options.pop("src", tmp_path / "set")), **options)
    assert source.layout == expected_layout
    found = list(source.samples())
    assert [sample.problem for sample in found] == [None] * NUMBER
    assert len({sample.name for sample in found}) == NUMBER
    for kind in kinds:
        got = [(digest(s.image.read()), s.read_caption(), digest(s.maps[kind].read())) for s in found]
        assert sorted(got) == expected(given)
    assert [(sorted(s.maps), dict(s.extra)) for s in found] == [(kinds, extra)] * NUMBER
    assert not source.left_out, source.left_out.text()
    assert f"{len(found)}" in source.about or "shard" in source.about

    stored = [json.loads(json.dumps(part.record(0, None))) for part in source.parts]
    again = [sample for record in stored for sample in from_record(record).samples()]
    assert again == found
    for part in source.parts:
        assert list(from_record(part.record(1, 2)).samples()) == list(part.samples())[1:2]
