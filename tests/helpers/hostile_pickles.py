"""Pickles that would run code, and pickles that would exhaust, mislead or crash a reader.

The code only creates a file (`touch SENTINEL`).
"""

import shlex
import struct
from collections.abc import Iterator
from pathlib import Path

from tests.helpers.assembled import call, dict_of, named, program, storage, tensor, text, tuple_of


def executing(sentinel: Path) -> dict[str, bytes]:
    """Pickles that run a command with plain `pickle.loads`, whatever the reader does with the rest of the file."""
    command = f"touch {shlex.quote(str(sentinel))}"
    code = f"open({str(sentinel)!r}, 'w').close()"
    words = b"](" + text("touch") + text(str(sentinel)) + b"e"
    system = named("os", "system")
    imported = call(named("builtins", "__import__"), text("os"))
    stack_global = text("os") + text("system") + b"\x93"
    dotted = text("pathlib") + text("os.system") + b"\x93"
    return {
        "os.system": program(call(system, text(command))),
        "posix.system": program(call(named("posix", "system"), text(command))),
        "os.popen": program(call(named("os", "popen"), text(command))),
        "builtins.eval": program(call(named("builtins", "eval"), text(code))),
        "builtins.exec": program(call(named("builtins", "exec"), text(code))),
        "python 2 eval": program(call(named("__builtin__", "eval"), text(code))),
        "subprocess.Popen": program(call(named("subprocess", "Popen"), words)),
        "subprocess.check_output": program(call(named("subprocess", "check_output"), words)),
        "getattr chain": program(
            call(call(named("builtins", "getattr"), imported, text("system")), text(command)),
        ),
        "runpy": program(call(named("runpy", "_run_code"), text(code), b"}")),
        "timeit": program(call(named("timeit", "timeit"), text(code), text("pass"), named("time", "time"), b"K\1")),
        "pickle within a pickle": program(
            call(named("pickle", "loads"), b"B" + _long(program(call(system, text(command)))))
        ),
        "partial": program(call(call(named("functools", "partial"), system, text(command)))),
        "STACK_GLOBAL": program(call(stack_global, text(command)), 4),
        "STACK_GLOBAL with dots": program(call(dotted, text(command)), 4),
        "STACK_GLOBAL from the memo": program(
            text("system") + b"\x940" + text("os") + b"\x94h\0\x93" + tuple_of(text(command)) + b"R", 4
        ),
        "INST": f"(S{command!r}\nios\nsystem\n.".encode(),
        "OBJ": b"(" + system + text(command) + b"o.",
        "protocol 0": f"cos\nsystem\n(S{command!r}\ntR.".encode(),
        "in a frame": program(b"\x95" + struct.pack("<Q", 1 << 20) + call(system, text(command)), 4) + bytes(1 << 20),
        "result thrown away": program(call(system, text(command)) + b"0" + dict_of(a=b"K\1")),
        "next to harmless values": program(dict_of(state_dict=b"}", epoch=b"K\1", x=call(system, text(command)))),
        "as a key": program(b"}" + call(system, text(command)) + b"K\1s"),
        "in a set": program(b"\x8f(" + call(system, text(command)) + b"\x90", 4),
        "in an argument": program(call(named("collections", "OrderedDict"), call(system, text(command)))),
        "by appending": program(
            call(named("collections", "deque")) + call(system, text(command)) + b"a",
        ),
        "as a state": program(named("builtins", "object") + b")\x81" + call(system, text(command)) + b"0."),
    }


def _long(data: bytes) -> bytes:
    return struct.pack("<I", len(data)) + data


_REFUSED = """
os.system nt.system posix.popen subprocess.run subprocess.call builtins.eval builtins.exec builtins.compile
builtins.getattr builtins.setattr builtins.open builtins.__import__ builtins.map builtins.type
builtins.memoryview builtins.dict.fromkeys runpy.run_path importlib.import_module webbrowser.open sys.exit
socket.socket shutil.rmtree operator.attrgetter operator.methodcaller functools.partial functools.reduce
torch.load torch.hub.load torch.jit.load torch.storage._load_from_bytes torch.serialization.load
torch.utils.cpp_extension.load torch.nn.functional.relu torch._C._jit_set torch._dynamo.guards.x
torch.nn.modulesx.Evil torch.optimizer.Evil ldmx.Evil lightningrod.Evil numpy.load numpy.f2py.crackfortran.x
numpy.testing._private.utils.runstring numpy.core.multiarray.fromfile numpy.save collections.namedtuple
collections.abc.sys copyreg._reconstructor copy_reg.add_extension __main__.Model __main__.X yaml.load
pickle.loads _pickle.loads cloudpickle.loads dill.loads joblib.load marshal.loads types.CodeType codecs.encode
_codecs.decode asyncio.run ctypes.CDLL multiprocessing.Process pip.main venv.create idlelib.x.Y test.x.Y
code.interact pdb.run profile.run cProfile.run bdb.Bdb pty.spawn
"""


def refused_names() -> Iterator[tuple[str, str]]:
    """Names that no weights need, one by one."""
    for full in _REFUSED.split():
        module, _, name = full.rpartition(".")
        yield module, name
    yield "os", "path.os.system"
    yield "", "eval"
    yield "builtins", ""
    yield "torch.nn", "modules.linear.Linear"


Case = tuple[str, bytes, str, str]
"""Name, bytes, error, words of the message."""


def hostile_pickles() -> Iterator[Case]:
    """Pickles that run nothing but would exhaust, mislead or crash."""
    yield from _odd_instructions()
    yield from _odd_tensors()
    yield from _odd_structures()


def broken(name: str, value: bytes, words: str = "damaged", protocol: int = 2) -> Case:
    return name, program(value, protocol), "InputError", words


def _odd_instructions() -> Iterator[Case]:
    """Calls, memos, lengths and identifiers that make no sense."""
    for code in (b"\x82\1", b"\x83\1\0", b"\x84\1\0\0\0"):
        yield f"extension {code[0]:x}", program(code), "WeightsError", "extension"
    nothing = named("builtins", "object")
    yield "NEWOBJ_EX", program(named("subprocess", "Popen") + b")}\x92", 4), "WeightsError", "subprocess.Popen"
    yield broken("state for a class", nothing + b"}" + text("x") + b"K\1sb")
    yield broken("state for a number", b"K\1}b")
    yield broken("call of a text", text("os.system") + b"(K\1tR")
    yield broken("call of a placeholder", call(call(named("argparse", "Namespace")), b"K\1"))
    yield broken("call of a tensor", dict_of(a=call(tensor())))
    yield broken("call without a tuple", named("collections", "OrderedDict") + b"}R")
    yield broken("OBJ of nothing", b"(o")
    yield broken("memo without end", b"".join(b"Nr" + struct.pack("<I", i << 8) + b"0" for i in range(400_000)) + b"N")
    yield "far memo", program(b"Nr" + struct.pack("<I", 1 << 31)), "WeightsError", "holds None"
    yield broken("farthest memo", b"Nr\xff\xff\xff\xff0h\7")
    yield broken("memo by text", b"Np" + b"9" * 4000 + b"\n0g" + b"8" * 4000 + b"\n")
    yield broken("number too long for Python", b"L" + b"9" * 5000 + b"L\n")
    yield broken("deep lists", b"]" * 600_000 + b"a" * 599_999 + b"")
    yield broken("deep tuples", b")" + b"\x85" * 1_100_000)
    yield broken("marks without end", b"(" * 1_100_000)
    yield broken("sets without end", b"\x8f" * 1_100_000, protocol=4)
    yield broken("huge long", b"\x8b" + struct.pack("<i", 0x7FFFFFFF) + b"1")
    yield broken("negative long", b"\x8b" + struct.pack("<i", -1))
    yield broken("negative string", b"T" + struct.pack("<i", -5))
    for code in (b"\x8d", b"\x8e", b"\x96", b"\x95"):
        yield broken(f"huge length {code[0]:x}", code + struct.pack("<Q", 1 << 40) + b"x", protocol=5)
        yield broken(f"length beyond all {code[0]:x}", code + struct.pack("<Q", (1 << 64) - 1) + b"x", protocol=5)
    yield broken("huge BINBYTES", b"B\xff\xff\xff\xff", protocol=3)
    yield broken("buffers from outside", b"\x97", protocol=5)
    yield broken("persistent id as text", b"Pstorage\n")
    yield broken("persistent id of a number", b"K\1Q")
    yield broken("empty persistent id", b")Q")
    yield broken("persistent id of five numbers", b"(K\1K\1K\1K\1K\1tQ")
    yield broken("persistent id of another kind", tuple_of(text("file"), *[text("/etc/passwd")] * 4) + b"Q")
    yield broken("module that is no class", tuple_of(text("module"), text("os"), text("a"), text("b")) + b"Q")


def _odd_tensors() -> Iterator[Case]:
    """Storages and views that lie outside of the file, or are endless."""
    yield broken("storage of a class", storage(kind="Tensor"))
    yield broken("storage that is missing", dict_of(a=tensor(of=storage("77"))))
    yield broken("storage outside its folder", dict_of(a=tensor(of=storage("../data.pkl", 1, "ByteStorage"))))
    yield broken("storage too large", dict_of(a=tensor(of=storage(elements=5))))
    yield broken("storage too small", dict_of(a=tensor(of=storage(elements=3))))
    yield broken("storage of another type", dict_of(a=tensor(of=storage(kind="DoubleStorage"))))
    yield broken("storage negative", dict_of(a=tensor(of=storage(elements=-4))))
    yield broken("storage endless", dict_of(a=tensor(of=storage(elements=1 << 62))))
    yield broken("tensor too long", dict_of(a=tensor((5,))))
    yield broken("tensor too far", dict_of(a=tensor(offset=1)))
    yield broken("tensor before the start", dict_of(a=tensor(offset=-1)))
    yield broken("negative size", dict_of(a=tensor((-4,))))
    yield broken("negative stride", dict_of(a=tensor(strides=(-1,), offset=3)))
    yield broken("far stride", dict_of(a=tensor((2,), (1 << 61,))))
    yield broken("endless size", dict_of(a=tensor((1 << 62, 1 << 62, 0), (0, 0, 0))))
    yield broken("endless view", dict_of(a=tensor((1 << 30, 1 << 20), (0, 0))))
    yield broken("65 dimensions", dict_of(a=tensor((1,) * 65, (1,) * 65)))
    yield broken("shape without strides", dict_of(a=tensor((2, 2), (1,))))
    yield broken("shape of texts", dict_of(a=call(named("torch._utils", "_rebuild_tensor"), storage(), b"K\0N)")))
    yield broken("offset of a truth", dict_of(a=call(named("torch._utils", "_rebuild_tensor"), storage(), b"\x88))")))
    yield broken("tensor without storage", dict_of(a=tensor(of=b"K\1")))
    yield broken("parameter without tensor", call(named("torch._utils", "_rebuild_parameter"), b"NNN"))
    made = named("torch._tensor", "_rebuild_from_type_v2")
    yield broken("tensor made by itself", call(made, made, b"N", b")", b"N"))
    yield broken("tensor made by a size", call(made, named("torch", "Size"), b"N", b"))\x86", b"N"))
    yield broken("size of a list", call(named("torch", "Size"), b"]"))
    yield broken("dictionary of numbers", call(named("collections", "OrderedDict"), b"](K\1K\2e"))
    yield broken("dictionary of three items", b"}(K\1K\2K\3u")


def _odd_structures() -> Iterator[Case]:
    """Lists, names and stacks that make no sense, grow without end, or hold something other than tensors by name."""
    yield broken("append to a number", b"K\1K\2a")
    yield broken("items of a list", b"]K\1K\2s")
    yield broken("name without end", named("argparse", "x" * 600))
    yield broken("name of bytes", b"\xffc\xff\n\xff\n")
    yield broken("STACK_GLOBAL of numbers", b"K\1K\2\x93", protocol=4)
    yield broken("nothing on the stack", b"")
    yield broken("pop of nothing", b"0")
    yield broken("unknown instruction", b"\xff")
    yield broken("no end", b"N" * 10 + b"(")
    yield broken("protocol of tomorrow", b"\x80\x63N")
    many = b"](" + b"K\1K\2\x86" * 100_000 + b"eq\0"
    again = b"0" + call(named("collections", "OrderedDict"), b"h\0")
    yield broken("a dictionary made again and again", many + again * 1000)
    for name, words in (
        ("_rebuild_qtensor", "quantized tensors"),
        ("_rebuild_sparse_tensor", "sparse tensors"),
        ("_rebuild_device_tensor_from_numpy", "NumPy"),
    ):
        yield name, program(call(named("torch._utils", name))), "WeightsError", words
    yield "quantized storage", program(storage(kind="QInt8Storage")), "WeightsError", "quantized"
    laughs = b"](" + text("ha") * 10 + b"e" + (b"q\1](" + b"h\1" * 10 + b"e") * 60
    yield "billion laughs", program(laughs), "WeightsError", "holds list of 10"
    doubled = b"K\1" + b"2\x86" * 60
    yield "doubled tuples", program(doubled, 2), "WeightsError", "holds tuple of 2"
    key = b"}" + doubled + b"K\1s"
    yield "doubled tuples as a key", program(b"](" + key + b"e"), "WeightsError", "holds list of 1"
    yield "doubled tuples in a set", program(b"\x8f(" + doubled + b"\x90", 4), "WeightsError", "holds set of 1"
    objects = named("argparse", "Namespace") + b"q\1" + b"h\1)\x81" * 200_000 + b"N" + b"b" * 200_000
    yield "deep objects", program(objects), "WeightsError", "holds argparse.Namespace"
    yield "a list", program(b"]"), "WeightsError", "tensors by name"
    yield "a tensor alone", program(tensor()), "WeightsError", "holds tensor F32 [4]"
    yield broken("half a character", dict_of() + b"X\3\0\0\0\xed\xa0\x80" + tensor() + b"s")
    yield broken("a name twice", b"}" + b"K\1" + tensor() + b"s" + text("1") + tensor() + b"s")
    yield broken("modules in themselves", _module_in_itself())
    yield broken("modules doubled", _modules_doubled())


def _module(modules: bytes) -> bytes:
    kind = named("torch.nn.modules.container", "Sequential")
    tables = dict_of(_parameters=dict_of(w=tensor()), _buffers=b"}", _modules=modules)
    return kind + b")\x81q\7" + tables + b"b"


def _module_in_itself() -> bytes:
    return _module(dict_of(a=b"h\7"))


def _modules_doubled() -> bytes:
    value = _module(b"}")
    for _ in range(40):
        # The module below is on the stack; it is kept in the memo and named twice.
        value = value + b"q\x080" + _module(dict_of(a=b"h\x08", b=b"h\x08"))
    return value
