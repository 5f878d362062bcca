"""WebDataset shards: as img2dataset leaves them, our own, compressed, cut off, damaged."""

import gzip
import io
import json
import tarfile
from pathlib import Path

import pytest

from cn.data.sources.open import open_source
from cn.data.sources.parts import from_record
from cn.errors import InputError


def tar(path: Path, members: dict[str, bytes | str], mode: str = "w") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, mode) as file:
        for name, data in members.items():
            content = data.encode() if isinstance(data, str) else data
            info = tarfile.TarInfo(name)
            info.size = len(content)
            file.addfile(info, io.BytesIO(content))
    return path


def samples(source) -> dict[str, tuple[bytes | None, str | None]]:
    return {s.name: (s.image and s.image.read(), s.read_caption()) for s in source.samples()}


THREE = {f"00{n}.{field}": f"{field} of {n}" for n in range(3) for field in ("jpg", "txt", "cond.png")}
READ = {f"s.tar/00{n}": (f"jpg of {n}".encode(), f"txt of {n}") for n in range(3)}


def test_written_by_the_library(tmp_path):
    import webdataset

    with webdataset.TarWriter(str(tmp_path / "00000.tar")) as writer:
        for n in range(2):
            record = {"__key__": f"sub.folder/{n:04}", "jpg": b"image %d" % n, "txt": f"caption {n}", "json": {"id": n}}
            writer.write(record | {"canny.png": b"map %d" % n, "cls": 7})
    source = open_source(str(tmp_path))
    assert source.layout == "webdataset"
    assert source.about == "1 WebDataset shard (canny.png, cls, jpg, json, txt)"
    assert samples(source) == {f"00000.tar/sub.folder/{n:04}": (b"image %d" % n, f"caption {n}") for n in range(2)}
    first = next(source.samples())
    assert first.maps["canny"].read() == b"map 0"
    assert dict(first.extra) == {"id": 0, "cls": "7"}


def test_as_img2dataset_leaves_them(tmp_path):
    good = {"caption": "a cat", "url": "https://example.org/1.jpg", "status": "success", "key": "000000001"}
    bad = {"url": "https://example.org/2.jpg", "status": "failed_to_download", "error_message": "404", "caption": "b"}
    members = {"000000001.jpg": "x", "000000001.json": json.dumps(good), "000000002.json": json.dumps(bad)}
    tar(tmp_path / "00000.tar", members)
    for name in ("00000_stats.json", "00000.parquet"):
        (tmp_path / name).write_text("{}")
    source = open_source(str(tmp_path))
    assert source.about == "1 WebDataset shard (jpg, json), as img2dataset writes them"
    assert dict(source.left_out.suffixes) == {".json": 1, ".parquet": 1}
    assert [(s.caption, s.problem) for s in source.samples()] == [
        ("a cat", None),
        ("b", "img2dataset says: failed_to_download (404)"),
    ]


@pytest.mark.parametrize("pattern", ["{00000..00001}.tar", "0*.tar", "0000[01].tar", "{00000,00001}.tar", ""])
def test_several_shards_by_patterns(tmp_path, pattern):
    for n in range(2):
        tar(tmp_path / f"0000{n}.tar", {"a.jpg": f"{n}"})
    source = open_source(str(tmp_path / pattern))
    assert samples(source) == {"00000.tar/a": (b"0", None), "00001.tar/a": (b"1", None)}


def test_a_shard_that_the_pattern_names_is_missing(tmp_path):
    tar(tmp_path / "00000.tar", {"a.jpg": "x"})
    with pytest.raises(InputError, match=r"00001\.tar: no such file"):
        open_source(str(tmp_path / "{00000..00001}.tar"))


def test_our_own_with_the_kind_of_dataset_json(tmp_path):
    tar(tmp_path / "00000.tar", {"k.jpg": "x", "k.cond.png": "m", "k.txt": "c"})
    (tmp_path / "dataset.json").write_text('{"format": 1, "kinds": ["depth"]}')
    source = open_source(str(tmp_path))
    [sample] = source.samples()
    assert {kind: blob.read() for kind, blob in sample.maps.items()} == {"depth": b"m"}
    assert not source.left_out


@pytest.mark.parametrize("mode", ["w", "w:gz", "w:xz"])
def test_parts_of_parts(tmp_path, mode):
    path = tar(tmp_path / "s.tar", THREE, mode)
    [part] = open_source(str(path)).parts
    assert part.count is None
    assert samples(part) == READ
    again = from_record(json.loads(json.dumps(part.record(1, None))))
    assert list(samples(again)) == ["s.tar/001", "s.tar/002"]
    inner = from_record(json.loads(json.dumps(again.record(0, 1))))
    assert list(samples(inner)) == ["s.tar/001"]
    assert [s.name for s in part.samples(1, 2)] == ["s.tar/001"]
    assert next(again.samples(1, 5)).maps[""].read() == b"cond.png of 2"


def test_members_of_a_key_need_not_follow_each_other(tmp_path):
    names = [f"00{n}.{field}" for field in ("jpg", "txt", "cond.png") for n in range(3)]
    path = tar(tmp_path / "s.tar", {name: THREE[name] for name in names})
    assert samples(open_source(str(path))) == READ
    packed = tmp_path / "s.tar.gz"
    packed.write_bytes(gzip.compress(path.read_bytes()))
    stream = open_source(str(packed)).samples()
    with pytest.raises(InputError, match=r"s\.tar\.gz: the files of 000 do not follow each other"):
        list(stream)


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("cut", ["member", "header", "boundary"])
def test_a_tar_that_is_cut_off_gives_the_complete_samples_then_one_error(tmp_path, cut, compressed):
    path = tar(tmp_path / "s.tar", THREE)
    # Each member takes a block of header and one of data; the sixth member is 001.cond.png.
    whole = path.read_bytes()
    data = {"member": whole[: 5120 + 515], "header": whole[:5120] + b"001", "boundary": whole[:5120]}[cut]
    path.write_bytes(gzip.compress(data) if compressed else data)
    found = []
    with pytest.raises(InputError, match=r"s\.tar: (is cut off|has no end mark|is damaged)") as raised:
        found.extend(s.name for s in open_source(str(path)).samples())
    assert found == ["s.tar/000"]
    assert "\n" not in str(raised.value)


def test_a_cut_tar_whose_keys_are_scattered(tmp_path):
    names = [f"00{n}.{field}" for field in ("jpg", "cond.png", "txt") for n in range(3)]
    path = tar(tmp_path / "s.tar", {name: THREE[name] for name in names})
    path.write_bytes(path.read_bytes()[: 512 * 15])
    found = []
    with pytest.raises(InputError, match=r"s\.tar: is cut off in 001\.txt"):
        found.extend(s.name for s in open_source(str(path)).samples())
    assert found == ["s.tar/000"], "001 and 002 have lost their captions"


def test_a_damaged_header_is_not_taken_for_the_end(tmp_path):
    path = tar(tmp_path / "s.tar", THREE)
    data = bytearray(path.read_bytes())
    data[512 * 12 : 512 * 12 + 40] = b"\xff" * 40
    path.write_bytes(data)
    found = []
    with pytest.raises(InputError, match="is damaged at byte 6144"):
        found.extend(s.name for s in open_source(str(path)).samples())
    assert found == ["s.tar/000", "s.tar/001"]


def test_a_stream_that_ends_early(tmp_path):
    path = tmp_path / "s.tar.gz"
    path.write_bytes(gzip.compress(tar(tmp_path / "s.tar", THREE).read_bytes())[:-200])
    with pytest.raises(InputError, match=r"s\.tar\.gz: is cut off"):
        list(open_source(str(path)).samples())


def test_no_tar_at_all(tmp_path):
    path = tmp_path / "s.tar"
    path.write_bytes(b"not a tar" * 200)
    for src in (path, tmp_path):
        with pytest.raises(InputError, match=r"s\.tar: is damaged, or not a tar"):
            list(open_source(str(src)).samples())


def test_odd_members(tmp_path):
    members = {
        "./._a.jpg": "mac",
        ".DS_Store": "x",
        "README": "x",
        "a.JPG": "A",
        "a.txt": b"\xff\xfe",
        "b.txt": "only text",
        "IMG.2020.01.jpg": "one",
        "IMG.2020.02.jpg": "two",
        "IMG.2020.02.txt": "second",
        "c.jpg": "x",
        "c.json": "{",
        "d.png": "png",
        "d.jpg": "jpg",
        "d.mask.png": "mask",
    }
    source = open_source(str(tar(tmp_path / "s.tar", members)))
    found = {s.name.removeprefix("s.tar/"): s for s in source.samples()}
    assert list(found) == ["a", "b", "IMG.2020.01", "IMG.2020.02", "c", "d"]
    assert found["a"].problem == "a.txt: is UTF-16; save it as UTF-8"
    assert found["b"].problem == "no image of it in the tar, only txt"
    assert found["IMG.2020.02"].image.read() == b"two"
    assert found["IMG.2020.02"].read_caption() == "second"
    assert found["IMG.2020.01"].read_caption() is None
    assert found["c"].problem.startswith("c.json: invalid JSON")
    assert found["d"].image.read() == b"jpg"
    assert "two images of it, d.jpg and d.png" in found["d"].problem


def test_a_name_that_is_not_utf_8(tmp_path):
    [sample] = open_source(str(tar(tmp_path / "s.tar", {"caf\udce9.jpg": "x"}))).samples()
    assert (sample.name, sample.image.read()) == ("s.tar/caf\\xe9", b"x")


def test_a_member_that_is_there_twice(tmp_path):
    path = tar(tmp_path / "s.tar", {"a.jpg": "x"})
    with tarfile.open(path, "a") as file:
        file.addfile(tarfile.TarInfo("a.jpg"))
    [sample] = open_source(str(path)).samples()
    assert sample.problem == "a.jpg is in the tar twice"


def test_two_images_of_one_key(tmp_path):
    first, second = open_source(str(tar(tmp_path / "s.tar", {"a.jpg": "x", "a.png": "y", "b.jpg": "z"}))).samples()
    assert first.problem == "there are two images of it, a.jpg and a.png; name a condition map KEY.cond.png"
    assert second.problem is None


def test_a_backup_beside_photographs_is_no_dataset(tmp_path):
    tar(tmp_path / "backup.tar", {"a.jpg": "x"})
    (tmp_path / "a.jpg").write_bytes(b"x")
    source = open_source(str(tmp_path))
    assert source.layout == "folder"
    assert dict(source.left_out.suffixes) == {".tar": 1}
    assert open_source(str(tmp_path), layout="webdataset").layout == "webdataset"
