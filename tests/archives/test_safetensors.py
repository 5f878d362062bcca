"""Safetensors are accepted and refused exactly as their library does it."""

import json
import struct
from pathlib import Path

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors import SafetensorError, deserialize
from safetensors.torch import load, save
from torch import Tensor

from cn.archives.archive import Archive, open_archive
from cn.archives.entries import ITEM_SIZES, TORCH_NAMES, Entry, load_tensor, read_chunks
from cn.errors import CnError
from tests.helpers.assembled import safetensors
from tests.helpers.torch_saved import bits

KINDS = [getattr(torch, name) for name in TORCH_NAMES.values() if hasattr(torch, name)]


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
