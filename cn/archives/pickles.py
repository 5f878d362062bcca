"""Read pickles without running anything: a restricted unpickler that builds descriptions and placeholders.

A pickle is a program for a small stack machine. This one runs only the instructions that make plain values; those
that would import, call or change objects look up a name in `pickle_names` and give something inert.
Why not torch.load(weights_only=True): it imports torch, reads every tensor, and refuses checkpoints that hold a
trainer's objects; fickling and picklescan judge pickles but do not read tensors from them.
"""

import pickle
import struct
from collections.abc import Callable
from typing import Any, BinaryIO, ClassVar

from cn.archives.pickle_names import look_up
from cn.archives.pickle_values import Global, Placeholder, SetMembers, Storage, StoredTensor, as_key, broken
from cn.errors import InputError, WeightsError
from cn.text import shown

MAX_PICKLE = 256 << 20
"""Bytes. A pickle holds the tensors' names and shapes, not their numbers."""
MAX_STEPS = 1_000_000
"""Instructions; each can make an object of about 100 bytes. A training checkpoint of SD needs 150,000."""
_MAX_LINE = 1 << 20
_MAX_ARGUMENTS = 10

_PLAIN = (
    *("PROTO", "NONE", "NEWFALSE", "NEWTRUE", "INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4"),
    *("FLOAT", "BINFLOAT", "STRING", "BINSTRING", "SHORT_BINSTRING", "BINBYTES", "SHORT_BINBYTES", "BINBYTES8"),
    *("UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8", "EMPTY_TUPLE", "TUPLE", "TUPLE1", "TUPLE2"),
    *("TUPLE3", "EMPTY_LIST", "LIST", "EMPTY_DICT", "POP", "POP_MARK", "DUP", "MARK", "GET", "BINGET"),
    *("LONG_BINGET", "PUT", "BINPUT", "LONG_BINPUT", "MEMOIZE", "GLOBAL", "STACK_GLOBAL", "BINPERSID"),
)
"""Instructions whose implementation in Python's own unpickler is harmless."""

StorageMaker = Callable[[str, str, int, Any], Storage]
"""dtype, key, number of elements and (in legacy files) the view → the storage."""


def unpickle(file: BinaryIO, size: int, storage: StorageMaker | None = None) -> Any:
    """The object pickled at the current position of `file`, reading at most `size` bytes.

    Tensors become `StoredTensor`s and objects of unknown classes `Placeholder`s, anywhere in it; cycles are possible.
    `storage` is called for every storage; without it, a storage is an error.
    Raises WeightsError when the pickle names something that no weights need, InputError when it is damaged.
    """
    try:
        return _Unpickler(_Reader(file, min(size, MAX_PICKLE)), storage).load()
    except pickle.UnpicklingError as error:
        raise InputError(f"damaged: {shown(error)}") from None
    except (ValueError, TypeError, LookupError, OverflowError, struct.error):
        raise InputError("damaged: its pickle is invalid") from None


class _Reader:
    """Part of a file; never reads beyond it, however much a hostile pickle asks for."""

    def __init__(self, file: BinaryIO, left: int):
        self._file = file
        self._left = left

    def read(self, n: int) -> bytes:
        """Exactly `n` bytes."""
        self._left -= n
        data = self._file.read(n) if self._left >= 0 else b""
        if len(data) != n:
            raise broken("its pickle is cut off")
        return data

    def readline(self) -> bytes:
        line = self._file.readline(min(self._left, _MAX_LINE))
        self._left -= len(line)
        if not line.endswith(b"\n"):
            raise broken("its pickle is cut off")
        return line


# Python's unpickler rather than the faster one in C: the latter trusts memo indexes, so that one LONG_BINPUT of five
# bytes makes it allocate gigabytes, and its instructions cannot be replaced. Here the memo is a dictionary, and the
# table of instructions is restricted.
class _Unpickler(pickle._Unpickler):
    dispatch: ClassVar[dict[int, Callable[[Any], None]]] = {
        getattr(pickle, code)[0]: pickle._Unpickler.dispatch[getattr(pickle, code)[0]] for code in _PLAIN
    }

    pop_mark: Callable[[], list[Any]]

    def __init__(self, reader: _Reader, storage: StorageMaker | None):
        # Strings of Python 2 may be in any encoding: undecodable bytes are escaped, never an error.
        super().__init__(reader, encoding="utf-8", errors="backslashreplace")
        self._reader = reader
        self._storage = storage
        self._copied = 0
        self._names: dict[tuple[str, str], Global] = {}

    def load(self) -> Any:
        self.read, self.readline = self._reader.read, self._reader.readline
        self.metastack: list[list] = []
        self.stack: list[Any] = []
        self.append = self.stack.append
        for _ in range(MAX_STEPS):
            code = self.read(1)
            if code == pickle.STOP:
                return self.stack.pop()
            handler = self.dispatch.get(code[0])
            if handler is None:
                raise broken(f"its pickle holds the instruction {code!r}, which no weights need")
            handler(self)
        raise broken("its pickle is longer than any of weights")

    def find_class(self, module: str, name: str) -> Global:
        key = (module, name)
        if key not in self._names:
            self._names[key] = look_up(module, name)
        return self._names[key]

    def persistent_load(self, pid: Any) -> Any:
        if type(pid) is not tuple or not pid:
            raise broken("a persistent id is not torch's")
        if pid[0] == "module" and len(pid) == 4 and type(pid[1]) is Global:
            return pid[1]
        if pid[0] != "storage" or len(pid) not in (5, 6) or self._storage is None:
            raise broken("a persistent id is not torch's")
        kind, key, _, elements, view = (*pid[1:], None)[:5]
        if type(kind) is not Global or not kind.storage or type(key) is not str:
            raise broken("a persistent id is not torch's")
        if type(elements) is not int or not 0 <= elements < 1 << 59:
            raise broken("a storage has an impossible size")
        return self._storage(kind.dtype, key, elements, view)

    def _call(self, function: Any, arguments: Any) -> Any:
        """The result of a call in the pickle. Only the builders of `pickle_names` are ever called."""
        if type(function) is not Global or type(arguments) is not tuple:
            raise broken("its pickle calls something that is not a function")
        if function.builder is None:
            return Placeholder(function)
        if len(arguments) > _MAX_ARGUMENTS:
            raise broken(f"{function} has too many arguments")
        # Builders may copy a container, and a pickle may pass the same one repeatedly.
        self._copied += sum(len(a) for a in arguments if isinstance(a, list | tuple | dict))
        if self._copied > MAX_STEPS:
            raise broken("its pickle copies more than any of weights")
        return function.builder(*arguments)

    def load_frame(self) -> None:
        # Frames are hints for reading ahead, which this reader does not use.
        self.read(8)

    dispatch[pickle.FRAME[0]] = load_frame

    def load_extension(self) -> None:
        raise WeightsError("this file asks for a pickle extension, which no weights need: refused")

    dispatch[pickle.EXT1[0]] = load_extension
    dispatch[pickle.EXT2[0]] = load_extension
    dispatch[pickle.EXT4[0]] = load_extension

    def load_bytearray8(self) -> None:
        # Python's own allocates the array before checking that there are enough bytes.
        self.append(self.read(struct.unpack("<Q", self.read(8))[0]))

    dispatch[pickle.BYTEARRAY8[0]] = load_bytearray8

    def load_empty_set(self) -> None:
        self.append(SetMembers())

    dispatch[pickle.EMPTY_SET[0]] = load_empty_set

    def load_frozenset(self) -> None:
        self.append(SetMembers(self.pop_mark()))

    dispatch[pickle.FROZENSET[0]] = load_frozenset

    def load_appends(self) -> None:
        self._extend(self.pop_mark())

    dispatch[pickle.APPENDS[0]] = load_appends
    dispatch[pickle.ADDITEMS[0]] = load_appends

    def load_append(self) -> None:
        self._extend([self.stack.pop()])

    dispatch[pickle.APPEND[0]] = load_append

    def _extend(self, items: list) -> None:
        target = self.stack[-1]
        if isinstance(target, list):
            target.extend(items)
        elif type(target) is not Placeholder:
            raise broken("its pickle appends to something that is not a list")

    def load_dict(self) -> None:
        items = self.pop_mark()
        self.append({})
        self._set(items)

    dispatch[pickle.DICT[0]] = load_dict

    def load_setitems(self) -> None:
        self._set(self.pop_mark())

    dispatch[pickle.SETITEMS[0]] = load_setitems

    def load_setitem(self) -> None:
        value, key = self.stack.pop(), self.stack.pop()
        self._set([key, value])

    dispatch[pickle.SETITEM[0]] = load_setitem

    def _set(self, items: list) -> None:
        target = self.stack[-1]
        if type(target) is dict:
            target.update(zip(map(as_key, items[::2]), items[1::2], strict=True))
        elif type(target) is not Placeholder:
            raise broken("its pickle sets items of something that is not a dictionary")

    def load_reduce(self) -> None:
        arguments = self.stack.pop()
        self.stack[-1] = self._call(self.stack[-1], arguments)

    dispatch[pickle.REDUCE[0]] = load_reduce
    dispatch[pickle.NEWOBJ[0]] = load_reduce

    def load_newobj_ex(self) -> None:
        self.stack.pop()
        self.load_reduce()

    dispatch[pickle.NEWOBJ_EX[0]] = load_newobj_ex

    def load_inst(self) -> None:
        module, name = self.readline()[:-1].decode(), self.readline()[:-1].decode()
        arguments = tuple(self.pop_mark())
        self.append(self._call(self.find_class(module, name), arguments))

    dispatch[pickle.INST[0]] = load_inst

    def load_obj(self) -> None:
        function, *arguments = self.pop_mark()
        self.append(self._call(function, tuple(arguments)))

    dispatch[pickle.OBJ[0]] = load_obj

    def load_build(self) -> None:
        # Never applied: no __setstate__, no __dict__, no setattr.
        state = self.stack.pop()
        target = self.stack[-1]
        if type(target) is Placeholder:
            target.state = state
        elif not isinstance(target, dict | list | StoredTensor):
            raise broken("its pickle sets the state of something that has none")

    dispatch[pickle.BUILD[0]] = load_build
