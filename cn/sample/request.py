"""What `cn sample` is asked to do, checked and complete before any network is loaded. No torch."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np

from cn import images
from cn.conditions import ConditionInfo
from cn.errors import InputError, UsageError, WeightsError
from cn.model.config import Prediction
from cn.weights import bundled

T = TypeVar("T")
MAX_SEED = 2**63 - 1
MAX_COUNT = 100_000
MAX_AREA = 64
"""An image may have this many times the pixels that its base was trained at: beyond, hours and all memory go by."""


@dataclass(frozen=True)
class Condition:
    """One condition image, the control that it goes to, and how strongly and when that acts (shares of the steps)."""

    image: np.ndarray
    """uint8 (h, w, 3), at its own size."""
    name: str
    """What messages call the image: its path, or where it came from."""
    control: str
    """A bundled name or a path."""
    kind: str | None = None
    """What the image says it is."""
    strength: float = 1.0
    start: float = 0.0
    end: float = 1.0


@dataclass(frozen=True)
class SampleRequest:
    """Everything that decides what the images look like; image i of a prompt has seed `seed` + i."""

    prompts: tuple[str, ...]
    conditions: tuple[Condition, ...] = ()
    base: str = bundled.BASE_NAME
    prediction: Prediction | None = None
    """What the base predicts, where its file does not say."""
    negative: str = ""
    count: int = 1
    seed: int = 0
    steps: int = 20
    scale: float = 9.0
    eta: float = 0.0
    guess: bool = False
    size: tuple[int, int] | None = None
    """(height, width); None takes it from the first condition, or else from the base."""
    precision: str = "auto"

    def __post_init__(self) -> None:
        if not 1 <= self.steps <= 1000:
            raise UsageError(f"--steps must be between 1 and 1000, not {self.steps}")
        if not 1 <= self.count <= MAX_COUNT:
            raise UsageError(f"--count must be between 1 and {MAX_COUNT}, not {self.count}")
        if not 0 <= self.seed <= MAX_SEED - self.count:
            raise UsageError(f"--seed must be between 0 and {MAX_SEED - self.count}, not {self.seed}")
        if not math.isfinite(self.scale):
            raise UsageError(f"--scale must be a number such as 9, not {self.scale}")
        if self.prediction not in (None, "eps", "v"):
            raise UsageError(f"--prediction is eps or v, not {self.prediction!r}")
        if not 0 <= self.eta <= 1:
            raise UsageError(f"--eta must be between 0 and 1, not {self.eta}")
        if self.size is not None and (self.size[0] % 8 or self.size[1] % 8 or min(self.size) < 64):
            raise UsageError(
                f"--size {self.size[1]}x{self.size[0]}: both sides must be multiples of 8, and at least 64"
            )
        if self.guess and not self.conditions:
            raise UsageError("--guess lets a control guess without a prompt: give it a condition image with --cond")
        for c in self.conditions:
            if not math.isfinite(c.strength):
                raise UsageError(f"--strength must be a number such as 1, not {c.strength}")
            if not 0 <= c.start < c.end <= 1:
                raise UsageError(
                    f"a control acts from a start to a later end within 0 … 1, not {c.start:g} to {c.end:g}"
                )


def make_conditions(
    paths: Sequence[str],
    *,
    controls: Sequence[str] = (),
    strengths: Sequence[float] = (),
    starts: Sequence[float] = (),
    ends: Sequence[float] = (),
    detect: str | None = None,
) -> tuple[Condition, ...]:
    """Read the condition images and settle the control of each.

    The k-th control, strength and window belong to the k-th image; a single value serves all. Without a control, the
    image must say in its PNG text what kind it is, and the bundled control of that kind is taken.
    """
    if not paths and (controls or strengths or starts or ends or detect):
        raise UsageError("--control, --strength, --control-start, --control-end and --detect need a --cond image")
    if list(paths).count("-") > 1:
        raise UsageError("standard input holds one image: give --cond - only once")
    count = len(paths)
    chosen = _spread("--control", controls, count)
    strength, start, end = (
        _spread(name, values, count)
        for name, values in (("--strength", strengths), ("--control-start", starts), ("--control-end", ends))
    )
    made = []
    for k, path in enumerate(paths):
        name = "standard input" if path == "-" else path
        image, kind = _read(path, name, detect)
        control = chosen[k] if chosen else _default_control(name, kind)
        window = {n: float(v[k]) for n, v in (("strength", strength), ("start", start), ("end", end)) if v}
        made.append(Condition(image, name, control, kind, **window))
    return tuple(made)


def with_weights(request: SampleRequest, base: str | None, controls: Sequence[str]) -> SampleRequest:
    """A request that takes its weights from elsewhere: a recipe knows them by the paths that were typed at the time."""
    chosen = _spread("--control", controls, len(request.conditions))
    if controls and not request.conditions:
        raise UsageError("--control needs a condition, and this image was drawn without any")
    conditions = request.conditions
    if chosen:
        conditions = tuple(replace(c, control=control) for c, control in zip(conditions, chosen, strict=True))
    return replace(request, base=base or request.base, conditions=conditions)


def _spread(option: str, values: Sequence[T], count: int) -> Sequence[T]:
    if len(values) in (0, count):
        return values
    if len(values) == 1:
        return list(values) * count
    raise UsageError(f"{option} is given {len(values)} times for {count} --cond: give it once, or once for each")


def _read(path: str, name: str, detect: str | None) -> tuple[np.ndarray, str | None]:
    image, text = images.read_with_info(path)
    if detect is not None:
        from cn.sample import detecting

        return detecting.detect(image, detect)
    try:
        info = ConditionInfo.from_text(text)
    except InputError as error:
        raise InputError(f"{name}: {error}") from error
    return image, info.kind if info is not None else None


def _default_control(name: str, kind: str | None) -> str:
    names = [w.name for w in bundled.files() if w.role == "control"]
    listed = f"bundled are: {', '.join(names)}" if names else "none are bundled"
    if kind is None:
        raise UsageError(
            f"{name}: this image does not say what kind of condition it is; name its control with --control "
            f"({listed}), or make the condition of a photograph with --detect canny"
        )
    if kind not in names:
        raise WeightsError(
            f"{name}: is {an(kind)} map, and there is no control for that here ({listed}); "
            f"give one with --control FILE, or train one: cn train --cond {kind}"
        )
    return kind


def an(kind: str) -> str:
    """The kind with its article: "a depth", "an openpose", "an hed"."""
    return f"an {kind}" if kind[:1] in "aeio" or kind == "hed" else f"a {kind}"


def working_size(
    image_size: tuple[int, int] | None, asked: tuple[int, int] | None, trained: int, multiple: int
) -> tuple[int, int]:
    """(height, width) of the images: what was asked for, or else multiples of `multiple` pixels near the condition's.

    Where the condition's short side is more than 1.5 times larger or smaller than the base was trained at, it is
    scaled to that, since a latent-diffusion model composes badly far from its own size. Raises InputError for more
    than MAX_AREA times the pixels that the base was trained at.
    """
    size = asked or _near(image_size or (trained, trained), trained, multiple)
    if size[0] * size[1] > MAX_AREA * trained**2:
        raise InputError(
            f"an image of {size[1]}×{size[0]} is far too large for a base trained at {trained}×{trained}; "
            f"{'give a smaller --size' if asked else 'crop the condition'}"
        )
    return size


def _near(size: tuple[int, int], trained: int, multiple: int) -> tuple[int, int]:
    short = min(size)
    factor = trained / short if max(short / trained, trained / short) > 1.5 else 1.0
    height, width = (max(multiple, round(side * factor / multiple) * multiple) for side in size)
    return height, width
