"""Whether images that are there were sampled as a job would sample them now, and what is left of it. No torch."""

import os
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
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
            return "number of steps" if name == "steps" else name.replace("_", " ")
    return None


def different_control(there: SampleRequest, wanted: Mapping[str, Any]) -> str | None:
    """The first field of `ConditionOptions` that one of the conditions has another value of than is `wanted`."""
    found = (name for c in there.conditions for name, value in wanted.items() if getattr(c, name) != value)
    name = next(found, None)
    return name and declared(ConditionOptions)[name].label.removeprefix("--")


def single(request: SampleRequest) -> list[SampleRequest]:
    """A request for each of its images, prompt by prompt."""
    seeds = range(request.seed, request.seed + request.count)
    return [replace(request, prompts=(prompt,), seed=seed, count=1) for prompt in request.prompts for seed in seeds]


def left(requests: Sequence[SampleRequest], paths: Sequence[Path]) -> tuple[list[SampleRequest], list[Path]]:
    """What is left of a job that was stopped: the requests and paths of the images that are not there.

    InputError where an image is there that has another recipe; automatic prompts are always others.
    """
    requests_left, paths_left, images = list[SampleRequest](), list[Path](), iter(paths)
    for request in requests:
        pairs = [(one, path) for one, path in zip(single(request), images, strict=False)]
        missing = [pair for pair in pairs if not pair[1].exists()]
        for one, path in pairs:
            if path.exists():
                refuse(path, difference(read(path).request, one))
        # A request of which nothing is there stays whole: its images make the same batches.
        requests_left += [request] if len(missing) == len(pairs) else [one for one, _ in missing]
        paths_left += [path for _, path in missing]
    return requests_left, paths_left
