"""Pickles and files of weights put together by hand, instruction by instruction, without torch."""

import io
import pickle
import struct
import warnings
import zipfile
from collections.abc import Mapping

MAGIC = 0x1950A86A20F9469CFC6C
MACHINE = {"protocol_version": 1001, "little_endian": True, "type_sizes": {"short": 2, "int": 4, "long": 4}}

# Assembling pickles. Every function returns instructions that push one value on the stack.


def text(value: str) -> bytes:
    raw = value.encode()
    return b"X" + struct.pack("<I", len(raw)) + raw


def number(value: int) -> bytes:
    return pickle.dumps(value, 2)[2:-1]


def named(module: str, name: str) -> bytes:
    return f"c{module}\n{name}\n".encode()


def tuple_of(*items: bytes) -> bytes:
    return b"(" + b"".join(items) + b"t"


def call(function: bytes, *arguments: bytes) -> bytes:
    return function + tuple_of(*arguments) + b"R"


def dict_of(**items: bytes) -> bytes:
    return b"}(" + b"".join(text(key) + value for key, value in items.items()) + b"u"


def program(value: bytes, protocol: int = 2) -> bytes:
    return bytes([0x80, protocol]) + value + b"."


def storage(key: str = "0", elements: int = 4, kind: str = "FloatStorage", *more: bytes) -> bytes:
    pid = tuple_of(text("storage"), named("torch", kind), text(key), text("cpu"), number(elements), *more)
    return pid + b"Q"


def tensor(
    shape: tuple[int, ...] = (4,), strides: tuple[int, ...] = (1,), offset: int = 0, of: bytes | None = None
) -> bytes:
    """A tensor of the four floats in storage "0"."""
    hooks = call(named("collections", "OrderedDict"))
    sizes = [tuple_of(*map(number, numbers)) for numbers in (shape, strides)]
    of = storage() if of is None else of
    return call(named("torch._utils", "_rebuild_tensor_v2"), of, number(offset), *sizes, b"\x89", hooks)


# Putting pickles into files.


def zipped(parts: Mapping[str, bytes] | list[tuple[str, bytes]], compression: int = zipfile.ZIP_STORED) -> bytes:
    file = io.BytesIO()
    items = parts.items() if isinstance(parts, Mapping) else parts
    with zipfile.ZipFile(file, "w", compression) as archive, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that a name is there twice
        for name, data in items:
            archive.writestr(zipfile.ZipInfo(name), data, compression)
    return file.getvalue()


def torch_zip(main: bytes, **more: bytes) -> bytes:
    """As torch.save writes it, with one storage of four floats; `more` replaces or adds parts."""
    parts = {"data.pkl": main, "byteorder": b"little", "data/0": struct.pack("<4f", 1, 2, 3, 4), "version": b"3\n"}
    return zipped({f"archive/{name}": data for name, data in (parts | more).items()})


def legacy(main: bytes, keys: object = ("0",), numbers: bytes = struct.pack("<q4f", 4, 1, 2, 3, 4)) -> bytes:
    """As torch.save wrote it before 1.6."""
    start = b"".join(pickle.dumps(value, 2) for value in (MAGIC, 1001, MACHINE))
    return start + main + pickle.dumps(list(keys) if isinstance(keys, tuple) else keys, 2) + numbers


def safetensors(header: str | bytes, data: bytes = bytes(8), length: int | None = None) -> bytes:
    raw = header.encode() if isinstance(header, str) else header
    return struct.pack("<Q", len(raw) if length is None else length) + raw + data
