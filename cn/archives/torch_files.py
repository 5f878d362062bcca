"""The two formats of torch.save: zip files since torch 1.6, and a sequence of pickles before.

Both hold a pickle of the saved object, whose tensors refer to storages elsewhere in the file.
Source: torch/serialization.py (`_save`, `_legacy_save`).
"""

import struct
from typing import Any, BinaryIO

from cn.archives.entries import ITEM_SIZES
from cn.archives.pickle_values import Storage, StorageBytes, broken
from cn.archives.pickles import MAX_PICKLE, StorageMaker, unpickle
from cn.archives.zips import Part, read_parts
from cn.errors import InputError, WeightsError
from cn.text import shown

_MAGIC = 0x1950A86A20F9469CFC6C
_PROTOCOL = 1001
_INNER_ARCHIVES = (b"PK\3\4", b"PK\5\6", b"\x1f\x8b", b"BZh", b"7z\xbc\xaf", b"Rar!")


def read_zip(file: BinaryIO, size: int) -> Any:
    """The object in a zip file of torch.save, made of `StoredTensor`s, `Placeholder`s and plain values.

    Raises InputError for a damaged file, WeightsError for one that is not weights or tries to run something.
    """
    parts = read_parts(file, size)
    prefix = _prefix(parts)
    if f"{prefix}constants.pkl" in parts or any(name.startswith(f"{prefix}code/") for name in parts):
        raise WeightsError("is a TorchScript program, not weights; give the file of its weights")
    if any(part.compressed for part in parts.values()):
        raise InputError("is a compressed zip file, which torch.save never writes; unpack and save it again")
    order = parts.get(f"{prefix}byteorder")
    if order is not None and _head(file, order) != b"little":
        raise InputError("was written on a big-endian machine, which is not supported")
    main = parts[f"{prefix}data.pkl"]
    if main.size > MAX_PICKLE:
        raise InputError(f"its data.pkl of {main.size} bytes is larger than that of any weights")
    head = _head(file, main)
    if head.startswith(_INNER_ARCHIVES) or head[257:262] == b"ustar":
        raise WeightsError("its data.pkl is another archive, not a pickle: refused")
    blobs = {name: StorageBytes(part.size, part.offset) for name, part in parts.items()}

    def storage(dtype: str, key: str, elements: int, view: Any) -> Storage:
        blob = blobs.get(f"{prefix}data/{key[:200]}")
        if blob is None or view is not None:
            raise broken(f"the numbers of storage {shown(key, 30)} are missing")
        if blob.nbytes != elements * ITEM_SIZES[dtype]:
            raise broken(f"storage {shown(key, 30)} claims {elements} {dtype} numbers and has {blob.nbytes} bytes")
        return Storage(dtype, elements, blob)

    file.seek(main.offset)
    return unpickle(file, main.size, storage)


def _prefix(parts: dict[str, Part]) -> str:
    """The name, with a trailing slash, of the folder in the zip file that holds data.pkl."""
    found = [name for name in parts if name.endswith("/data.pkl") and name.count("/") == 1]
    if len(found) > 1:
        raise WeightsError(f"holds {len(found)} data.pkl files, weights have one: refused")
    if not found:
        raise InputError("is a zip file, but not written by torch.save; unpack it and give the file inside")
    return found[0].removesuffix("data.pkl")


def _head(file: BinaryIO, part: Part) -> bytes:
    file.seek(part.offset)
    return file.read(min(part.size, 512))


def read_legacy(file: BinaryIO, size: int) -> Any:
    """The object in a file of torch.save before 1.6, or without its zip format: see `read_zip`.

    Five pickles (a magic number, the protocol, the machine's properties, the object, the storages' keys), then for
    each key its number of elements, in eight bytes, and the numbers.
    """

    def read(storage: StorageMaker | None = None) -> Any:
        return unpickle(file, size - file.tell(), storage)

    magic = read()
    if type(magic) is not int or magic != _MAGIC:
        raise InputError("is a pickle, but not written by torch.save")
    protocol, machine = read(), read()
    if protocol != _PROTOCOL or type(machine) is not dict:
        raise InputError("damaged: it does not begin like a file of torch.save")
    if machine.get("little_endian") is not True:
        raise InputError("was written on a big-endian machine, which is not supported")
    storages = _LegacyStorages()
    loaded = read(storages.get)
    storages.locate(read(), file, size)
    return loaded


class _LegacyStorages:
    """The storages of a legacy file: requested while the object is unpickled, located after it."""

    def __init__(self) -> None:
        self._roots: dict[str, Storage] = {}

    def get(self, dtype: str, key: str, elements: int, view: Any) -> Storage:
        item = ITEM_SIZES[dtype]
        root = self._roots.get(key)
        if root is None:
            root = self._roots[key] = Storage(dtype, elements, StorageBytes(elements * item))
        if root.blob.nbytes != elements * item:
            raise broken(f"storage {shown(key, 30)} has two sizes")
        start = 0
        if view is not None:
            if type(view) is not tuple or len(view) != 3 or any(type(n) is not int for n in view[1:]):
                raise broken("a view of a storage is invalid")
            _, start, count = view
            if not 0 <= start <= start + count <= elements:
                raise broken("a view reaches beyond its storage")
            elements = count
        return Storage(dtype, elements, root.blob, start * item)

    def locate(self, keys: Any, file: BinaryIO, size: int) -> None:
        """Set the position of every storage; `file` is at the first one."""
        if not isinstance(keys, list | tuple) or any(type(key) is not str for key in keys):
            raise InputError("damaged: it has no list of storages")
        for key in keys:
            root = self._roots.get(key)
            head = file.read(8)
            if root is None or root.blob.offset is not None:
                raise InputError(f"damaged: storage {shown(key, 30)} is unknown or listed twice")
            if len(head) < 8 or file.tell() + root.blob.nbytes > size:
                raise InputError(f"cut off: the numbers of storage {shown(key, 30)} are missing")
            if struct.unpack("<q", head)[0] != root.elements:
                raise InputError(f"damaged: storage {shown(key, 30)} has a size that differs from its tensors'")
            root.blob.offset = file.tell()
            file.seek(root.blob.nbytes, 1)
