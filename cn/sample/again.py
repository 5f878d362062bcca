"""A recipe with something changed: `cn sample --from OUT.png --seed 5`. No torch."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from cn.errors import InputError, UsageError
from cn.options import declared
from cn.sample.lora_choice import Lora
from cn.sample.options import ConditionOptions
from cn.sample.request import Condition, SampleRequest, broadcast, changed, make_conditions
from cn.sample.start_image import GivenImage
from cn.sample.weights import own_base


def again(
    stored: SampleRequest,
    given: Mapping[str, Any],
    each: Mapping[str, Sequence[Any]],
    *,
    prompts: Sequence[str] = (),
    auto: bool = False,
    cond: Sequence[str] = (),
    detect: str | None = None,
    invert: bool = False,
    start: GivenImage | None = None,
) -> SampleRequest:
    """The request of an image, where everything that is given replaces what is stored.

    `given` are options of sampling by name, `each` lists for the options of conditions (`make_conditions`). New
    conditions replace all stored ones; as many as before keep the stored control, strength, start and end of those.
    `auto` is for new prompts (`SampleRequest.auto`). `start` replaces the image that sampling began with, and its mask.
    Where controls are given and no base, theirs is used, if they were trained together with one. Raises InputError
    where condition images are needed that the metadata had no room for.
    """
    start = start or stored.start_image
    if start is not None and start.image.size == 0:
        raise InputError("the image that it began with did not fit into it; give it with --image")
    before = stored.conditions if start is None else tuple(c.around(start) for c in stored.conditions)
    conditions = _conditions(before, each, cond, detect, invert)
    changes: dict[str, Any] = {"prompts": tuple(prompts), "auto": auto, "captioned_by": None} if prompts else {}
    changes |= given
    if "lora" in given:
        changes["lora"] = _moved(stored.lora, given["lora"])
    if "base" not in given:
        changes["base"] = own_base(dict.fromkeys(each.get("control", ()))) or stored.base
    return changed(stored, {"conditions": conditions, "start_image": start, **changes})


def _moved(stored: Sequence[str], given: Sequence[str]) -> tuple[str, ...]:
    """LoRA files; as many as before keep the stored weights, where they have none of their own."""
    before = [Lora.parse(text).weight for text in stored] if len(stored) == len(given) else [1.0] * len(given)
    return tuple(str(Lora.parse(text, weight)) for text, weight in zip(given, before, strict=True))


def _conditions(
    stored: tuple[Condition, ...],
    each: Mapping[str, Sequence[Any]],
    cond: Sequence[str],
    detect: str | None,
    invert: bool,
) -> tuple[Condition, ...]:
    fields = declared(ConditionOptions)
    if cond:
        kept = {name: [getattr(c, name) for c in stored] for name in fields} if len(cond) == len(stored) else {}
        lists: dict[str, Any] = {**kept, **each}
        return make_conditions(cond, detect=detect, invert=invert, **lists)
    if detect or invert:
        raise UsageError("--detect and --invert need a --cond image")
    if each and not stored:
        labels = ", ".join(fields[name].label for name in each)
        raise UsageError(f"{labels}: this image was sampled without a condition; give one with --cond")
    if any(condition.image.size == 0 for condition in stored):
        raise InputError("its condition images did not fit into it; give them with --cond")
    values = {name: broadcast(fields[name].label, given, len(stored)) for name, given in each.items()}
    return tuple(
        replace(condition, **{name: given[k] for name, given in values.items()}) for k, condition in enumerate(stored)
    )
