"""There and back: every layout, unpacked, is the dataset that was packed, byte for byte."""

import io
import json
import tarfile

import pytest

from cn import app
from cn.errors import InputError
from tests.data.formats.sets import contents, image, put, write_kinds, write_set
from tests.data.formats.test_pack import pack


def same_json(data: bytes) -> bytes:
    return json.dumps(json.loads(data)).encode()


@pytest.mark.parametrize("layout", ["webdataset", "imagefolder", "parquet", "prompt.json"])
@pytest.mark.parametrize("make", [write_set, write_kinds])
def test_there_and_back(tmp_path, layout, make):
    """Files, their names and their folders, the lines with their captions and keys: all as they were."""
    make(tmp_path / "set")
    pack(tmp_path / "set", tmp_path / "packed", layout, shard_size=3)
    pack(tmp_path / "packed", tmp_path / "back", "prompt.json")
    original, back = contents(tmp_path / "set"), contents(tmp_path / "back")
    del back["manifest.json"]
    if make is write_kinds:
        original["dataset.json"], back["dataset.json"] = map(
            same_json, (original["dataset.json"], back["dataset.json"])
        )
    assert sorted(back) == sorted(original)
    for name, data in original.items():
        if name.endswith("prompt.json"):
            assert [json.loads(line) for line in back[name].splitlines()] == [
                json.loads(line) for line in data.splitlines()
            ]
        assert back[name] == data, name


def test_from_layout_to_layout(tmp_path):
    write_set(tmp_path / "set")
    pack(tmp_path / "set", tmp_path / "1", "webdataset", shard_size=3)
    pack(tmp_path / "1", tmp_path / "2", "parquet")
    pack(tmp_path / "2", tmp_path / "3", "imagefolder")
    pack(tmp_path / "3", tmp_path / "4", "webdataset", shard_size=3)
    assert contents(tmp_path / "4") == contents(tmp_path / "1")


def add(tar: tarfile.TarFile, name: str, data: bytes) -> None:
    header = tarfile.TarInfo(name)
    header.size = len(data)
    tar.addfile(header, io.BytesIO(data))


def test_shards_of_others(tmp_path):
    """As img2dataset leaves them, with maps added: names of keys, captions from the text, keys from the JSON."""
    (tmp_path / "shards").mkdir()
    with tarfile.open(tmp_path / "shards/00000.tar", "w") as tar:
        for number in range(2):
            add(tar, f"00000000{number}.jpg", image(number, "JPEG"))
            add(tar, f"00000000{number}.cond.png", image(9 + number, "PNG"))
            add(tar, f"00000000{number}.txt", f"caption {number}".encode())
            add(tar, f"00000000{number}.json", json.dumps({"url": "http://x", "target": number}).encode())
        add(tar, "000000002.jpg", image(2, "JPEG"))
        add(tar, "000000002.txt", b"no map")
    done = pack(tmp_path / "shards", tmp_path / "out", "prompt.json")
    assert (done.samples, done.left_out.count) == (2, 1)
    assert "has no condition map" in done.left_out.messages()[0]
    lines = [json.loads(line) for line in (tmp_path / "out/prompt.json").read_text().splitlines()]
    for number, line in enumerate(lines):
        assert (tmp_path / "out" / line["target"]).read_bytes() == image(number, "JPEG")
        assert (tmp_path / "out" / line["source"]).read_bytes() == image(9 + number, "PNG")
        assert line["prompt"] == f"caption {number}"
        assert (line["url"], line["original_target"]) == ("http://x", number)


def test_images_without_maps_are_refused(tmp_path):
    put(tmp_path / "photos/a.jpg", image(0, "JPEG"))
    put(tmp_path / "photos/a.txt", b"a caption")
    with pytest.raises(InputError, match="cn dataset build"):
        pack(tmp_path / "photos", tmp_path / "out", "prompt.json")
    pack(tmp_path / "photos", tmp_path / "shards", "webdataset")
    with tarfile.open(tmp_path / "shards/00000.tar") as tar:
        assert tar.getnames() == ["a.jpg", "a.txt", "a.json"]
        assert tar.extractfile("a.txt").read() == b"a caption"


def test_the_command_line(tmp_path, capsys):
    write_set(tmp_path / "set")
    shards, back = tmp_path / "shards", tmp_path / "back"
    assert app.run(["dataset", "pack", str(tmp_path / "set"), str(shards), "--to", "webdataset", "--json"]) == 0
    captured = capsys.readouterr()
    record = json.loads(captured.out)
    assert record["files"] == ["00000.tar"]
    assert (record["samples"], record["written"], record["left_out"]) == (8, 1, {})
    assert "a dataset with prompt.json" in captured.err
    assert app.run(["dataset", "unpack", str(shards), str(back), "-q"]) == 0
    assert capsys.readouterr().out == f"{back}\n"
    assert (back / "prompt.json").read_bytes() == (tmp_path / "set/prompt.json").read_bytes()
    (tmp_path / "set/target/a.png").unlink()
    assert app.run(["dataset", "pack", str(tmp_path / "set"), str(tmp_path / "2"), "--to", "parquet"]) == 5
    err = capsys.readouterr().err
    assert "1 of 8 samples were left out" in err
    assert "prompt.json:2: the target image" in err
    for words, code, message in (
        (["--to", "zip"], 2, "webdataset"),
        (["--to", "parquet", "--max-bytes", "much"], 2, "500MB"),
        ([], 2, "--to"),
    ):
        assert app.run(["dataset", "pack", str(tmp_path / "set"), str(tmp_path / "3"), *words]) == code
        assert message in capsys.readouterr().err
    assert app.run(["dataset", "pack", str(tmp_path / "none"), str(tmp_path / "3"), "--to", "parquet"]) == 3
    assert "no such file or folder" in capsys.readouterr().err
    assert not (tmp_path / "3").exists()


def test_to_and_from_object_storage(tmp_path):
    import fsspec

    write_set(tmp_path / "set")
    store = fsspec.filesystem("memory")
    try:
        for layout in ("webdataset", "parquet", "imagefolder", "prompt.json"):
            url = f"memory://bucket/{layout}"
            pack(tmp_path / "set", url, layout, shard_size=3)
            pack(tmp_path / "set", tmp_path / layout, layout, shard_size=3)
            stored = {p.removeprefix(f"/bucket/{layout}/"): store.cat(p) for p in store.find(f"/bucket/{layout}")}
            assert stored == contents(tmp_path / layout)
            assert pack(tmp_path / "set", url, layout, shard_size=3).written == 0
        pack("memory://bucket/webdataset", tmp_path / "back", "prompt.json")
    finally:
        store.rm("/bucket", recursive=True)
    assert (tmp_path / "back/prompt.json").read_bytes() == (tmp_path / "set/prompt.json").read_bytes()
