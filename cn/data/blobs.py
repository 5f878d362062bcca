"""The bytes of an image, wherever they are: a file, an object, a member of a tar, a cell of a table, or memory.

`cn.images.read` and its neighbors take a blob wherever they take a path.
"""

import os
from abc import ABC, abstractmethod
from dataclasses import dataclass, field

from cn import storage
from cn.errors import InputError


class Blob(ABC):
    """The bytes of one file, or of what was one. `str()` is its name for messages; it can be pickled and hashed."""

    @abstractmethod
    def read(self) -> bytes:
        """All bytes. Raises InputError, naming the blob."""

    @property
    def suffix(self) -> str:
        """The suffix of its name in lower case, with the dot; "" without one."""
        return os.path.splitext(str(self))[1].lower()


@dataclass(frozen=True)
class File(Blob):
    """A file of this machine, or an object (a URL)."""

    path: str

    def read(self) -> bytes:
        return storage.read_bytes(self.path)

    def __str__(self) -> str:
        return self.path


@dataclass(frozen=True)
class TarMember(Blob):
    """`size` bytes from `offset` of an uncompressed tar: the file `name` in it."""

    path: str
    name: str
    offset: int
    size: int

    def read(self) -> bytes:
        data = storage.read_range(self.path, self.offset, self.size)
        if len(data) < self.size:
            raise InputError("is cut off", path=str(self))
        return data

    def __str__(self) -> str:
        return f"{self.path}/{self.name}"


@dataclass(frozen=True)
class Content(Blob):
    """Bytes in memory, such as those of a table's cell or of a stream."""

    name: str
    data: bytes = field(repr=False)

    def read(self) -> bytes:
        return self.data

    def __str__(self) -> str:
        return self.name
