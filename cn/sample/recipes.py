"""Whether an image that is there was sampled as a job would sample it now. No torch."""

import os
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from cn.errors import InputError
from cn.options import declared
from cn.sample import png_metadata
from cn.sample.options import ConditionOptions, SampleOptions
from cn.sample.png_metadata import Recipe
from cn.sample.request import SampleRequest

_RESOLVED = ("size", "resolution", "precision", "prediction")
"""What is chosen as networks are loaded, where it is not given."""
_ADVICE = "give another --out, or --overwrite to replace it"


def read(path: Path, *, pixels: bool = True) -> Recipe:
    """The recipe of an image that is in the place of a result; InputError where it is none of `cn sample`."""
    try:
        return png_metadata.from_file(os.fspath(path), pixels=pixels)
    except InputError as error:
        raise InputError(f"{error.what}; {_ADVICE}", path=path) from None


def refuse(path: Path, difference: str | None) -> None:
    """InputError for an image of another recipe; `difference` says what differs."""
    if difference is not None:
        raise InputError(f"was sampled with another {difference}; {_ADVICE}", path=path)


def difference(there: SampleRequest, wanted: SampleRequest) -> str | None:
    """What differs between an image that is there and the one that is wanted; None where it is the same."""
    if there.prompts != wanted.prompts:
        return "prompt"
    if (name := different_option(there, wanted)) is not None:
        return name
    # Images by what they show: the same name may stand for another one, and another name for the same.
    started = [None if s is None else (s.source, s.mask is None) for s in (there.start_image, wanted.start_image)]
    if started[0] != started[1]:
        return "start image or mask"
    of_conditions = [
        # An inpainting control sees the image to start from.
        [(c.masked or c.source, c.kind, c.control, c.strength, c.start, c.end) for c in r.conditions]
        for r in (there, wanted)
    ]
    return None if of_conditions[0] == of_conditions[1] else "condition or control"


def different_option(there: SampleRequest, wanted: SampleRequest, ignored: Collection[str] = ()) -> str | None:
    """The first option that differs, but for those of conditions."""
    for name in SampleOptions.__dataclass_fields__:
        given = getattr(wanted, name)
        if name in ("count", *ignored) or (name in _RESOLVED and (given in (None, "auto") or name == "resolution")):
            continue
        if getattr(there, name) != given:
            return name.replace("_", " ")
    return None


def different_control(there: SampleRequest, wanted: Mapping[str, Any]) -> str | None:
    """The first field of `ConditionOptions` that one of the conditions has another value of than is `wanted`."""
    found = (name for c in there.conditions for name, value in wanted.items() if getattr(c, name) != value)
    name = next(found, None)
    return name and declared(ConditionOptions)[name].label.removeprefix("--")
