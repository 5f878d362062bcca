"""NumPy's arrays, .npy and .npz, without running anything in them and without believing more than they hold."""

import io
import math
import tokenize
import zipfile
import zlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cn.errors import InputError
from cn.images import claims
from cn.images.numbers import layers
from cn.images.resizing import MAX_PIXELS

NPY = b"\x93NUMPY"
ZIP = b"PK\x03\x04"

_DEFLATE = 1032
"""Bytes per byte of DEFLATE, at most."""
_HEADER = 1 << 16
"""Bytes of an array that hold its header."""
_ERRORS = (
    ValueError,
    EOFError,
    SyntaxError,
    TypeError,
    OverflowError,
    KeyError,
    RecursionError,
    IndexError,
    SystemError,
)
"""NumPy's parser of headers raises all of these for damaged ones."""
_HEADER_ERRORS = (*_ERRORS, tokenize.TokenError, MemoryError)


def read_npy(data: bytes) -> NDArray[np.generic]:
    """The numbers of an .npy file, of any shape. Raises InputError, without a path."""
    shape, kind = _header(data)
    _check(shape, kind, len(data))
    try:
        return np.asarray(np.lib.format.read_array(io.BytesIO(data), allow_pickle=False))
    except MemoryError:
        raise InputError("needs more memory than there is") from None
    except _ERRORS as error:
        raise InputError("the array is broken, or holds Python objects") from error


def read_npz(data: bytes, channel: str | None) -> tuple[NDArray[np.generic], str]:
    """One array of an .npz file, and its name: `channel`, or the one that must be meant (`layers.depth`)."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            members = {info.filename.removesuffix(".npy"): info for info in archive.infolist()}
            name = layers.named(list(members), channel) if channel is not None else layers.depth(list(members))
            if name is None:
                raise layers.unclear(list(members))
            info = members[name]
            if info.file_size > _DEFLATE * max(info.compress_size, 1):
                raise InputError(f"the array {name} is broken: it claims to be larger than it can be")
            with archive.open(info) as member:
                head = member.read(_HEADER)
                _check(*_header(head), info.file_size)
                return read_npy(head + member.read()), name
    except MemoryError:
        raise InputError("needs more memory than there is") from None
    except (zipfile.BadZipFile, zlib.error, OSError, RuntimeError, *_ERRORS) as error:
        raise InputError("the .npz file is broken or cut off") from error


def _header(data: bytes) -> tuple[tuple[int, ...], "np.dtype[Any]"]:
    stream = io.BytesIO(data[:_HEADER])
    try:
        first = np.lib.format.read_magic(stream) == (1, 0)
        read = np.lib.format.read_array_header_1_0 if first else np.lib.format.read_array_header_2_0
        shape, _, kind = read(stream)
    except _HEADER_ERRORS as error:
        raise InputError("the array is broken, or holds Python objects") from error
    return shape, kind


def _check(shape: tuple[int, ...], kind: "np.dtype[Any]", length: int) -> None:
    """Raise InputError for what is not numbers, too many of them, or more than `length` bytes can hold."""
    if kind.hasobject:
        raise InputError("the array is broken, or holds Python objects")
    if kind.kind not in "fiub":
        raise InputError(f"holds {'complex numbers' if kind.kind == 'c' else kind}; expected numbers")
    count = math.prod(shape)
    if count > 3 * MAX_PIXELS:
        raise claims.too_large("×".join(map(str, shape)))
    if count < 0 or count * kind.itemsize > length:
        raise InputError("the array is broken or cut off")
