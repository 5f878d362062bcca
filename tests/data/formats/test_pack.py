"""Packing into each layout, read back by the libraries that people use."""

import io
import json
import os
import tarfile
from pathlib import Path

import datasets
import pytest
import webdataset as wds
from PIL import Image

from cn.data.formats import packing
from cn.data.formats.opened import open_any
from cn.errors import InputError
from tests.data.formats.sets import CAPTIONS, EXTRAS, MISSING, NAMES, contents, put, write_kinds, write_set


@pytest.fixture(autouse=True)
def offline(tmp_path, monkeypatch):
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "hf")
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    datasets.disable_progress_bars()


def pack(source: Path | str, out: Path | str, layout: str, **options) -> packing.Pack:
    opened = open_any(str(source))
    words = {"description": opened.description, **options}
    return packing.run(packing.prepare(opened.samples, opened.root, str(out), layout, **words))


def load(layout: str, out: Path) -> datasets.Dataset:
    return datasets.load_dataset(layout, data_dir=str(out), split="train", cache_dir=str(out.parent / "hf"))


def raw(cell: dict) -> bytes:
    return cell["bytes"] if cell["bytes"] is not None else Path(cell["path"]).read_bytes()


def test_webdataset_reads_the_shards(tmp_path):
    write_set(tmp_path / "set")
    done = pack(tmp_path / "set", tmp_path / "out", "webdataset", shard_size=3)
    assert done.files == ("00000.tar", "00001.tar", "00002.tar")
    assert (done.samples, done.left_out.count) == (8, 0)
    shards = [str(tmp_path / "out" / name) for name in done.files]
    samples = list(wds.WebDataset(shards, shardshuffle=False))
    assert len(samples) == 8
    for sample, name, caption in zip(samples, NAMES, CAPTIONS, strict=True):
        ending = {"JPEG": "jpg"}.get(name.rpartition(".")[2], name.rpartition(".")[2])
        assert sample[ending] == (tmp_path / "set/target" / name).read_bytes()
        assert sample["txt"].decode() == ("" if caption is MISSING else caption)
        assert {ending, "cond.png", "txt", "json"} <= set(sample)
    keys = [sample["__key__"] for sample in samples]
    assert len({key.lower() for key in keys}) == 8
    assert not any("." in key or "/" in key or not key.isascii() for key in keys)
    assert keys[0] == "a"
    decoded = next(iter(wds.WebDataset(shards, shardshuffle=False).decode("pil")))
    assert isinstance(decoded["jpg"], Image.Image)
    assert decoded["cond.png"].size == (24, 16)
    assert decoded["json"]["cn"] == {"image": "target/a.jpg", "maps": {"cond": "source/a.0.png"}}


def test_several_kinds_in_shards(tmp_path):
    write_kinds(tmp_path / "set")
    pack(tmp_path / "set", tmp_path / "out", "webdataset")
    samples = list(wds.WebDataset(str(tmp_path / "out/00000.tar"), shardshuffle=False))
    assert [sample["__key__"][:5] for sample in samples] == ["3f-0-", "3f-1-", "3f-2-", "3f-3-"]
    for number, sample in enumerate(samples):
        assert sample["jpg"] == (tmp_path / f"set/target/3f/{number}.jpg").read_bytes()
        for kind in ("canny", "depth", "openpose"):
            if (kind, number) == ("depth", 2):
                assert "depth.png" not in sample
            else:
                assert sample[f"{kind}.png"] == (tmp_path / f"set/{kind}/source/3f/{number}.png").read_bytes()
    assert json.loads((tmp_path / "out/dataset.json").read_bytes()) == json.loads(
        (tmp_path / "set/dataset.json").read_bytes()
    )


def test_headers_say_nothing_of_this_machine_and_shards_depend_on_the_samples_alone(tmp_path, monkeypatch):
    write_set(tmp_path / "set")
    pack(tmp_path / "set", tmp_path / "one", "webdataset")
    os.utime(tmp_path / "set/target/a.jpg", (1, 1))
    monkeypatch.chdir(tmp_path)
    pack(Path("set"), Path("two"), "webdataset")
    assert contents(tmp_path / "one") == contents(tmp_path / "two")
    with tarfile.open(tmp_path / "one/00000.tar") as tar:
        for member in tar:
            assert (member.mtime, member.uid, member.gid, member.uname, member.gname) == (0, 0, 0, "", "")
            assert (member.mode, member.isreg()) == (0o644, True)


def names_in(file: Path) -> list[str]:
    with tarfile.open(file) as tar:
        return tar.getnames()


def test_bytes_limit_shards(tmp_path):
    for number in range(5):
        put(tmp_path / f"set/target/{number}.png", bytes(1000 if number != 3 else 5000))
        put(tmp_path / f"set/source/{number}.png", bytes(500))
    lines = [json.dumps({"source": f"source/{n}.png", "target": f"target/{n}.png"}) for n in range(5)]
    put(tmp_path / "set/prompt.json", "\n".join(lines).encode())
    done = pack(tmp_path / "set", tmp_path / "out", "webdataset", max_bytes=3000)
    members = [names_in(tmp_path / "out" / name) for name in done.files]
    assert [[name for name in names if name.endswith(".json")] for names in members] == [
        ["0.json", "1.json"],
        ["2.json"],
        ["3.json"],
        ["4.json"],
    ]


@pytest.mark.parametrize("layout", ["imagefolder", "parquet"])
def test_the_library_datasets_gives_images(tmp_path, layout):
    write_set(tmp_path / "set")
    done = pack(tmp_path / "set", tmp_path / "out", layout, **({"shard_size": 3} if layout == "parquet" else {}))
    if layout == "parquet":
        assert done.files == tuple(f"data/train-0000{n}-of-00003.parquet" for n in range(3))
    table = load(layout, tmp_path / "out")
    assert table.num_rows == 8
    assert table.features["image"] == datasets.Image()
    assert table.features["conditioning_image"] == datasets.Image()
    assert table.features["text"] == datasets.Value("string")
    assert table[0]["image"].size == table[0]["conditioning_image"].size == (24, 16)
    assert list(table["text"]) == [None if c is MISSING else c for c in CAPTIONS]
    plain = table.cast_column("image", datasets.Image(decode=False))
    plain = plain.cast_column("conditioning_image", datasets.Image(decode=False))
    for number, (row, name) in enumerate(zip(plain, NAMES, strict=True)):
        assert raw(row["image"]) == (tmp_path / "set/target" / name).read_bytes()
        source = tmp_path / "set/source" / (name.rpartition(".")[0] + f".{number}.png")
        assert raw(row["conditioning_image"]) == source.read_bytes()
        extra = json.loads(row["extra"])
        held = extra.pop("cn")
        assert held["image"] == f"target/{name}"
        kept = {"cn": held["kept"]} if "kept" in held else {}
        assert {**extra, **kept} == EXTRAS[number]


@pytest.mark.parametrize("layout", ["imagefolder", "parquet"])
def test_several_kinds_are_columns(tmp_path, layout):
    write_kinds(tmp_path / "set")
    pack(tmp_path / "set", tmp_path / "out", layout)
    table = load(layout, tmp_path / "out")
    columns = ["canny_conditioning_image", "depth_conditioning_image", "openpose_conditioning_image"]
    assert all(table.features[name] == datasets.Image() for name in ("image", *columns))
    assert [row is None for row in table["depth_conditioning_image"]] == [False, False, True, False]


def test_parquet_has_small_row_groups(tmp_path):
    import pyarrow.parquet as pq

    data = Image.new("RGB", (1, 1))
    buffer = io.BytesIO()
    data.save(buffer, "PNG")
    put(tmp_path / "set/source/a.png", buffer.getvalue())
    put(tmp_path / "set/target/a.png", buffer.getvalue())
    line = json.dumps({"source": "source/a.png", "target": "target/a.png", "prompt": "x"})
    put(tmp_path / "set/prompt.json", (f"{line}\n" * 250).encode())
    pack(tmp_path / "set", tmp_path / "out", "parquet")
    file = pq.ParquetFile(tmp_path / "out/data/train-00000-of-00001.parquet")
    assert [file.metadata.row_group(i).num_rows for i in range(file.metadata.num_row_groups)] == [100, 100, 50]


@pytest.mark.parametrize("make", [write_set, write_kinds])
def test_prompt_json_to_prompt_json_changes_nothing(tmp_path, make):
    make(tmp_path / "set")
    pack(tmp_path / "set", tmp_path / "out", "prompt.json", shard_size=3)
    packed = contents(tmp_path / "out")
    del packed["manifest.json"]
    if make is write_kinds:
        packed["dataset.json"] = json.dumps(json.loads(packed["dataset.json"])).encode()
    original = contents(tmp_path / "set")
    assert [name for name in original if packed[name] != original[name]] == []
    assert packed == original


def test_names_that_are_taken(tmp_path):
    """Files from elsewhere whose names would be the same below target/."""
    put(tmp_path / "set/target/a.png", b"one")
    put(tmp_path / "set/a.png", b"two")
    put(tmp_path / "elsewhere/a.png", b"three")
    put(tmp_path / "set/source/a.png", b"map")
    targets = ["target/a.png", "a.png", "../elsewhere/a.png", "target/a.png"]
    lines = [json.dumps({"source": "source/a.png", "target": t, "prompt": str(n)}) for n, t in enumerate(targets)]
    put(tmp_path / "set/prompt.json", "\n".join(lines).encode())
    pack(tmp_path / "set", tmp_path / "out", "prompt.json")
    written = [json.loads(line) for line in (tmp_path / "out/prompt.json").read_text().splitlines()]
    assert [(tmp_path / "out" / line["target"]).read_bytes() for line in written] == [b"one", b"two", b"three", b"one"]
    assert written[0]["target"] == written[3]["target"] == "target/a.png"
    assert len(list((tmp_path / "out/source").iterdir())) == 1


def test_what_cannot_be_read_is_left_out_and_said(tmp_path):
    write_set(tmp_path / "set")
    (tmp_path / "set/target/a.png").unlink()
    with (tmp_path / "set/prompt.json").open("a") as file:
        file.write("{broken\n")
    done = pack(tmp_path / "set", tmp_path / "out", "webdataset")
    assert done.samples == 7
    assert done.left_out.count == 2
    messages = " ".join(done.left_out.messages())
    assert "prompt.json:2: the target image" in messages
    assert "prompt.json:9" in messages
    for name in ("a.jpg", "A.jpg", "x.JPEG", "day 1/b.c d.jpg", "day.2/b.webp", "日本/猫.jpg", "test/train.jpg"):
        (tmp_path / "set/target" / name).unlink()
    with pytest.raises(InputError, match="nothing can be written"):
        pack(tmp_path / "set", tmp_path / "none", "webdataset")
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize("layout", ["webdataset", "imagefolder", "parquet", "prompt.json"])
def test_an_interrupted_pack_goes_on(tmp_path, layout, monkeypatch):
    write_set(tmp_path / "set")
    options = {"shard_size": 2}
    pack(tmp_path / "set", tmp_path / "whole", layout, **options)
    calls = 0

    def stop(self):
        nonlocal calls
        calls += 1
        if calls == 10:
            raise KeyboardInterrupt
        return (Path(self.path)).read_bytes()

    with monkeypatch.context() as patch:
        patch.setattr("cn.data.blobs.File.read", stop)
        with pytest.raises(KeyboardInterrupt):
            pack(tmp_path / "set", tmp_path / "out", layout, **options)
    assert not (tmp_path / "out/manifest.json").exists()
    read = []
    with monkeypatch.context() as patch:
        patch.setattr("cn.data.blobs.File.read", lambda self: read.append(self.path) or Path(self.path).read_bytes())
        done = pack(tmp_path / "set", tmp_path / "out", layout, **options)
    assert (done.written, done.skipped) == (2, 2)
    assert len(read) == 8, "two images and two maps in each of the two shards that were missing"
    assert contents(tmp_path / "out") == contents(tmp_path / "whole")
    again = pack(tmp_path / "set", tmp_path / "out", layout, **options)
    assert (again.written, again.skipped, again.samples) == (0, 4, 8)


def test_what_else_lies_there_is_not_touched(tmp_path):
    write_set(tmp_path / "set")
    put(tmp_path / "mine/notes.txt", b"mine")
    with pytest.raises(InputError, match="not empty"):
        pack(tmp_path / "set", tmp_path / "mine", "webdataset")
    put(tmp_path / "file", b"mine")
    with pytest.raises(InputError, match="is a file"):
        pack(tmp_path / "set", tmp_path / "file", "webdataset")
    with pytest.raises(InputError, match="within the dataset"):
        pack(tmp_path / "set", tmp_path / "set/packed", "webdataset")
    pack(tmp_path / "set", tmp_path / "out", "webdataset")
    before = contents(tmp_path / "out")
    with pytest.raises(InputError, match="another dataset"):
        pack(tmp_path / "set", tmp_path / "out", "parquet")
    put(tmp_path / "set/target/a.png", b"another image")
    with pytest.raises(InputError, match="another dataset"):
        pack(tmp_path / "set", tmp_path / "out", "webdataset")
    assert contents(tmp_path / "out") == before
    assert contents(tmp_path / "mine") == {"notes.txt": b"mine"}


def test_a_full_disk_is_said_before(tmp_path, monkeypatch):
    write_set(tmp_path / "set")
    monkeypatch.setattr("shutil.disk_usage", lambda path: type("Usage", (), {"free": 10_000}))
    with pytest.raises(InputError, match=r"10,000 bytes free, but the result takes 4\d,\d+ bytes"):
        pack(tmp_path / "set", tmp_path / "out", "webdataset")
    assert not (tmp_path / "out").exists()
