"""The request of `cn sample`, checked and complete before any network is loaded. No torch."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

import numpy as np

from cn import conditions
from cn.conditions import ConditionInfo
from cn.detect.checks import check_map
from cn.errors import CnError, UsageError, WeightsError, about
from cn.images.reader import ImagePath
from cn.model.samplers.settings import steps_made
from cn.options import declared
from cn.sample.condition_images import ConditionImage, Origin, detected, read_condition, stated_condition
from cn.sample.identity import identity
from cn.sample.options import DENOISE, DENOISE_MASKED, ConditionOptions, SampleOptions
from cn.sample.prompts import CaptionedBy
from cn.sample.start_image import GivenImage
from cn.weights import bundled

T = TypeVar("T")


@dataclass(frozen=True)
class Condition(ConditionOptions):
    """One condition image, its control, and how strongly and when that acts (shares of the steps)."""

    image: np.ndarray
    """uint8 (h, w, 3), at its own size."""
    name: str
    """What messages call the image: its path, or where it came from."""
    kind: str | None = None
    """The kind in the image's metadata."""
    origin: Origin = field(default_factory=lambda: Origin(check=False))
    """What is known about the image that was given."""
    masked: bool = False
    """Whether it is the image to start from, which an inpainting control sees without what the mask marks."""

    def around(self, start: GivenImage) -> "Condition":
        """The condition where sampling begins with this image, which an inpainting control sees."""
        return replace(self, image=start.image, name=start.name) if self.masked else self

    @property
    def source(self) -> str:
        """The `identity` of what was given, before anything was detected in it or fitted."""
        return self.origin.source or identity(self.image)

    def warnings(self, kind: str | None) -> list[str]:
        """What cannot be right about the image, for a control that follows `kind` (None: not known)."""
        found = check_map(self.image, kind, self.origin.info, self.origin.facts) if self.origin.check else []
        return [*self.origin.warnings, *map(str, found)]


_NEEDS_MASK = "--inpaint-control sees the image around a mask: give --image and --mask"


@dataclass(frozen=True)
class SampleRequest(SampleOptions):
    """Everything that decides the images; image i of a prompt has seed `seed` + i."""

    prompts: tuple[str, ...]
    conditions: tuple[Condition, ...] = ()
    start_image: GivenImage | None = None
    auto: bool = False
    """Whether the prompts are only the first ones: captions of their results take their place (mode auto)."""
    captioned_by: CaptionedBy | None = None
    """Who wrote the prompts, where they are captions, or was asked and found no words."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self._check_start()
        if any(condition.masked for condition in self.conditions) and not self.has_mask:
            raise UsageError(_NEEDS_MASK)
        if self.guess and not self.conditions:
            raise UsageError("--guess lets a control guess without a prompt: give it a condition image with --cond")

    @property
    def total(self) -> int:
        """The number of images."""
        return len(self.prompts) * self.count

    def alone(self, prompt: str, seed: int) -> "SampleRequest":
        """The request of one of its images."""
        return replace(self, prompts=(prompt,), seed=seed, count=1)

    def singles(self) -> "list[SampleRequest]":
        """A request for each of its images, prompt by prompt."""
        seeds = range(self.seed, self.seed + self.count)
        return [self.alone(prompt, seed) for prompt in self.prompts for seed in seeds]

    @property
    def total_steps(self) -> int:
        """Steps of all images; with automatic prompts each is sampled twice."""
        return self.total * self.steps_made * (2 if self.auto else 1)

    @property
    def has_mask(self) -> bool:
        """Whether only a part of an image is drawn anew."""
        return self.start_image is not None and self.start_image.mask is not None

    @property
    def share(self) -> float:
        """The share of the steps that is made: `denoise`, or its default."""
        if self.start_image is None:
            return 1.0
        default = DENOISE if self.start_image.mask is None else DENOISE_MASKED
        return default if self.denoise is None else self.denoise

    @property
    def steps_made(self) -> int:
        """How many of the steps are made: all of them, unless there is an image to start from."""
        return steps_made(self.steps, self.share)

    def _check_start(self) -> None:
        if self.start_image is None and self.denoise is not None:
            raise UsageError("--denoise is about an image to start from: give that with --image")
        if self.mask_feather and not self.has_mask:
            raise UsageError("--mask-feather is about a mask: give that with --mask")
        if self.steps_made == 0:
            least = math.ceil(100 / self.steps) / 100
            raise UsageError(f"--denoise {self.share:g} of {self.steps} steps is no step: give at least {least:g}")


@dataclass(frozen=True)
class Inpainting:
    """A control for inpainting, such as `control_v11p_sd15_inpaint`; its condition is the image to start from."""

    control: str
    image: ConditionImage

    @classmethod
    def of(cls, control: str | None, start: GivenImage | None) -> "Inpainting | None":
        """None without a control. UsageError without an image and a mask."""
        if control is None:
            return None
        if start is None or start.mask is None:
            raise UsageError(_NEEDS_MASK)
        return cls(control, ConditionImage(start.image, start.name, "inpaint", Origin(check=False)))


def make_conditions(
    paths: Sequence[ImagePath],
    *,
    kind: str | None = None,
    detect: str | None = None,
    invert: bool = False,
    inpainting: Inpainting | None = None,
    **per_condition: Sequence[Any],
) -> tuple[Condition, ...]:
    """Read the condition images ("-": standard input), and choose the control of each; `inpainting` adds one more.

    `kind` is that of maps that do not state theirs. With `detect` they are photographs, and `with_detected` has to
    follow. `per_condition` are lists for the fields of `ConditionOptions`, as in `choose_controls`.
    """
    alone = per_condition.get("control") if inpainting else any(per_condition.values())
    if not paths and (detect or invert or alone):
        flags = ", ".join(field.label for field in declared(ConditionOptions).values())
        raise UsageError(f"{flags}, --detect and --invert need a --cond image")
    if list(paths).count("-") > 1:
        raise UsageError("standard input holds one image: give --cond - only once")
    if detect is not None:
        conditions.get(detect)
        if invert:
            raise UsageError("--detect makes maps that need no --invert")
    controls = broadcast("--control", per_condition.get("control") or [], len(paths)) or [None] * len(paths)
    read = [
        read_condition(path, kind=kind, follows=followed_kind(control), detect=detect, invert=invert)
        for path, control in zip(paths, controls, strict=True)
    ]
    return choose_controls(read, inpainting=inpainting, **per_condition)


def from_arguments(
    images: Sequence[tuple[Any, Mapping[str, str] | None]],
    inpainting: Inpainting | None = None,
    **per_condition: Sequence[Any],
) -> tuple[Condition, ...]:
    """The conditions of `cn.api.sample`: arrays, images of Pillow or paths, each with the PNG text that says its kind.

    `inpainting` and `per_condition` are as in `choose_controls`.
    """
    if not images and per_condition.get("control"):
        raise UsageError("control= needs a condition: give it with cond=")
    read = [
        stated_condition(image, f"condition {k}", ConditionInfo.from_text(text) if text is not None else None)
        for k, (image, text) in enumerate(images, 1)
    ]
    return choose_controls(read, inpainting=inpainting, **per_condition) if read or inpainting else ()


def with_detected(found: Sequence[Condition]) -> tuple[Condition, ...]:
    """Conditions that were photographs, with the maps of their kinds that are detected in them."""
    made = []
    for condition in found:
        if condition.masked:
            made.append(condition)
            continue
        assert condition.kind is not None
        with about(condition.name):
            made.append(replace(condition, image=detected(condition.image, condition.kind)))
    return tuple(made)


def choose_controls(
    images: Sequence[ConditionImage], *, inpainting: Inpainting | None = None, **per_condition: Sequence[Any]
) -> tuple[Condition, ...]:
    """Conditions from the images that were given, and that of `inpainting`, which is the last one.

    `per_condition` are lists for the fields of `ConditionOptions`: the k-th control, strength, start and end belong to
    the k-th image; a single value applies to all. Without a control, the image must state its kind, and the bundled
    control of that kind is used.
    """
    fields = declared(ConditionOptions)
    if inpainting is not None:
        controls = broadcast("--control", per_condition.get("control") or [], len(images)) or [None] * len(images)
        per_condition |= {"control": [*controls, inpainting.control]}
        images = [*images, inpainting.image]
    lists = {
        name: broadcast(fields[name].label, values, len(images)) for name, values in per_condition.items() if values
    }
    found = []
    for k, given in enumerate(images):
        own: dict[str, Any] = {field: values[k] for field, values in lists.items()}
        own["control"] = own.get("control") or _default_control(given.name, given.kind)
        masked = inpainting is not None and given is inpainting.image
        found.append(Condition(given.image, given.name, given.kind, given.origin, masked, **own))
    return tuple(found)


def broadcast(option: str, values: Sequence[T], count: int) -> Sequence[T]:
    """One value for each of `count` conditions, from none, one or as many. UsageError for another number."""
    if len(values) in (0, count):
        return values
    if len(values) == 1:
        return list(values) * count
    raise UsageError(f"{option} is given {len(values)} times for {count} --cond: give it once, or once for each")


def followed_kind(control: str | None) -> str | None:
    """The kind that a control follows, by its name or the header of its file; None where only loading it would tell."""
    if control is None:
        return None
    try:
        return bundled.describe(bundled.find(control, role="control")).kind
    except CnError:
        # Loading it says what is wrong with it.
        return None


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
            f"needs a control for {kind} maps, and there is none here ({listed}); "
            f"give one with --control FILE, or train one: cn train --cond {kind}",
            path=name,
        )
    return kind


def with_article(kind: str) -> str:
    """The kind with its article: "a depth", "an openpose", "an hed"."""
    return f"an {kind}" if kind[:1] in "aeio" or kind == "hed" else f"a {kind}"


def changed(request: SampleRequest, changes: Mapping[str, Any]) -> SampleRequest:
    """A request with other options. A size replaces a resolution, and the other way round."""
    for name, other in (("size", "resolution"), ("resolution", "size")):
        if changes.get(name) is not None and other not in changes:
            changes = {**changes, other: None}
    return replace(request, **changes)
