"""Files that torch saved, and whether their tensors are read as torch reads them."""

from pathlib import Path

import torch
from torch import Tensor

from cn.archives.archive import Archive
from cn.archives.entries import load_tensor


def saved(value: object, path: Path, **options: object) -> Path:
    torch.save(value, path, **options)
    return path


def same(archive: Archive, expected: dict[str, Tensor]) -> None:
    assert list(archive.entries) == list(expected)
    for name, value in expected.items():
        ours = load_tensor(archive.entries[name])
        assert ours.dtype == value.dtype, name
        assert ours.shape == value.shape, name
        assert bits(ours) == bits(value.detach()), name


def bits(value: Tensor) -> bytes:
    """The bytes of a tensor's numbers, in C order."""
    return value.contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()
