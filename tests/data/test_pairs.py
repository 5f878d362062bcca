"""Pairs of datasets in every layout: the same, by number, in any order; kinds; what is left out or broken."""

import json
import pickle
import shutil

import numpy as np
import pytest

from cn import images
from cn.data import pair_index
from cn.data.blobs import TarMember
from cn.data.folder import FolderDataset, stated_kind
from cn.data.pairs import open_pairs
from cn.data.table_images import TableImage, slow_to_read
from cn.errors import InputError, UsageError
from tests.conftest import write_pairs
from tests.helpers.pair_layouts import LAYOUTS, parquet, webdataset, write_tar


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "user-cache"))


@pytest.mark.parametrize("layout", ["prompt.json", *LAYOUTS])
def test_every_layout_gives_the_same_pairs_in_any_order(layout, tmp_path, pair_set):
    path = pair_set if layout == "prompt.json" else LAYOUTS[layout](pair_set, tmp_path / layout)
    pairs = pickle.loads(pickle.dumps(open_pairs(path)))
    assert len(pairs) == 6
    assert list(pairs.usable()) == list(range(6))
    for i in (4, 0, 5, 2, 1, 3, 0):
        assert pairs[i].prompt == f"image {i}"
        assert pairs[i].captioned
        assert np.array_equal(images.read(pairs[i].target), images.read(pair_set / f"target/{i}.png"))
        assert np.array_equal(images.read_map(pairs[i].source), images.read_map(pair_set / f"source/{i}.png"))
    assert pairs[-1].prompt == "image 5"
    assert [pair.prompt for pair in pairs[1:3]] == ["image 1", "image 2"]
    with pytest.raises(IndexError):
        pairs[6]
    assert stated_kind(pairs) == "depth"
    assert (pairs.broken, pairs.notes) == ((), ())


def test_images_in_shards_and_tables_are_read_where_they_are(tmp_path, pair_set):
    first = open_pairs(webdataset(pair_set, tmp_path / "tars"))[5]
    assert isinstance(first.target, TarMember)
    assert str(first.target) == f"{tmp_path}/tars/00001.tar/000005.png"
    assert isinstance(open_pairs(parquet(pair_set, tmp_path / "table"))[5].target, TableImage)


def test_a_pattern_of_shards(tmp_path, pair_set):
    webdataset(pair_set, tmp_path / "tars", per_shard=2)
    pairs = open_pairs(f"{tmp_path}/tars/{{00000..00001}}.tar")
    assert [pair.prompt for pair in pairs] == [f"image {i}" for i in range(4)]


def test_headers_of_a_tar_are_read_once_until_it_changes(tmp_path, pair_set, monkeypatch):
    monkeypatch.setattr(pair_index, "MIN_SAMPLES", 2)
    tars = webdataset(pair_set, tmp_path / "tars", per_shard=6)
    read = []
    samples = pair_index.ShardPart.samples
    monkeypatch.setattr(pair_index.ShardPart, "samples", lambda part: read.append(part.name) or samples(part))
    before = list(open_pairs(tars))
    assert list(open_pairs(tars)) == before
    assert read == ["00000.tar"]
    target = (pair_set / "target/3.png").read_bytes()
    write_tar(tars / "00000.tar", [("x.png", target), ("x.cond.png", target), ("x.txt", b"new")])
    assert [pair.prompt for pair in open_pairs(tars)] == ["new"]
    # An index that is damaged is as if it were not there.
    webdataset(pair_set, tmp_path / "more", per_shard=6)
    open_pairs(tmp_path / "more")
    for index in (tmp_path / "user-cache/cn/pairs").iterdir():
        index.write_bytes(index.read_bytes()[:-3])
    assert len(open_pairs(tmp_path / "more")) == 6


def kinds(folder, *names):
    """A dataset of several kinds, as `cn dataset build` writes it: each image once, a prompt.json for each kind."""
    for kind in names:
        single = write_pairs(folder / f"{kind}-single", 3, kind=kind)
        (folder / kind).mkdir()
        shutil.move(single / "source", folder / kind / "source")
        shutil.copytree(single / "target", folder / "target", dirs_exist_ok=True)
        lines = [json.loads(line) for line in (single / "prompt.json").read_text().splitlines()]
        text = [json.dumps({**line, "target": f"../{line['target']}"}) for line in lines]
        (folder / kind / "prompt.json").write_text("\n".join(text))
        shutil.rmtree(single)
    (folder / "dataset.json").write_text(json.dumps({"format": 1, "kinds": list(names)}))
    return folder


def test_a_dataset_of_several_kinds(tmp_path):
    folder = kinds(tmp_path / "set", "canny", "depth")
    with pytest.raises(UsageError, match=r"maps of several kinds; choose one with --cond: canny, depth"):
        open_pairs(folder)
    with pytest.raises(UsageError, match=r"holds canny, depth maps, not normal; give --cond canny or --cond depth"):
        open_pairs(folder, "normal")
    pairs = open_pairs(folder, "depth")
    assert pairs.kind == "depth"
    assert pairs[1].source == folder / "depth/source/1.png"
    assert np.array_equal(images.read(pairs[1].target), images.read(folder / "target/1.png"))
    assert pairs.root == open_pairs(folder / "canny").root == str(folder)
    shutil.rmtree(folder / "canny")
    assert open_pairs(folder).kind == "depth"


def test_shards_of_several_kinds(tmp_path, pair_set):
    image, cond = (pair_set / "target/0.png").read_bytes(), (pair_set / "source/0.png").read_bytes()
    members = [("a.png", image), ("a.canny.png", cond), ("a.depth.png", cond), ("b.png", image), ("b.canny.png", cond)]
    (tmp_path / "set").mkdir()
    write_tar(tmp_path / "set/00000.tar", members)
    with pytest.raises(UsageError, match="choose one with --cond: canny, depth"):
        open_pairs(tmp_path / "set")
    pairs = open_pairs(tmp_path / "set", "depth")
    assert (len(pairs), pairs.kind, pairs[0].source.name) == (1, "depth", "a.depth.png")
    assert any("1 of 2 images have no depth map: left out" in note for note in pairs.notes)
    assert any("1 of 1 pairs have no caption" in note for note in pairs.notes)
    assert len(open_pairs(tmp_path / "set", "canny")) == 2


def test_images_without_maps_are_no_dataset(tmp_path, pair_set):
    shutil.copytree(pair_set / "target", tmp_path / "photos")
    with pytest.raises(InputError, match=r"no image has a condition map; .* cn dataset build"):
        open_pairs(tmp_path / "photos")


def test_a_tar_that_is_cut_off_is_named_and_the_rest_is_used(tmp_path, pair_set):
    tars = webdataset(pair_set, tmp_path / "tars", per_shard=2)
    data = (tars / "00001.tar").read_bytes()
    (tars / "00001.tar").write_bytes(data[: len(data) // 2])
    pairs = open_pairs(tars)
    assert [pairs[i].prompt for i in pairs.usable()][:2] == ["image 0", "image 1"]
    assert len(pairs.broken) == 1
    assert "00001.tar" in pairs.broken[0]


def test_compressed_shards_are_refused_with_advice(tmp_path, pair_set):
    (tmp_path / "set").mkdir()
    data = (pair_set / "target/0.png").read_bytes()
    write_tar(tmp_path / "set/00000.tar.gz", [("a.png", data), ("a.cond.png", data)], "w:gz")
    with pytest.raises(InputError, match=r"compressed.*cannot be read in any order.*cn dataset unpack"):
        open_pairs(tmp_path / "set")


def test_broken_pairs_keep_their_number_in_every_layout(tmp_path):
    folder = write_pairs(tmp_path / "pairs", 5)
    (folder / "target/2.png").write_bytes(b"no image")
    for name, write in LAYOUTS.items():
        data = FolderDataset.open(write(folder, tmp_path / name), 64, "depth")
        got = data.fetch(2)
        assert got.example.prompt == "image 3", name
        assert len(got.skipped) == 1, name
    (folder / "target/2.png").unlink()
    pairs = open_pairs(folder)
    assert (len(pairs), list(pairs.usable())) == (5, [0, 1, 3, 4])
    assert "target/2.png is missing" in pairs[2].problem


def test_a_caption_file_that_is_no_text_is_a_broken_pair(tmp_path, pair_set):
    out = LAYOUTS["sidecars"](pair_set, tmp_path / "set")
    (out / "images/003.txt").write_bytes(b"\xff\xfe\x00\xd8")
    pairs = open_pairs(out)
    assert pairs[3].problem is not None
    assert "003.txt" in pairs[3].problem
    assert pairs[4].prompt == "image 4"


def test_large_row_groups_are_said_to_be_slow(tmp_path, pair_set, monkeypatch):
    path = parquet(pair_set, tmp_path / "set", group=6)
    assert slow_to_read(f"{path}/train-00000-of-00001.parquet") is None
    monkeypatch.setattr("cn.data.table_images.LARGE_GROUP", 100)
    assert any("row groups have up to" in note and "cn dataset unpack" in note for note in open_pairs(path).notes)


def test_a_million_pairs_take_little_memory(tmp_path):
    """As many bytes a pair as its names have, with a few dozen around them."""
    line = json.dumps({"source": "source/0.png", "target": "target/0.png", "prompt": "a"})
    write_pairs(tmp_path, 1)
    (tmp_path / "prompt.json").write_text(f"{line}\n" * 2000)
    size = len(pickle.dumps(open_pairs(tmp_path)))
    assert size < 2000 * (len(line) + len(str(tmp_path)) + 60)
