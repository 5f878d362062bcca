"""The two kinds of file that torch.save has written: zip files since 1.6, and a row of pickles before.

Both hold a pickle of the object that was saved, whose tensors point at storages elsewhere in the file.
Source: torch/serialization.py (`_save`, `_legacy_save`).
"""

import struct
from pathlib import Path
from typing import Any, BinaryIO

from cn.archives.entries import ITEM_SIZES, shown
from cn.archives.pickle_values import Blob, Storage, broken
from cn.archives.pickles import MAX_PICKLE, StorageMaker, unpickle
from cn.archives.zips import Part, read_parts
from cn.errors import InputError, WeightsError

_MAGIC = 0x1950A86A20F9469CFC6C
_PROTOCOL = 1001
_INNER_ARCHIVES = (b"PK\3\4", b"PK\5\6", b"\x1f\x8b", b"BZh", b"7z\xbc\xaf", b"Rar!")


def read_zip(file: BinaryIO, path: Path, size: int) -> Any:
    """The object in a zip file of torch.save, with `StoredTensor`s and `Placeholder`s in it.

    Raises InputError for a damaged file, WeightsError for one that is no weights or tries to run something.
    """
    parts = read_parts(file, path, size)
    prefix = _prefix(parts, path)
    if f"{prefix}constants.pkl" in parts or any(name.startswith(f"{prefix}code/") for name in parts):
        raise WeightsError(f"{path}: is a TorchScript program, not weights; give the file of its weights")
    if any(part.compressed for part in parts.values()):
        raise InputError(f"{path}: is a compressed zip file, which torch.save never writes; unpack and save it again")
    order = parts.get(f"{prefix}byteorder")
    if order is not None and _head(file, order) != b"little":
        raise InputError(f"{path}: was written on a big-endian machine, which is not supported")
    main = parts[f"{prefix}data.pkl"]
    if main.size > MAX_PICKLE:
        raise InputError(f"{path}: its data.pkl of {main.size} bytes is larger than that of any weights")
    head = _head(file, main)
    if head.startswith(_INNER_ARCHIVES) or head[257:262] == b"ustar":
        raise WeightsError(f"{path}: its data.pkl is another archive, not a pickle: refused")
    blobs = {name: Blob(part.size, part.offset) for name, part in parts.items()}

    def storage(dtype: str, key: str, elements: int, view: Any) -> Storage:
        blob = blobs.get(f"{prefix}data/{key[:200]}")
        if blob is None or view is not None:
            raise broken(f"the numbers of storage {shown(key, 30)} are missing")
        if blob.nbytes != elements * ITEM_SIZES[dtype]:
            raise broken(f"storage {shown(key, 30)} claims {elements} {dtype} numbers and has {blob.nbytes} bytes")
        return Storage(dtype, elements, blob)

    file.seek(main.offset)
    return unpickle(file, main.size, path, storage)


def _prefix(parts: dict[str, Part], path: Path) -> str:
    """The name, with its slash, of the folder within the zip file that holds data.pkl."""
    found = [name for name in parts if name.endswith("/data.pkl") and name.count("/") == 1]
    if len(found) > 1:
        raise WeightsError(f"{path}: holds {len(found)} times a data.pkl, where weights have one: refused")
    if not found:
        raise InputError(f"{path}: is a zip file, but not one that torch.save wrote; unpack it and give what is in it")
    return found[0].removesuffix("data.pkl")


def _head(file: BinaryIO, part: Part) -> bytes:
    file.seek(part.offset)
    return file.read(min(part.size, 512))


def read_legacy(file: BinaryIO, path: Path, size: int) -> Any:
    """The object in a file that torch.save wrote before 1.6, or without its zip format: see `read_zip`.

    Five pickles (a magic number, the protocol, facts about the machine, the object, the storages' keys), then for
    each key the number of its elements, in eight bytes, and the numbers.
    """

    def read(storage: StorageMaker | None = None) -> Any:
        return unpickle(file, size - file.tell(), path, storage)

    magic = read()
    if type(magic) is not int or magic != _MAGIC:
        raise InputError(f"{path}: is a pickle, but not one that torch.save wrote")
    protocol, machine = read(), read()
    if protocol != _PROTOCOL or type(machine) is not dict:
        raise InputError(f"{path}: damaged: it does not begin as files of torch.save do")
    if machine.get("little_endian") is not True:
        raise InputError(f"{path}: was written on a big-endian machine, which is not supported")
    storages = _LegacyStorages()
    loaded = read(storages.get)
    storages.locate(read(), file, path, size)
    return loaded


class _LegacyStorages:
    """The storages of an old file: asked for while the object is unpickled, found behind it afterwards."""

    def __init__(self) -> None:
        self._roots: dict[str, Storage] = {}

    def get(self, dtype: str, key: str, elements: int, view: Any) -> Storage:
        item = ITEM_SIZES[dtype]
        root = self._roots.get(key)
        if root is None:
            root = self._roots[key] = Storage(dtype, elements, Blob(elements * item))
        if root.blob.nbytes != elements * item:
            raise broken(f"storage {shown(key, 30)} has two sizes")
        start = 0
        if view is not None:
            if type(view) is not tuple or len(view) != 3 or any(type(n) is not int for n in view[1:]):
                raise broken("a view of a storage makes no sense")
            _, start, count = view
            if not 0 <= start <= start + count <= elements:
                raise broken("a view reaches beyond its storage")
            elements = count
        return Storage(dtype, elements, root.blob, start * item)

    def locate(self, keys: Any, file: BinaryIO, path: Path, size: int) -> None:
        """Tell every storage where its numbers lie; the position of `file` is that of the first."""
        if not isinstance(keys, list | tuple) or any(type(key) is not str for key in keys):
            raise InputError(f"{path}: damaged: it has no list of storages")
        for key in keys:
            root = self._roots.get(key)
            head = file.read(8)
            if root is None or root.blob.offset is not None:
                raise InputError(f"{path}: damaged: storage {shown(key, 30)} is unknown or there twice")
            if len(head) < 8 or file.tell() + root.blob.nbytes > size:
                raise InputError(f"{path}: cut off: the numbers of storage {shown(key, 30)} are missing")
            if struct.unpack("<q", head)[0] != root.elements:
                raise InputError(f"{path}: damaged: storage {shown(key, 30)} has another size than its tensors say")
            root.blob.offset = file.tell()
            file.seek(root.blob.nbytes, 1)
