"""Hostile and damaged files of weights of every format, with the error expected for each."""

import pickle
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from tests.helpers.assembled import (
    MACHINE,
    MAGIC,
    call,
    dict_of,
    legacy,
    named,
    number,
    program,
    safetensors,
    storage,
    tensor,
    text,
    torch_zip,
    tuple_of,
    zipped,
)
from tests.helpers.hostile_pickles import executing, hostile_pickles, refused_names


@dataclass(frozen=True)
class Hostile:
    """A file, the class of the expected error, and words of its message."""

    name: str
    data: bytes
    error: str
    words: str


def hostile_files(sentinel: Path) -> Iterator[Hostile]:
    """Every hostile and damaged file, with the expected error."""
    ways: dict[str, Callable[[bytes], bytes]] = {"zip": torch_zip, "legacy": partial(legacy, keys=()), "bare": bytes}
    for name, data in executing(sentinel).items():
        for way, wrap in ways.items():
            # This one stays a name under pathlib, and so a placeholder where weights should be.
            words = "weights are tensors by name" if "dots" in name else "refused, and nothing was run"
            if way == "bare" and "dots" in name:
                yield Hostile(f"{name}, bare", data, "InputError", "not written by torch.save")
            elif way == "bare" and data[:1] != b"\x80" and len(data) > 512:
                yield Hostile(f"{name}, bare", data, "InputError", "not a file of weights")
            else:
                yield Hostile(f"{name}, {way}", wrap(data), "WeightsError", words)
    for module, name in refused_names():
        main = program(dict_of(a=named(module, name)))
        full = f"{module}.{name}".replace("copy_reg", "copyreg")
        yield Hostile(f"name {module} {name}", torch_zip(main), "WeightsError", f"asks to run {full}, which")
    for name, data, error, words in hostile_pickles():
        yield Hostile(f"{name}, zip", torch_zip(data), error, words)
    yield from _legacy_files()
    yield from _zip_files(program(call(named("os", "system"), text(f"touch {sentinel}"))))
    yield from _other_files()
    yield from _safetensors_files()


def _legacy_files() -> Iterator[Hostile]:
    good = program(dict_of(a=tensor(of=storage("0", 4, "FloatStorage", b"N"))))
    numbers = struct.pack("<q4f", 4, 1, 2, 3, 4)
    view = tuple_of(text("1"), number(2), number(3))
    cases = {
        "numbers cut off": (legacy(good, numbers=numbers[:-1]), "cut off"),
        "numbers missing": (legacy(good, numbers=b""), "cut off"),
        "storages unlisted": (legacy(good, keys=()), "missing"),
        "storage unknown": (legacy(good, keys=("0", "1"), numbers=numbers * 2), "unknown"),
        "storage twice": (legacy(good, keys=("0", "0"), numbers=numbers * 2), "twice"),
        "keys of numbers": (legacy(good, keys=[[1]]), "no list"),
        "no keys": (legacy(good, keys=7), "no list"),
        "wrong count": (legacy(good, numbers=struct.pack("<q4f", 5, 1, 2, 3, 4)), "differs from its tensors"),
        "negative count": (legacy(good, numbers=struct.pack("<q4f", -4, 1, 2, 3, 4)), "differs from its tensors"),
        "view too long": (legacy(program(tensor((3,), of=storage("0", 4, "FloatStorage", view)))), "beyond"),
        "view of nonsense": (legacy(program(tensor(of=storage("0", 4, "FloatStorage", b"K\1")))), "is invalid"),
        "big endian": (
            b"".join(pickle.dumps(v, 2) for v in (MAGIC, 1001, MACHINE | {"little_endian": False})) + good,
            "big-endian",
        ),
        "other protocol": (pickle.dumps(MAGIC, 2) + pickle.dumps(1000, 2) + pickle.dumps(MACHINE, 2), "begin"),
        "ends after the magic": (pickle.dumps(MAGIC, 2), "cut off"),
        "plain pickle": (pickle.dumps({"a": [1, 2]}, 4), "not written by torch.save"),
        "text pickle": (pickle.dumps({"a": [1, 2]}, 0), "not written by torch.save"),
    }
    for name, (data, words) in cases.items():
        yield Hostile(f"{name}, legacy", data, "InputError", words)


def _zip_files(evil: bytes) -> Iterator[Hostile]:
    """Zip files that different readers read differently, and damaged ones."""
    good = program(dict_of(a=tensor()))
    numbers = struct.pack("<4f", 1, 2, 3, 4)
    whole = torch_zip(good)
    inner = torch_zip(evil)
    tricks = {
        "evil data.pkl last": (zipped([("a/data.pkl", good), ("a/data.pkl", evil), ("a/data/0", numbers)]), "2 times"),
        "evil data.pkl first": (zipped([("a/data.pkl", evil), ("a/data.pkl", good), ("a/data/0", numbers)]), "2 times"),
        "two folders": (
            zipped([("a/data.pkl", good), ("b/data.pkl", evil), ("a/data/0", numbers)]),
            "data.pkl files",
        ),
        "zip in data.pkl": (torch_zip(inner), "another archive"),
        "gzip in data.pkl": (torch_zip(b"\x1f\x8b\x08" + bytes(20)), "another archive"),
        "tar in data.pkl": (torch_zip(bytes(257) + b"ustar" + bytes(300)), "another archive"),
        "TorchScript": (torch_zip(good, **{"constants.pkl": b"x"}), "TorchScript"),
        "TorchScript code": (torch_zip(good, **{"code/a.py": b"x"}), "TorchScript"),
        "other local name": (whole.replace(b"archive/data.pkl", b"archive/evil.pkl", 1), "contradicts"),
        "other local method": (_other_local_method(whole), "contradicts"),
        "other place": (_moved_part(whole, b"archive/version", b"archive/data.pkl"), "contradicts"),
        "one within another": (_part_in_part(), "overlap"),
    }
    for name, (data, words) in tricks.items():
        yield Hostile(name, data, "WeightsError", words)
    bomb = zipped({"a/data.pkl": bytes(30_000_000), "a/data/0": numbers}, zipfile.ZIP_DEFLATED)
    broken = {
        "compressed bomb": (bomb, "compressed"),
        "zip in a zip": (zipped({"inner.zip": inner}), "unpack"),
        "data.pkl at the top": (zipped({"data.pkl": good}), "unpack"),
        "data.pkl deep down": (zipped({"a/b/data.pkl": good}), "unpack"),
        "encrypted": (_encrypted(whole), "encrypted"),
        "big endian zip": (torch_zip(good, byteorder=b"big"), "big-endian"),
        "zip without end": (whole[:-22], "cut off"),
        "zip cut in half": (whole[: len(whole) // 2], "cut off"),
        "zip with a tail": (whole + b"x", "data after the end"),
        "directory elsewhere": (whole[:-6] + struct.pack("<LH", 1 << 31, 0), "is invalid"),
        "parts without end": (whole[:-12] + struct.pack("<HLLH", 65535, 0, 0, 0), "is invalid"),
        "empty zip": (zipped({}), "empty zip"),
        "storage of other size": (torch_zip(good, **{"data/0": numbers + b"x"}), "claims 4 F32"),
    }
    for name, (data, words) in broken.items():
        yield Hostile(name, data, "InputError", words)


def _central(data: bytes, name: bytes) -> int:
    """Where the central directory's line of a part begins."""
    return data.rindex(name) - 46


def _moved_part(data: bytes, name: bytes, onto: bytes) -> bytes:
    """The directory sends the reader of one part to the place of another."""
    changed = bytearray(data)
    line, other = _central(data, name), _central(data, onto)
    changed[line + 42 : line + 46] = data[other + 42 : other + 46]
    return bytes(changed)


def _other_local_method(data: bytes) -> bytes:
    changed = bytearray(data)
    changed[data.index(b"archive/data/0") - 30 + 8] = zipfile.ZIP_DEFLATED
    return bytes(changed)


def _part_in_part() -> bytes:
    """A part whose header and bytes are inside another part."""
    name, data = b"a/data/1", b"1234"
    local = struct.pack("<4s5H3L2H", b"PK\3\4", 20, 0, 0, 0, 33, zlib.crc32(data), 4, 4, len(name), 0) + name + data
    whole = zipped({"a/data.pkl": program(b"}"), "a/data/0": local, "a/data/1": data})
    changed = bytearray(whole)
    line = _central(whole, name)
    changed[line + 42 : line + 46] = struct.pack("<L", whole.index(local))
    return bytes(changed)


def _encrypted(data: bytes) -> bytes:
    changed = bytearray(data)
    changed[_central(data, b"archive/data/0") + 8] |= 1
    return bytes(changed)


def _other_files() -> Iterator[Hostile]:
    """What people give by mistake."""
    cases = {
        "empty": (b"", "is empty"),
        "one byte": (b"\x80", "cut off"),
        "noise": (bytes(range(255, 100, -1)) * 9, "not a file of weights"),
        "prose": (b"config\nmodel\n\nThis is no file of weights.\n" * 9, "not a file of weights"),
        "web page": (b"\n<!DOCTYPE html><html><body>Sign in</body></html>", "web page"),
        "LFS pointer": (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 4\n", "git lfs pull"),
        "gzip": (b"\x1f\x8b\x08\0" + bytes(30), "gzip"),
        "7z": (b"7z\xbc\xaf\x27\x1c" + bytes(30), "7z"),
        "rar": (b"Rar!\x1a\x07\0" + bytes(30), "rar"),
        "tar": (b"storages".ljust(257, b"\0") + b"ustar" + bytes(300), "tar archive"),
        "image": (b"\x89PNG\r\n\x1a\n" + bytes(30), "image"),
    }
    for name, (data, words) in cases.items():
        yield Hostile(name, data, "InputError", words)


def _safetensors_files() -> Iterator[Hostile]:
    def one(dtype: str = '"F32"', shape: str = "[2]", offsets: str = "[0,8]", name: str = "a") -> str:
        return f'"{name}":{{"dtype":{dtype},"shape":{shape},"data_offsets":{offsets}}}'

    cases = {
        "header beyond the file": (safetensors("{" + one() + "}", length=10_000), "cut off"),
        "header without end": (safetensors("{" + one() + "}", length=1 << 62), "claims to be"),
        "header of 100 MB and one": (safetensors("{" + one() + "}", length=100_000_001), "claims to be"),
        "numbers cut": (safetensors("{" + one() + "}", bytes(7)), "cut off"),
        "too many numbers": (safetensors("{" + one() + "}", bytes(9)), "its header describes"),
        "no JSON": (safetensors("{" + one()), "header"),
        "not UTF-8": (safetensors(b'{"\xff":1}', b""), "header"),
        "half a surrogate": (safetensors("{" + one(name="\\ud800") + "}"), "header"),
        "deep JSON": (safetensors("{" + '"a":[' * 50_000), "header"),
        "deep lists of JSON": (safetensors('{"a":' + "[" * 200_000 + "]" * 200_000 + "}"), "header"),
        "name twice": (safetensors("{" + one() + "," + one() + "}"), "twice"),
        "metadata twice": (safetensors('{"__metadata__":{},"__metadata__":{},' + one() + "}"), "twice"),
        "metadata of numbers": (safetensors('{"__metadata__":{"a":1},' + one() + "}"), "__metadata__"),
        "metadata with half a surrogate": (
            safetensors('{"__metadata__":{"a":"\\ud800"},' + one() + "}"),
            "header",
        ),
        "metadata as text": (safetensors('{"__metadata__":"",' + one() + "}"), "__metadata__"),
        "unknown dtype": (safetensors("{" + one('"F31"') + "}"), "F31"),
        "dtype of a number": (safetensors("{" + one("7") + "}"), "not supported"),
        "negative shape": (safetensors("{" + one(shape="[-2]") + "}"), "is not a size"),
        "fractional shape": (safetensors("{" + one(shape="[2.0]") + "}"), "is not a size"),
        "true shape": (safetensors("{" + one(shape="[true,2]") + "}"), "impossible shape"),
        "endless shape": (safetensors("{" + one(shape="[9999999999999999999,2]") + "}"), "impossible shape"),
        "more digits than Python reads": (safetensors("{" + one(shape=f"[{'9' * 5000}]") + "}"), "is not a size"),
        "overflowing shape": (safetensors("{" + one(shape="[4294967296,4294967296,2]") + "}"), "impossible shape"),
        "shape too large": (safetensors("{" + one(shape="[3]") + "}"), "needs 12 bytes"),
        "offsets backwards": (safetensors("{" + one(offsets="[8,0]") + "}"), "needs 8 bytes"),
        "three offsets": (safetensors("{" + one(offsets="[0,4,8]") + "}"), "invalid data_offsets"),
        "offset of minus zero": (safetensors("{" + one(offsets="[-0,8]") + "}"), "is not a size"),
        "beyond the end": (safetensors("{" + one(offsets="[8,16]") + "}"), "gap"),
        "overlapping": (safetensors("{" + one() + "," + one(name="b") + "}"), "overlaps"),
        "gap": (safetensors("{" + one(shape="[1]", offsets="[4,8]") + "}"), "gap"),
        "unknown field": (safetensors('{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8],"x":1}}'), "described"),
        "no table": (safetensors('{"a":[1]}'), "described"),
        "one line only": (safetensors('{"a\\nb":[1]}'), "a?b"),
        "commas without end": (safetensors('{"a":[' + "[]," * 6_000_000 + "[]]}"), "more tensors than any"),
    }
    for name, (data, words) in cases.items():
        yield Hostile(f"{name}, safetensors", data, "InputError", words)
