"""Opening files of weights: what is no file, and tensors mapped and read in pieces."""

import gc
import os
import struct
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
import torch
from safetensors.torch import save, save_file
from torch import Tensor

from cn.archives.archive import open_archive
from cn.archives.entries import Entry, load_tensor, read_chunks
from cn.errors import InputError, WeightsError
from tests.helpers.assembled import safetensors
from tests.helpers.torch_saved import bits

ROOT = Path(__file__).parent.parent.parent
VALUE = {"a": torch.ones(2, 3), "bb": torch.arange(4), "c": torch.zeros(0, 7), "d": torch.tensor(True)}


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
