"""The tensors in the object that a torch file holds, and a short description of everything else in it."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from cn.archives.entries import Entry
from cn.archives.pickle_values import Global, Placeholder, SetMembers, StoredTensor
from cn.errors import InputError, WeightsError
from cn.text import shown

_MAX_NESTING = 4
_MAX_MODULES = 100_000
_MAX_MODULE_NAME = 1000
_MODULE_TABLES = ("_parameters", "_buffers", "_modules")


def tensors_of(loaded: Any, path: Path) -> tuple[dict[str, Entry], dict[str, str]]:
    """Tensors by name, and everything else: name → a short description.

    Nested dictionaries under "state_dict" are followed, and so is the only dictionary that holds tensors in one that
    holds none ("params", "model", …). A whole pickled network, alone or as the only one in a dictionary without
    tensors, gives its parameters and buffers.
    Raises InputError for damage, WeightsError when the object is not a container of named tensors.
    """
    if is_module(loaded):
        return module_state(loaded, path), {}
    if type(loaded) is not dict:
        raise WeightsError(f"holds {describe(loaded)}; weights are tensors by name")
    extras: dict[str, str] = {}
    for _ in range(_MAX_NESTING):
        inner = loaded.get("state_dict")
        if type(inner) is not dict:
            break
        extras |= _described((key, value) for key, value in loaded.items() if key != "state_dict")
        loaded = inner
    if not _has_tensors(loaded):
        inside = [key for key, value in loaded.items() if type(value) is dict and _has_tensors(value)]
        if len(inside) == 1:
            extras |= _described(loaded.items())
            extras[shown(inside[0])] += ": the weights"
            loaded = loaded[inside[0]]
        networks = [key for key, value in loaded.items() if is_module(value)]
        if not inside and len(networks) == 1:
            extras |= _described(loaded.items())
            extras[shown(networks[0])] += ": the weights"
            return module_state(loaded[networks[0]], path), extras
    entries: dict[str, Entry] = {}
    for key, value in loaded.items():
        if isinstance(value, StoredTensor):
            _add(entries, str(key), value, path)
    extras |= _described((key, value) for key, value in loaded.items() if not isinstance(value, StoredTensor))
    return entries, extras


def _has_tensors(table: dict) -> bool:
    return any(isinstance(value, StoredTensor) for value in table.values())


def _add(entries: dict[str, Entry], name: str, tensor: StoredTensor, path: Path) -> None:
    if name in entries:
        raise InputError(f"damaged: {shown(name)} is listed twice")
    try:
        name.encode("utf-8")
    except UnicodeEncodeError:
        raise InputError(f"damaged: the name {shown(name)} is not valid text") from None
    entries[name] = tensor.entry(path)


def is_module(value: Any) -> bool:
    """Whether this is a pickled network: an object with the tables that every torch module has."""
    state = value.state if isinstance(value, Placeholder) else None
    return type(state) is dict and all(type(state.get(table)) is dict for table in _MODULE_TABLES)


def module_state(module: Placeholder, path: Path) -> dict[str, Entry]:
    """The parameters and persistent buffers of a pickled network, with the names of its state_dict."""
    entries: dict[str, Entry] = {}
    waiting = [(module, "")]
    seen = 0
    while waiting:
        current, prefix = waiting.pop()
        parameters, buffers, modules = (current.state[table] for table in _MODULE_TABLES)
        # A module may occur many times in a file, even within itself.
        seen += 1 + len(parameters) + len(buffers) + len(modules)
        if seen > _MAX_MODULES or len(prefix) > _MAX_MODULE_NAME:
            raise InputError("damaged: its modules are nested without end")
        skipped = current.state.get("_non_persistent_buffers_set")
        skipped = {name for name in skipped if type(name) is str} if isinstance(skipped, list) else set()
        kept = [(name, value) for name, value in buffers.items() if name not in skipped]
        for name, value in [*parameters.items(), *kept]:
            if isinstance(value, StoredTensor):
                _add(entries, f"{prefix}{shown(name, _MAX_MODULE_NAME)}", value, path)
        inside = [(f"{prefix}{shown(name, _MAX_MODULE_NAME)}.", child) for name, child in modules.items()]
        waiting.extend((child, name) for name, child in reversed(inside) if is_module(child))
    return entries


def _described(items: Iterable[tuple[Any, Any]]) -> dict[str, str]:
    return {shown(key): describe(value) for key, value in items}


def describe(value: Any) -> str:
    """A value from a pickle in a few words, one level deep: "840000", "list of 1", "dict of 2 (lr, beta)"."""
    if isinstance(value, StoredTensor):
        return f"tensor {value.dtype} {list(value.shape)}"
    if isinstance(value, SetMembers):
        return f"set of {len(value)}"
    if isinstance(value, list | tuple):
        return f"{type(value).__name__} of {len(value)}"
    if isinstance(value, dict):
        keys = [shown(key) for key, _ in zip(value, range(3), strict=False)]
        return f"dict of {len(value)}" + (f" ({', '.join(keys)}{', …' if len(value) > 3 else ''})" if keys else "")
    if isinstance(value, bytes):
        return f"{len(value)} bytes"
    if type(value) is int and value.bit_length() > 64:
        return "a long number"
    if value is None or isinstance(value, str | int | float | Placeholder | Global):
        return shown(value)
    return type(value).__name__
