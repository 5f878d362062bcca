"""The tensors in the object that a torch file holds, and a few words on everything else in it."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from cn.archives.entries import Entry, shown
from cn.archives.pickle_values import Global, Members, Placeholder, StoredTensor
from cn.errors import InputError, WeightsError

_MAX_NESTING = 4
_MAX_MODULES = 100_000
_MAX_MODULE_NAME = 1000
_MODULE_TABLES = ("_parameters", "_buffers", "_modules")


def tensors_of(loaded: Any, path: Path) -> tuple[dict[str, Entry], dict[str, str]]:
    """Tensors by name, and what else there is: name → a short description.

    A dictionary under "state_dict" is gone into, again and again, and so is the only dictionary with tensors in one
    without ("params", "model", …). A whole network that was saved, by itself or as the only one in a dictionary without
    tensors, gives its parameters and buffers.
    Raises InputError for damage, WeightsError when there are no named tensors at all.
    """
    if is_module(loaded):
        return module_state(loaded, path), {}
    if type(loaded) is not dict:
        raise WeightsError(f"{path}: holds {describe(loaded)}, where weights are tensors by name")
    leftovers: dict[str, str] = {}
    for _ in range(_MAX_NESTING):
        inner = loaded.get("state_dict")
        if type(inner) is not dict:
            break
        leftovers |= _described((key, value) for key, value in loaded.items() if key != "state_dict")
        loaded = inner
    if not _has_tensors(loaded):
        inside = [key for key, value in loaded.items() if type(value) is dict and _has_tensors(value)]
        if len(inside) == 1:
            leftovers |= _described(loaded.items())
            leftovers[shown(inside[0])] += ": the weights"
            loaded = loaded[inside[0]]
        networks = [key for key, value in loaded.items() if is_module(value)]
        if not inside and len(networks) == 1:
            leftovers |= _described(loaded.items())
            leftovers[shown(networks[0])] += ": the weights"
            return module_state(loaded[networks[0]], path), leftovers
    entries: dict[str, Entry] = {}
    for key, value in loaded.items():
        if isinstance(value, StoredTensor):
            _add(entries, str(key), value, path)
    leftovers |= _described((key, value) for key, value in loaded.items() if not isinstance(value, StoredTensor))
    return entries, leftovers


def _has_tensors(table: dict) -> bool:
    return any(isinstance(value, StoredTensor) for value in table.values())


def _add(entries: dict[str, Entry], name: str, tensor: StoredTensor, path: Path) -> None:
    if name in entries:
        raise InputError(f"{path}: damaged: {shown(name)} is there twice")
    try:
        name.encode("utf-8")
    except UnicodeEncodeError:
        raise InputError(f"{path}: damaged: the name {shown(name)} is no text") from None
    entries[name] = tensor.entry(path)


def is_module(value: Any) -> bool:
    """Whether this stands for a network: an object with the tables that every torch module has."""
    state = value.state if isinstance(value, Placeholder) else None
    return type(state) is dict and all(type(state.get(table)) is dict for table in _MODULE_TABLES)


def module_state(module: Placeholder, path: Path) -> dict[str, Entry]:
    """The parameters and persistent buffers of a pickled network, named as its state_dict names them."""
    entries: dict[str, Entry] = {}
    waiting = [(module, "")]
    seen = 0
    while waiting:
        current, prefix = waiting.pop()
        parameters, buffers, modules = (current.state[table] for table in _MODULE_TABLES)
        # One module may be in the file many times over, and even within itself.
        seen += 1 + len(parameters) + len(buffers) + len(modules)
        if seen > _MAX_MODULES or len(prefix) > _MAX_MODULE_NAME:
            raise InputError(f"{path}: damaged: its modules are nested without end")
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
    """A value out of a pickle in a few words: "840000", "list of 1", "dict of 2 (lr, beta)". Never goes deep."""
    if isinstance(value, StoredTensor):
        return f"tensor {value.dtype} {list(value.shape)}"
    if isinstance(value, Members):
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
