"""What a name in a pickle stands for: an inert value, or an error.

A pickle names functions and classes, and a plain unpickler imports and calls them. Here a name is only looked up in
the tables below: a few build descriptions of tensors and containers, those that trainers save become placeholders,
and anything else is refused. Nothing is ever imported, resolved or run.
Source of the builders' arguments: torch/_utils.py, torch/_tensor.py and torch/_weights_only_unpickler.py.
"""

import math
from collections.abc import Callable
from typing import Any

from cn.archives.entries import ITEM_SIZES, TORCH_NAMES, is_valid_shape, span
from cn.archives.pickle_values import Global, SetMembers, Storage, StoredTensor, as_key, broken
from cn.errors import WeightsError
from cn.text import shown

_MAX_NAME = 500
_MAX_REPEATED = 1 << 24
"""Elements of a view that repeats its storage, as `expand` makes: copying such a view takes memory."""


def _dict(pairs: Any = ()) -> dict:
    if type(pairs) is dict:
        return dict(pairs)
    if type(pairs) not in (list, tuple):
        raise broken("a dictionary is not made of pairs")
    if any(type(pair) not in (list, tuple) or len(pair) != 2 for pair in pairs):
        raise broken("a dictionary is not made of pairs")
    return {as_key(key): value for key, value in pairs}


def _defaultdict(factory: Any = None, pairs: Any = ()) -> dict:
    return _dict(pairs)


def _deque(members: Any = (), length: Any = None) -> list:
    return _list(members)


def _list(members: Any = ()) -> list:
    return list(members) if isinstance(members, list | tuple) else []


def _tuple(members: Any = ()) -> tuple:
    return tuple(_list(members))


def _set(members: Any = ()) -> SetMembers:
    return SetMembers(_list(members))


def _size(shape: Any) -> tuple:
    if type(shape) is not tuple:
        raise broken("torch.Size is not given a tuple")
    return shape


def _tensor(storage: Any, offset: Any, shape: Any, strides: Any) -> StoredTensor:
    return _view(storage, offset, shape, strides, storage.dtype if type(storage) is Storage else "")


def _tensor_v2(
    storage: Any, offset: Any, shape: Any, strides: Any, grad: Any, hooks: Any, marks: Any = None
) -> StoredTensor:
    # `marks` asks for a tensor to be conjugated or negated when read, which weights never need.
    if type(marks) is dict and any(marks.values()):
        raise broken("a tensor is stored conjugated or negated")
    return _tensor(storage, offset, shape, strides)


def _tensor_v3(
    storage: Any, offset: Any, shape: Any, strides: Any, grad: Any, hooks: Any, dtype: Any, marks: Any = None
) -> StoredTensor:
    if type(dtype) is not Global or not dtype.dtype or dtype.storage:
        raise broken("a tensor has no dtype")
    return _view(storage, offset, shape, strides, dtype.dtype)


def _parameter(data: Any, grad: Any = None, hooks: Any = None, state: Any = None) -> StoredTensor:
    if type(data) is not StoredTensor:
        raise broken("a parameter is not a tensor")
    return data


def _from_type(function: Any, kind: Any, arguments: Any, state: Any) -> StoredTensor:
    """A tensor with extra attributes, which are dropped."""
    if type(function) is not Global or function.builder not in (_tensor, _tensor_v2, _tensor_v3, _parameter):
        raise broken("a tensor is built in an unknown way")
    if type(arguments) is not tuple or len(arguments) > 8:
        raise broken("a tensor is built in an unknown way")
    return function.builder(*arguments)


def _view(storage: Any, offset: Any, shape: Any, strides: Any, dtype: str) -> StoredTensor:
    if type(storage) is not Storage:
        raise broken("a tensor has no storage")
    item = ITEM_SIZES[dtype]
    if not isinstance(shape, list | tuple) or not isinstance(strides, list | tuple) or not is_valid_shape(shape, item):
        raise broken("a tensor has an impossible shape")
    if len(strides) != len(shape) or any(type(n) is not int or not 0 <= n < 1 << 62 for n in (offset, *strides)):
        raise broken("a tensor's strides or offset are impossible")
    available = storage.elements * ITEM_SIZES[storage.dtype] // item
    if offset + span(shape, strides) > available:
        raise broken("a tensor reaches beyond its storage")
    elements = math.prod(shape)
    if elements > max(available, _MAX_REPEATED):
        raise broken(f"a tensor claims {elements} numbers from a storage of {available}")
    return StoredTensor(storage, offset, tuple(shape), tuple(strides), dtype)


_BUILDERS: dict[str, Callable[..., Any]] = {
    "torch._utils._rebuild_tensor": _tensor,
    "torch._utils._rebuild_tensor_v2": _tensor_v2,
    "torch._utils._rebuild_tensor_v3": _tensor_v3,
    "torch._utils._rebuild_parameter": _parameter,
    "torch._utils._rebuild_parameter_with_state": _parameter,
    "torch._tensor._rebuild_from_type_v2": _from_type,
    "torch.Size": _size,
    "collections.OrderedDict": _dict,
    "collections.Counter": _dict,
    "collections.defaultdict": _defaultdict,
    "collections.deque": _deque,
    "builtins.dict": _dict,
    "builtins.list": _list,
    "builtins.tuple": _tuple,
    "builtins.set": _set,
    "builtins.frozenset": _set,
}

_STORAGES = {
    "torch.DoubleStorage": "F64",
    "torch.FloatStorage": "F32",
    "torch.HalfStorage": "F16",
    "torch.BFloat16Storage": "BF16",
    "torch.LongStorage": "I64",
    "torch.IntStorage": "I32",
    "torch.ShortStorage": "I16",
    "torch.CharStorage": "I8",
    "torch.ByteStorage": "U8",
    "torch.BoolStorage": "BOOL",
    "torch.ComplexFloatStorage": "C64",
    "torch.UntypedStorage": "U8",
    "torch.storage.UntypedStorage": "U8",
    "torch.storage._UntypedStorage": "U8",
}
_DTYPES = {f"torch.{name}": dtype for dtype, name in TORCH_NAMES.items()}

_GENERATORS = ("_mt19937.MT19937", "_pcg64.PCG64", "_pcg64.PCG64DXSM", "_philox.Philox", "_sfc64.SFC64")
_INERT = {
    "torch.Tensor",
    "torch.device",
    "torch.nn.Parameter",
    "torch.nn.parameter.Buffer",
    "torch.nn.parameter.Parameter",
    "torch.nn.parameter.UninitializedParameter",
    "torch.storage.TypedStorage",
    *(f"torch.{name}" for name in ("complex128", "strided", "qint8", "quint8", "qint32")),
    *(f"builtins.{name}" for name in ("int", "float", "complex", "str", "bytes", "bytearray")),
    *(f"builtins.{name}" for name in ("bool", "object", "slice", "range", "xrange", "long", "unicode")),
    *(f"numpy.{core}.multiarray.{name}" for core in ("core", "_core") for name in ("scalar", "_reconstruct")),
    *(f"numpy.{core}.numeric._frombuffer" for core in ("core", "_core")),
    *(f"datetime.{name}" for name in ("date", "datetime", "time", "timedelta", "timezone")),
    *(f"numpy.random.{name}" for name in ("mtrand.RandomState", "_generator.Generator", *_GENERATORS)),
    *(f"numpy.random._pickle.__{name}_ctor" for name in ("randomstate", "generator", "bit_generator")),
    *(f"numpy.random.bit_generator.{name}" for name in ("SeedSequence", "__pyx_unpickle_SeedSequence")),
    "numpy.dtype",
    "numpy.ndarray",
    "_codecs.encode",
}

_INERT_PACKAGES = (
    *("pytorch_lightning", "lightning", "lightning_fabric", "lightning_utilities", "omegaconf", "ldm", "cldm"),
    *("diffusers", "transformers", "accelerate", "deepspeed", "argparse", "pathlib", "typing", "enum"),
    *("torch.optim", "torch.nn.modules", "openpifpaf.network", "openpifpaf.headmeta"),
)
"""Packages whose objects trainers save, including their submodules: `ldm.x` but not `ldmx`."""

_UNSUPPORTED = {
    "torch._utils._rebuild_qtensor": "quantized tensors",
    "torch._utils._rebuild_sparse_tensor": "sparse tensors",
    "torch._utils._rebuild_sparse_csr_tensor": "sparse tensors",
    "torch._utils._rebuild_nested_tensor": "nested tensors",
    "torch._utils._rebuild_meta_tensor_no_storage": "tensors without numbers",
    "torch._utils._rebuild_wrapper_subclass": "wrapped tensors",
    "torch._utils._rebuild_device_tensor_from_numpy": "tensors kept as NumPy arrays",
    "torch._utils._rebuild_device_tensor_from_cpu_tensor": "tensors of another device",
    "torch._utils._rebuild_xla_tensor": "tensors kept as NumPy arrays",
    "torch.ComplexDoubleStorage": "complex numbers of 128 bits",
    **{f"torch.{kind}Storage": "quantized tensors" for kind in ("QInt8", "QUInt8", "QInt32", "QUInt4x2", "QUInt2x4")},
}

_PYTHON_2 = {"__builtin__": "builtins", "copy_reg": "copyreg"}


def look_up(module: str, name: str) -> Global:
    """What `module.name` stands for in a pickle of weights. Dots in `name` are never followed.

    Raises WeightsError, with the name, when no weights need it.
    """
    if len(module) + len(name) > _MAX_NAME:
        raise broken("it has an overlong name")
    module = _PYTHON_2.get(module, module)
    full = f"{module}.{name}"
    if full in _BUILDERS:
        return Global(full, _BUILDERS[full])
    if full in _STORAGES:
        return Global(full, dtype=_STORAGES[full], storage=True)
    if full in _DTYPES:
        return Global(full, dtype=_DTYPES[full])
    if full in _INERT or any(module == package or module.startswith(f"{package}.") for package in _INERT_PACKAGES):
        return Global(full)
    if full in _UNSUPPORTED:
        raise WeightsError(f"holds {_UNSUPPORTED[full]} ({full}), which are not supported")
    raise WeightsError(f"this file asks to run {shown(full)}, which no weights need: refused, and nothing was run")
