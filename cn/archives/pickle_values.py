"""The values read from a pickle: descriptions of tensors, and inert placeholders for everything else."""

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cn.archives.entries import ITEM_SIZES, Entry, contiguous_strides
from cn.errors import InputError


class Global:
    """A name in a pickle. Calling it gives the result of `builder`, or a `Placeholder` where that is None."""

    __slots__ = ("builder", "dtype", "name", "storage")

    def __init__(self, name: str, builder: Callable[..., Any] | None = None, dtype: str = "", storage: bool = False):
        self.name = name
        self.builder = builder
        self.dtype = dtype
        """For torch's dtypes and storage classes: the name in safetensors."""
        self.storage = storage

    def __str__(self) -> str:
        return self.name


class Placeholder:
    """An object of a class that is never loaded; it only stores the state it was given."""

    __slots__ = ("kind", "state")

    def __init__(self, kind: Global):
        self.kind = kind
        self.state: Any = None

    def __str__(self) -> str:
        return self.kind.name


class SetMembers(list):
    """The members of a set, unhashed: hashing nested tuples from a hostile file can take unlimited time."""

    __slots__ = ()


class StorageBytes:
    """The bytes of one storage in the file. `offset` is None until their position is known."""

    __slots__ = ("nbytes", "offset")

    def __init__(self, nbytes: int, offset: int | None = None):
        self.nbytes = nbytes
        self.offset = offset


class Storage:
    """A run of numbers of one dtype within a blob; `start` in bytes."""

    __slots__ = ("blob", "dtype", "elements", "start")

    def __init__(self, dtype: str, elements: int, blob: StorageBytes, start: int = 0):
        self.dtype = dtype
        self.elements = elements
        self.blob = blob
        self.start = start


class StoredTensor:
    """A tensor in a pickle: a view of a storage, known to lie within it."""

    __slots__ = ("dtype", "offset", "shape", "storage", "strides")

    def __init__(self, storage: Storage, offset: int, shape: tuple, strides: tuple, dtype: str):
        self.storage = storage
        self.offset = offset
        self.shape = shape
        self.strides = strides
        self.dtype = dtype

    def entry(self, path: Path) -> Entry:
        """The tensor's place in the file `path`; InputError when the file does not hold its numbers."""
        blob = self.storage.blob
        if blob.offset is None:
            if blob.nbytes:
                raise InputError("damaged: the numbers of a tensor are missing")
            return Entry(self.dtype, self.shape, path, 0)
        empty = 0 in self.shape
        offset = blob.offset + self.storage.start + (0 if empty else self.offset * ITEM_SIZES[self.dtype])
        strides = None if contiguous_strides(self.shape, self.strides) else self.strides
        return Entry(self.dtype, self.shape, path, offset, strides)


def broken(what: str) -> pickle.UnpicklingError:
    """The error for a malformed pickle; `unpickle` turns it into an InputError."""
    return pickle.UnpicklingError(what)


def as_key(value: Any) -> Any:
    """A dictionary key for `value`: the value itself where hashing it is cheap, otherwise a placeholder."""
    if type(value) is int and value.bit_length() > 64:
        return Placeholder(Global("a long number"))
    if value is None or type(value) in (str, bytes, bool, int, float, Global, Placeholder):
        return value
    return Placeholder(Global(f"a {type(value).__name__}"))
