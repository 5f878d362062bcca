"""Opening files of weights: safetensors as strictly as its library, tensors mapped and read in pieces."""

import gc
import json
import os
import struct
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors import SafetensorError, deserialize
from safetensors.torch import load, save, save_file
from torch import Tensor

from cn.archives.archive import Archive, open_archive
from cn.archives.entries import ITEM_SIZES, TORCH_NAMES, Entry, load_tensor, read_chunks
from cn.errors import CnError, InputError, WeightsError
from tests.helpers.assembled import safetensors

ROOT = Path(__file__).parent.parent.parent
KINDS = [getattr(torch, name) for name in TORCH_NAMES.values() if hasattr(torch, name)]


def bits(value: Tensor) -> bytes:
    return value.contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()


def same(archive: Archive, expected: dict[str, Tensor]) -> None:
    assert set(archive.entries) == set(expected)
    for name, value in expected.items():
        entry = archive.entries[name]
        ours = load_tensor(entry)
        assert (ours.dtype, ours.shape) == (value.dtype, value.shape)
        assert entry.shape == tuple(value.shape)
        assert entry.elements == value.numel()
        assert entry.nbytes == value.numel() * value.element_size()
        assert entry.is_floating == value.is_floating_point()
        assert bits(ours) == bits(value)
        assert b"".join(bytes(chunk) for chunk in read_chunks(entry, 5)) == bits(value)


# safetensors.


def tensors() -> st.SearchStrategy[dict[str, Tensor]]:
    shapes = st.lists(st.integers(0, 4), max_size=4)
    one = st.builds(lambda shape, kind: (torch.rand(shape) * 5).to(kind), shapes, st.sampled_from(KINDS))
    names = st.text(st.characters(codec="utf-8"), max_size=12).filter(lambda name: name != "__metadata__")
    return st.dictionaries(names, one, max_size=6)


@settings(max_examples=100, deadline=None)
@given(
    tensors(),
    st.none() | st.dictionaries(st.text(st.characters(codec="utf-8")), st.text("aé\0\n模", max_size=9), min_size=1),
)
def test_what_the_library_writes_is_read(tmp_path_factory, value, metadata):
    path = tmp_path_factory.getbasetemp() / "random.bin"
    path.write_bytes(save(value, metadata))
    archive = open_archive(path)
    same(archive, value)
    assert archive.format == "safetensors"
    assert archive.metadata == (metadata or {})
    assert archive.extras == {}


def test_entries_come_in_the_header_s_order(tmp_path):
    one = {"dtype": "U8", "shape": [2]}
    header = {name: {**one, "data_offsets": [at, at + 2]} for name, at in (("z", 4), ("a", 0), ("m", 2))}
    path = tmp_path / "a.safetensors"
    path.write_bytes(safetensors(json.dumps(header), bytes(range(6))))
    archive = open_archive(str(path))
    assert archive.path == path
    assert list(archive.entries) == ["z", "a", "m"]
    assert load_tensor(archive.entries["m"]).tolist() == [2, 3]
    assert archive.entries["z"] == Entry("U8", (2,), path, path.stat().st_size - 2)


def test_a_tensor_without_numbers_may_lie_anywhere(tmp_path):
    places = {"after": ([2], [0, 8]), "at the start": ([0], [0, 0]), "at the end": ([0, 5], [8, 8])}
    header = {name: {"dtype": "F32", "shape": shape, "data_offsets": at} for name, (shape, at) in places.items()}
    path = tmp_path / "a.safetensors"
    path.write_bytes(safetensors(json.dumps(header)))
    same(open_archive(path), load(path.read_bytes()))


def test_a_file_without_tensors(tmp_path):
    path = tmp_path / "a.safetensors"
    for header in ("{}", "{}   ", '{"__metadata__":null}', '{"__metadata__":{}}'):
        path.write_bytes(safetensors(header, b""))
        assert open_archive(path) == Archive(path, "safetensors", {}, {}, {})


def test_a_header_whose_length_looks_like_a_pickle(tmp_path):
    """640 is 80 02 00 …, and pickles begin with 80 02."""
    path = tmp_path / "a.ckpt"
    path.write_bytes(safetensors("{}".ljust(640), b""))
    assert open_archive(path).format == "safetensors"


def library(data: bytes) -> list | None:
    """What the library makes of the bytes of a file; None when it refuses them."""
    try:
        return deserialize(data)
    except SafetensorError:
        return None


def opened(path: Path) -> Archive | None:
    archive, message = None, f"{path}: "
    try:
        archive = open_archive(path)
    except CnError as error:
        message = str(error)
    assert message.isprintable()
    assert message.startswith(f"{path}: ")
    return archive


VALUE = {"a": torch.ones(2, 3), "bb": torch.arange(4), "c": torch.zeros(0, 7), "d": torch.tensor(True)}
TOKENS = [*'{}[]",:0129- \n\\', '"F32"', '"BOOL"', "[0,4]", "null", "true", "-0", "1e1", "2.0", "NaN", "\\ud800", "é"]


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """A valid file with tokens put into its header or taken out, its numbers changed, or its end moved."""
    whole = save(VALUE, {"k": "v"})
    length = struct.unpack("<Q", whole[:8])[0]
    header, data = bytearray(whole[8 : 8 + length]), whole[8 + length :]
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, len(header)))
        taken = draw(st.integers(0, 3))
        header[at : at + taken] = draw(st.sampled_from(["", *TOKENS])).encode()
    data = data + draw(st.binary(max_size=2)) if draw(st.booleans()) else data[: draw(st.integers(0, len(data)))]
    return safetensors(
        bytes(header), data, draw(st.none() | st.integers(0, 300) | st.sampled_from([1 << 40, 2**64 - 1]))
    )


@settings(max_examples=1500, deadline=None)
@given(damaged() | st.binary(max_size=40).map(lambda raw: save(VALUE)[: 8 + len(raw)] + raw))
def test_what_the_library_refuses_is_refused(tmp_path_factory, data):
    path = tmp_path_factory.getbasetemp() / "damaged.bin"
    path.write_bytes(data)
    archive = opened(path)
    if archive is not None:
        assert {name for name, _ in library(data) or []} == set(archive.entries)
        same(archive, load(data))


ROWS = st.tuples(st.sampled_from(list(ITEM_SIZES)), st.integers(0, 3))


@settings(max_examples=500, deadline=None)
@given(
    st.dictionaries(st.sampled_from("abcd"), st.tuples(st.sampled_from(list(ITEM_SIZES)), st.integers(0, 3))), st.data()
)
def test_small_headers_are_judged_as_the_library_judges_them(tmp_path_factory, chosen, data):
    """Valid layouts, and with one offset moved: accepted by both or by neither."""
    header, at = {}, 0
    for name, (dtype, count) in chosen.items():
        end = at + count * ITEM_SIZES[dtype]
        header[name] = {"dtype": dtype, "shape": [count], "data_offsets": [at, end]}
        at = end
    if header and data.draw(st.booleans()):
        entry = header[data.draw(st.sampled_from(sorted(header)))]
        entry["data_offsets"][data.draw(st.integers(0, 1))] += data.draw(st.integers(0, 3))
    raw = safetensors(json.dumps(header), bytes(at))
    path = tmp_path_factory.getbasetemp() / "small.bin"
    path.write_bytes(raw)
    assert (opened(path) is None) == (library(raw) is None)


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=600))
def test_any_bytes_give_an_archive_or_one_line(tmp_path_factory, data):
    path = tmp_path_factory.getbasetemp() / "any.bin"
    path.write_bytes(data)
    opened(path)


# What is no file.


def test_what_is_not_there_or_no_file(tmp_path):
    with pytest.raises(WeightsError, match=r"none\.ckpt: no such file$"):
        open_archive(tmp_path / "none.ckpt")
    with pytest.raises(InputError, match="is a folder"):
        open_archive(tmp_path)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(InputError, match="is not a regular file"):
        open_archive(tmp_path / "pipe")
    with pytest.raises(InputError, match="is not a valid file name"):
        open_archive("a\0b")
    (tmp_path / "a").write_bytes(save(VALUE))
    with pytest.raises(InputError, match="cannot be read: Not a directory"):
        open_archive(tmp_path / "a" / "b")


def test_the_kind_is_known_by_the_first_bytes_alone(tmp_path):
    path = tmp_path / "a.png"
    save_file(VALUE, path)
    assert open_archive(path).format == "safetensors"
    torch.save(VALUE, tmp_path / "a.safetensors")
    assert open_archive(tmp_path / "a.safetensors").format == "pickle"


def test_describing_a_file_loads_neither_torch_nor_numpy(tmp_path):
    save_file(VALUE, tmp_path / "a")
    torch.save(VALUE, tmp_path / "b")
    script = (
        "import sys; from cn.archives.archive import open_archive; from cn.archives.entries import read_chunks;"
        "chunks = [bytes(c) for p in sys.argv[1:] for e in open_archive(p).entries.values() for c in read_chunks(e)];"
        "assert len(chunks) == 6; print([n for n in ('torch', 'numpy') if n in sys.modules])"
    )
    arguments = [sys.executable, "-c", script, str(tmp_path / "a"), str(tmp_path / "b")]
    done = subprocess.run(
        arguments, capture_output=True, text=True, env=os.environ | {"PYTHONPATH": str(ROOT)}, timeout=60
    )
    assert done.stdout == "[]\n", done.stderr


# Tensors.


def stored(folder: Path, value: Tensor) -> Entry:
    torch.save({"a": value}, folder / "a.pt")
    return open_archive(folder / "a.pt").entries["a"]


def test_writing_into_a_tensor_leaves_the_file(tmp_path):
    entry = stored(tmp_path, torch.ones(1000))
    before = entry.path.read_bytes()
    value = load_tensor(entry)
    value.mul_(3)
    assert value.sum() == 3000
    assert entry.path.read_bytes() == before
    assert load_tensor(entry).sum() == 3000, "while it is alive its file is mapped once"
    del value
    gc.collect()
    assert load_tensor(entry).sum() == 1000


def mappings(path: Path) -> int:
    return sum(m.path == str(path) for m in psutil.Process().memory_maps(grouped=False))


def test_a_file_is_mapped_once_and_let_go(tmp_path):
    path = (tmp_path / "many.safetensors").resolve()
    save_file({str(i): torch.full((100,), i) for i in range(200)}, path)
    entries = open_archive(path).entries
    assert mappings(path) == 0
    values = {name: load_tensor(entry) for name, entry in entries.items()}
    assert mappings(path) == 1
    assert all(int(values[name][7]) == int(name) for name in values)
    kept = values["13"].view(10, 10)[3]
    values.clear()
    gc.collect()
    assert mappings(path) == 1
    assert kept.tolist() == [13] * 10
    del kept
    gc.collect()
    assert mappings(path) == 0


def test_a_tensor_is_not_read_before_it_is_used(tmp_path):
    path = tmp_path / "large.safetensors"
    save_file({"a": torch.ones(32 << 20, dtype=torch.uint8)}, path)
    entry = open_archive(path).entries["a"]
    process = psutil.Process()
    before = process.memory_info().rss
    value = load_tensor(entry)
    assert process.memory_info().rss - before < 4 << 20
    assert int(value.sum()) == 32 << 20
    assert process.memory_info().rss - before > 24 << 20


def test_reading_in_pieces_takes_one_buffer(tmp_path):
    path = tmp_path / "large.safetensors"
    save_file({"a": torch.ones(64 << 20, dtype=torch.uint8)}, path)
    process = psutil.Process()
    before = process.memory_info().rss
    sizes = [len(chunk) for chunk in read_chunks(open_archive(path).entries["a"], 5 << 20)]
    assert process.memory_info().rss - before < 16 << 20
    assert sizes == [5 << 20] * 12 + [4 << 20]


def test_a_file_that_was_replaced_is_another_file(tmp_path):
    first = stored(tmp_path, torch.zeros(4))
    old = load_tensor(first)
    (tmp_path / "new").mkdir()
    second = stored(tmp_path / "new", torch.ones(4)).path
    was = first.path.stat()
    assert second.stat().st_size == was.st_size
    os.utime(second, ns=(was.st_atime_ns, was.st_mtime_ns))
    os.replace(second, first.path)
    assert load_tensor(first).tolist() == [1] * 4
    assert old.tolist() == [0] * 4


def test_a_file_that_became_shorter(tmp_path):
    entry = stored(tmp_path, torch.zeros(1000))
    os.truncate(entry.path, entry.offset + 100)
    with pytest.raises(InputError, match="has become shorter"):
        load_tensor(entry)
    with pytest.raises(InputError, match="has become shorter"):
        list(read_chunks(entry))
    os.truncate(entry.path, 0)
    with pytest.raises(InputError, match="cannot be read: it is empty"):
        load_tensor(entry)
    entry.path.unlink()
    for use in (load_tensor, lambda e: list(read_chunks(e))):
        with pytest.raises(InputError, match="cannot be read: No such file"):
            use(entry)


@pytest.mark.parametrize("pad", range(8))
def test_numbers_at_odd_places(tmp_path, pad):
    """The library aligns the numbers; other writers do not."""
    header = '{"a":{"dtype":"F64","shape":[3],"data_offsets":[0,24]}}' + " " * pad
    path = tmp_path / "a.safetensors"
    path.write_bytes(safetensors(header, struct.pack("<3d", 1, 2, 3)))
    value = load_tensor(open_archive(path).entries["a"])
    assert value.tolist() == [1, 2, 3]
    assert value.data_ptr() % 8 == 0


@pytest.mark.parametrize("size", [1, 3, 8, 1000])
def test_views_are_read_in_c_order(tmp_path, size):
    value = torch.arange(24).view(2, 3, 4).permute(2, 0, 1)
    entry = stored(tmp_path, value)
    assert entry.strides == (1, 12, 4)
    chunks = [bytes(chunk) for chunk in read_chunks(entry, size)]
    assert b"".join(chunks) == bits(value)
    assert all(len(chunk) <= size for chunk in chunks)


def test_views_that_are_contiguous_have_no_strides(tmp_path):
    row = torch.arange(12).view(3, 4)
    for value in (row[1:2], row[:, :].view(12)[3:], row.view(3, 1, 4), torch.randn(1, 5).t().t(), row[:0].t()):
        assert stored(tmp_path, value).strides is None
    assert stored(tmp_path, row[:, :2]).strides == (4, 1)
