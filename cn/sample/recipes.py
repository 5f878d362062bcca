"""Whether images that are there were sampled as a job would sample them now. No torch.

`difference` compares what was asked for, and `cn.sample.comparison` what the weights and their headers decide.
"""

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from cn import images
from cn.errors import InputError
from cn.images import png_chunks, reader
from cn.options import declared
from cn.sample import png_metadata
from cn.sample.options import ConditionOptions, SampleOptions
from cn.sample.png_metadata import Recipe
from cn.sample.request import Condition, SampleRequest
from cn.sample.weights import UsedFile, used_files
from cn.text import shown

_DECIDED = ("size", "resolution", "scale", "precision", "prediction")
"""What weights decide, where it is not given."""
_FILES = ("base", "lora", "vae", "control")
"""Compared by `different_weights`."""
_ADVICE = "give another --out, or --overwrite to replace it"
OTHER_START, OTHER_CONDITION = "another start image or mask", "another condition image"
_MAX_VALUE = 40
"""Characters of a value in a message."""


class OtherRecipeError(InputError):
    """Something is in the place of a result that is not that result: of another recipe, broken, or another's."""


def read(path: Path) -> Recipe:
    """The recipe of an image that is in the place of a result, and whole.

    Without the images in it, but for one of an earlier version: that does not say which it was given. OtherRecipeError
    where it is none of `cn sample`, or is broken.
    """
    name = os.fspath(path)
    try:
        data = reader.read_bytes(name)
        recipe = png_metadata.from_bytes(data, name, pixels=False)
        if recipe.warnings:
            raise InputError(recipe.warnings[0].partition(":")[0])
        _check_whole(data, name)
        return recipe if _states_sources(recipe.request) else png_metadata.from_bytes(data, name)
    except InputError as error:
        raise OtherRecipeError(f"{error.what}; {_ADVICE}", path=path) from None


def _check_whole(data: bytes, name: str) -> None:
    """InputError where pixels are missing. Those of a PNG are not decoded, which takes ten times as long."""
    if not data.startswith(png_chunks.SIGNATURE):
        images.decode(data, name)
    elif not png_chunks.is_whole(data):
        raise InputError("is broken or cut off: remove it and start again")


def _states_sources(request: SampleRequest) -> bool:
    sources = [condition.origin.source for condition in request.conditions if not condition.masked]
    start = request.start_image
    return all([*sources, *([] if start is None else [start.stored_source])])


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

    An automatic prompt is any for which a captioner was asked. Files of weights, and the conditions and start images of
    images which do not state their sources, are left to `cn.sample.comparison`.
    """
    if wanted.auto and there.captioned_by is None:
        return another("prompt", there.prompts[0], "automatic")
    if not wanted.auto and there.prompts != wanted.prompts:
        return another("prompt", there.prompts[0], wanted.prompts[0])
    # First: it decides defaults of options.
    return (
        _different_start(there, wanted)
        or _different_option(there, wanted)
        or _different_condition(there.conditions, wanted.conditions)
    )


def _different_start(there: SampleRequest, wanted: SampleRequest) -> str | None:
    before, now = there.start_image, wanted.start_image
    if before is None or now is None:
        return None if before is now else OTHER_START
    # By what it shows: the same name may stand for another image, and another name for the same.
    same = (before.mask is None) == (now.mask is None) and before.stored_source in ("", now.source)
    return None if same else OTHER_START


def _different_option(there: SampleRequest, wanted: SampleRequest) -> str | None:
    """The first option that differs, but for those of conditions."""
    for name in SampleOptions.__dataclass_fields__:
        field = "share" if name == "denoise" else name
        before, now = getattr(there, field), getattr(wanted, field)
        if name == "count" or name in _FILES or before == now:
            continue
        if name in _DECIDED and (now in (None, "auto") or name == "resolution"):
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
            values = getattr(before, name), getattr(now, name)
            if name not in _FILES and values[0] != values[1]:
                return another(field.label.removeprefix("--"), *values)
        # An inpainting control sees the image to start from.
        same = now.masked or before.origin.source in ("", now.source)
        if (before.masked, before.kind) != (now.masked, now.kind) or not same:
            return OTHER_CONDITION
    return None


def different_weights(there: Recipe, wanted: SampleRequest, hash_of: Callable[[UsedFile], str]) -> str | None:
    """The first file of weights that differs, of requests with as many conditions; `hash_of` is its SHA-256 now.

    By their hashes, whatever they are called; by name where an image does not state a hash.
    """
    request = there.request
    if (request.vae is None) != (wanted.vae is None):
        return another("vae", request.vae, wanted.vae)
    before, now = used_files(request), used_files(wanted)
    factors = [[one.factor for one in files if one.role == "lora"] for files in (before, now)]
    if factors[0] != factors[1]:
        return another("lora", request.lora, wanted.lora)
    for old, new in zip(before, now, strict=True):
        stated = there.hashes.get(old.key, "")
        # A file has the same hash as itself, and as nothing that is unknown.
        found = hash_of(new) if stated else ""
        if stated != found or (not stated and old.name != new.name):
            if old.name != new.name:
                return another(old.role, old.name, new.name)
            return f"other weights of {shown(old.key)}: SHA-256 {stated[:8]}…, and now {found[:8]}…"
    return None
