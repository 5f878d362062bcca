"""Which channel of an OpenEXR file, or which array of an .npz, holds what is wanted: by their names."""

import re
from collections.abc import Sequence

from cn.errors import InputError

MAX_NAMED = 30
"""Names that a message lists."""

_ALPHA = frozenset({"a", "alpha"})
_DEPTH = (r"depth|^distance$", r"^z$", r"disp", r"mist|fog")
"""What parts of a name mean depth, the best first."""
_OTHER_DEPTH = re.compile(r"disp|mist|fog")
_NO_DEPTH = re.compile(r"mask|valid|conf|normal|uncert|intrinsic|camera|scale|unit|min$|max$")
_EXACT = ("z", "depth", "depth.z", "depth.v")


def depth(names: Sequence[str]) -> str | None:
    """The name that must mean depth: the only one, or the only one that says so; None where it is not clear.

    Blender writes `ViewLayer.Depth.Z` or `.V`, other renderers `Z` or `depth.Z`, Python programs `depth`. The Z of
    vectors, beside an X and a Y, is none.
    """
    # An array called "a" is none; channels of OpenEXR have capitals.
    found = [name for name in names if parts(name)[-1] not in _ALPHA or name == "a"] or list(names)
    if len(found) == 1:
        return found[0]
    found = [name for name in found if not _is_component(name, names) and not _NO_DEPTH.search(name.lower())]
    exact = [name for name in found if name.lower() in _EXACT]
    if len(exact) == 1:
        return exact[0]
    for pattern in _DEPTH:
        matching = [name for name in found if any(re.search(pattern, part) for part in parts(name))]
        if pattern == "^z$":
            # `ViewLayer.Mist.Z`
            matching = [name for name in matching if not _OTHER_DEPTH.search(name.lower())]
        if matching:
            return matching[0] if len(matching) == 1 else None
    return None


def vectors(names: Sequence[str], prefix: str | None = None) -> tuple[str, ...] | None:
    """The names of the three components of normals, and of alpha where there is one; None where it is not clear.

    They are `PREFIX.X`, `.Y`, `.Z` or `PREFIX.R`, `.G`, `.B`; `prefix` is the one that was asked for, or None for
    the only one, or the only one with "normal" in it.
    """
    groups: dict[str, dict[str, str]] = {}
    for name in names:
        head, _, last = name.rpartition(".")
        groups.setdefault(head, {})[last.lower()] = name
    found = {}
    for head, group in groups.items():
        for letters in ("xyz", "rgb"):
            if set(letters) <= group.keys():
                found[head] = (*(group[letter] for letter in letters), *([group["a"]] if "a" in group else []))
                break
    if prefix is not None:
        return next((group for head, group in found.items() if head.lower() == prefix.lower()), None)
    if len(found) == 1:
        return next(iter(found.values()))
    named = [group for head, group in found.items() if "normal" in head.lower()]
    return named[0] if len(named) == 1 else None


def named(names: Sequence[str], channel: str) -> str:
    """The name that was asked for, in any case. Raises InputError, with the names that there are."""
    same = [name for name in names if name == channel] or [n for n in names if n.lower() == channel.lower()]
    if len(same) != 1:
        raise InputError(f"has no channel {channel!r}; it has {listed(names)}")
    return same[0]


def unclear(names: Sequence[str]) -> InputError:
    """The error where none or several of the names may be meant."""
    return InputError(f"which channel? It has {listed(names)}; name one with --channel")


def listed(names: Sequence[str]) -> str:
    """Names for a message."""
    more = f" and {len(names) - MAX_NAMED} more" if len(names) > MAX_NAMED else ""
    shown = ", ".join(name if name.isprintable() else repr(name) for name in names[:MAX_NAMED])
    return (shown or "none") + more


def parts(name: str) -> list[str]:
    """The words of a name, in lower case."""
    return re.split(r"[._:/ -]", name.lower())


def _is_component(name: str, names: Sequence[str]) -> bool:
    head, dot, last = name.rpartition(".")
    return last.lower() in ("x", "y", "z") and {f"{head}{dot}X", f"{head}{dot}Y"} <= {*names}
