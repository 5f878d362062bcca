"""Whether images that are there were sampled as a job would sample them now. No torch.

`difference` compares what was asked for, and `cn.sample.chosen` what is chosen by the weights.
"""

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from cn.errors import InputError
from cn.options import declared
from cn.sample import png_metadata
from cn.sample.options import ConditionOptions, SampleOptions
from cn.sample.png_metadata import Recipe
from cn.sample.request import Condition, SampleRequest
from cn.text import shown

_CHOSEN = ("size", "resolution", "precision", "prediction")
"""What is chosen by the weights, where it is not given."""
_ADVICE = "give another --out, or --overwrite to replace it"
_MAX_VALUE = 40
"""Characters of a value in a message."""


class OtherRecipeError(InputError):
    """An image is in the place of a result, and has another recipe."""


def read(path: Path) -> Recipe:
    """The recipe of an image that is in the place of a result; InputError where it is none of `cn sample`."""
    try:
        recipe = png_metadata.from_file(os.fspath(path), pixels=False)
        if all(condition.masked or condition.origin.source for condition in recipe.request.conditions):
            return recipe
        # An image of an earlier version does not say which conditions it was given.
        return png_metadata.from_file(os.fspath(path))
    except InputError as error:
        raise InputError(f"{error.what}; {_ADVICE}", path=path) from None


def refuse(path: Path, difference: str | None) -> None:
    """OtherRecipeError for an image of another recipe; `difference` says what differs."""
    if difference is not None:
        raise OtherRecipeError(f"was sampled with {difference}; {_ADVICE}", path=path)


def another(what: str, there: Any, now: Any) -> str:
    """A difference with both values."""
    return f"another {what}, {_text(there)} and not {_text(now)}"


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, float):
        return f"{value:g}"
    if value is None or value == ():
        return "none"
    if isinstance(value, tuple):
        return shown(", ".join(map(str, value)), _MAX_VALUE)
    text = shown(value, _MAX_VALUE)
    return repr(text) if " " in text or not text else text


def difference(there: SampleRequest, wanted: SampleRequest) -> str | None:
    """What differs between an image that is there and the one that is wanted; None where it is the same.

    An automatic prompt is any that a captioner wrote, or the default one, which stays where no words are found.
    """
    if there.prompts != wanted.prompts and not (wanted.auto and there.captioned_by is not None):
        return another("prompt", there.prompts[0], "automatic" if wanted.auto else wanted.prompts[0])
    if (found := _different_option(there, wanted)) is not None:
        return found
    # Images by what they show: the same name may stand for another one, and another name for the same.
    started = [None if s is None else (s.source, s.mask is None) for s in (there.start_image, wanted.start_image)]
    if started[0] != started[1]:
        return "another start image or mask"
    return _different_condition(there.conditions, wanted.conditions)


def _different_option(there: SampleRequest, wanted: SampleRequest) -> str | None:
    """The first option that differs, but for those of conditions."""
    for name in SampleOptions.__dataclass_fields__:
        before, now = getattr(there, name), getattr(wanted, name)
        if name == "count" or (name in _CHOSEN and (now in (None, "auto") or name == "resolution")) or before == now:
            continue
        if name == "size":
            return different_size(before, now)
        return another("number of steps" if name == "steps" else name.replace("_", " "), before, now)
    return None


def different_size(there: tuple[int, int] | None, now: tuple[int, int]) -> str:
    """Sizes, (height, width)."""
    sizes = ["unknown" if size is None else f"{size[1]}×{size[0]}" for size in (there, now)]
    return f"another size, {sizes[0]} and not {sizes[1]}"


def _different_condition(there: Sequence[Condition], wanted: Sequence[Condition]) -> str | None:
    if len(there) != len(wanted):
        return another("number of conditions", len(there), len(wanted))
    for before, now in zip(there, wanted, strict=True):
        for name, field in declared(ConditionOptions).items():
            if (values := (getattr(before, name), getattr(now, name)))[0] != values[1]:
                return another(field.label.removeprefix("--"), *values)
        # An inpainting control sees the image to start from.
        kinds = [(c.masked or c.source, c.kind) for c in (before, now)]
        if kinds[0] != kinds[1]:
            return "another condition image"
    return None


def changed_weights(there: Mapping[str, str], now: Mapping[str, str]) -> str | None:
    """The first weights of an image that have other hashes now, by the names of `Recipe.hashes`."""
    for name, value in there.items():
        if now.get(name, value) != value:
            return f"other weights of {shown(name)}: SHA-256 {value[:8]}…, and now {now[name][:8]}…"
    return None


def single(request: SampleRequest) -> list[SampleRequest]:
    """A request for each of its images, prompt by prompt."""
    seeds = range(request.seed, request.seed + request.count)
    return [replace(request, prompts=(prompt,), seed=seed, count=1) for prompt in request.prompts for seed in seeds]
