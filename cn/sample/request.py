"""The request of `cn sample`, checked and complete before any network is loaded. No torch."""

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeVar

import numpy as np

from cn import images
from cn.conditions import ConditionInfo
from cn.errors import InputError, UsageError, WeightsError, about
from cn.model.config import DEFAULT_PROMPT
from cn.options import declared
from cn.sample.options import ConditionOptions, SampleOptions
from cn.weights import bundled

T = TypeVar("T")
PromptMode = Literal["user", "none", "default"]
MAX_AREA = 64
"""An image may have this many times the pixels that its base was trained at: more would take hours and all memory."""


@dataclass(frozen=True)
class Condition(ConditionOptions):
    """One condition image, its control, and how strongly and when that acts (shares of the steps)."""

    image: np.ndarray
    """uint8 (h, w, 3), at its own size."""
    name: str
    """What messages call the image: its path, or where it came from."""
    kind: str | None = None
    """The kind in the image's metadata."""


@dataclass(frozen=True)
class SampleRequest(SampleOptions):
    """Everything that decides the images; image i of a prompt has seed `seed` + i."""

    prompts: tuple[str, ...]
    conditions: tuple[Condition, ...] = ()

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.guess and not self.conditions:
            raise UsageError("--guess lets a control guess without a prompt: give it a condition image with --cond")


def choose_prompts(given: Sequence[str], mode: PromptMode | None = None) -> tuple[str, ...]:
    """The prompts of a mode (§4.1): the user's own, the empty one, or the default one, as without any."""
    if mode == "user" and not given:
        raise UsageError("--prompt-mode user needs a --prompt")
    if mode in ("none", "default") and given:
        raise UsageError(f"--prompt-mode {mode} takes no --prompt")
    if given:
        return tuple(given)
    return ("",) if mode == "none" else (DEFAULT_PROMPT,)


def make_conditions(
    paths: Sequence[str], *, detect: str | None = None, **per_condition: Sequence[Any]
) -> tuple[Condition, ...]:
    """Read the condition images ("-": standard input), or detect them in photographs, and choose the control of each.

    `per_condition` are lists for the fields of `ConditionOptions`, as in `choose_controls`.
    """
    if not paths and (detect or any(per_condition.values())):
        flags = ", ".join(field.label for field in declared(ConditionOptions).values())
        raise UsageError(f"{flags} and --detect need a --cond image")
    if list(paths).count("-") > 1:
        raise UsageError("standard input holds one image: give --cond - only once")
    names = ["standard input" if path == "-" else path for path in paths]
    read = [read_condition(path, name, detect) for path, name in zip(paths, names, strict=True)]
    return choose_controls(
        [(image, name, kind) for (image, kind), name in zip(read, names, strict=True)], **per_condition
    )


def choose_controls(
    images: Sequence[tuple[np.ndarray, str, str | None]], **per_condition: Sequence[Any]
) -> tuple[Condition, ...]:
    """Conditions from images: (array uint8 (h, w, 3), what messages call it, the kind that it states).

    `per_condition` are lists for the fields of `ConditionOptions`: the k-th control, strength, start and end belong to
    the k-th image; a single value applies to all. Without a control, the image must state its kind, and the bundled
    control of that kind is used.
    """
    fields = declared(ConditionOptions)
    lists = {
        name: _broadcast(fields[name].label, values, len(images)) for name, values in per_condition.items() if values
    }
    found = []
    for k, (image, name, kind) in enumerate(images):
        own: dict[str, Any] = {field: values[k] for field, values in lists.items()}
        own["control"] = own.get("control") or _default_control(name, kind)
        found.append(Condition(image, name, kind, **own))
    return tuple(found)


def with_weights(request: SampleRequest, base: str | None, controls: Sequence[str]) -> SampleRequest:
    """A request with weights from elsewhere: PNG metadata names them by the paths that were given at the time."""
    chosen = _broadcast("--control", controls, len(request.conditions))
    if controls and not request.conditions:
        raise UsageError("--control needs a condition, and this image was sampled without any")
    conditions = request.conditions
    if chosen:
        conditions = tuple(replace(c, control=control) for c, control in zip(conditions, chosen, strict=True))
    return replace(request, base=base or request.base, conditions=conditions)


def _broadcast(option: str, values: Sequence[T], count: int) -> Sequence[T]:
    if len(values) in (0, count):
        return values
    if len(values) == 1:
        return list(values) * count
    raise UsageError(f"{option} is given {len(values)} times for {count} --cond: give it once, or once for each")


def read_condition(path: str, name: str, detect: str | None = None) -> tuple[np.ndarray, str | None]:
    """(image uint8 (h, w, 3), the kind that its PNG text states); with `detect` the map that is detected in it."""
    image, text = images.read_with_info(path)
    if detect is not None:
        from cn.sample import detecting

        return detecting.detect(image, detect)
    with about(name):
        info = ConditionInfo.from_text(text)
    return image, info.kind if info is not None else None


def stated_condition(image: Any, name: str, kind: str | None = None) -> tuple[np.ndarray, str, str | None]:
    """What `choose_controls` takes, from an array, an image of Pillow or a path; a path replaces the name, and its
    file may state the kind.
    """
    if isinstance(image, str | os.PathLike):
        path = os.fspath(image)
        array, kind = read_condition(path, path)
        return array, path, kind
    return images.as_rgb(image, name), name, kind


def _default_control(name: str, kind: str | None) -> str:
    names = [w.name for w in bundled.files() if w.role == "control"]
    listed = f"bundled are: {', '.join(names)}" if names else "none are bundled"
    if kind is None:
        raise UsageError(
            f"this image does not state its kind of condition; name its control with --control ({listed}), or detect "
            "the condition of a photograph with --detect canny",
            path=name,
        )
    if kind not in names:
        raise WeightsError(
            f"is {with_article(kind)} map, and there is no control for that here ({listed}); "
            f"give one with --control FILE, or train one: cn train --cond {kind}",
            path=name,
        )
    return kind


def with_article(kind: str) -> str:
    """The kind with its article: "a depth", "an openpose", "an hed"."""
    return f"an {kind}" if kind[:1] in "aeio" or kind == "hed" else f"a {kind}"


def working_size(
    image_size: tuple[int, int] | None, requested_size: tuple[int, int] | None, trained: int, multiple: int
) -> tuple[int, int]:
    """(height, width) of the images: `requested_size`, or else multiples of `multiple` near the condition's size.

    Where the condition's short side is more than 1.5 times larger or smaller than the base was trained at, it is
    scaled to that, since a latent diffusion model composes badly far from its own size. Raises InputError for more
    than MAX_AREA times the pixels that the base was trained at.
    """
    size = requested_size or _size_near(image_size or (trained, trained), trained, multiple)
    if size[0] * size[1] > MAX_AREA * trained**2:
        raise InputError(
            f"an image of {size[1]}×{size[0]} is far too large for a base trained at {trained}×{trained}; "
            f"{'give a smaller --size' if requested_size else 'crop the condition'}"
        )
    return size


def _size_near(size: tuple[int, int], trained: int, multiple: int) -> tuple[int, int]:
    short = min(size)
    factor = trained / short if max(short / trained, trained / short) > 1.5 else 1.0
    height, width = (max(multiple, round(side * factor / multiple) * multiple) for side in size)
    return height, width
