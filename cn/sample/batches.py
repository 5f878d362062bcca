"""Images of several requests, in batches of those that can be sampled at once; none is lost where memory runs out."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice, takewhile
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cn.errors import is_memory_error
from cn.model.base import Base
from cn.model.concat import ConcatBaseline
from cn.model.controlnet import ControlNet
from cn.model.engine import SamplingEngine
from cn.model.generate import Launched, Request, Sampling, launch, to_hint
from cn.model.guidance import ControlInput
from cn.model.start import StartImage, hide
from cn.model.watch import Watch

Advance = Callable[[int], object]
"""Told how many steps of images are done: negative where they have to be taken again."""


class Previewing(Protocol):
    """What is told of images before they are finished."""

    every: int
    """Steps from one preview to the next."""

    def __call__(self, first: int, latents: Tensor) -> object:
        """Estimates (B, 4, H, W) of the images from number `first` on."""


@dataclass(frozen=True)
class ControlSetting:
    """A control, its strength, and the range of steps it is active in (shares of them)."""

    model: ControlNet | ConcatBaseline
    strength: float = 1.0
    start: float = 0.0
    end: float = 1.0
    masked: bool = False
    """Whether it sees nothing where the mask of the start is (inpainting)."""


@dataclass(frozen=True)
class Settings:
    """What the images of a batch have in common."""

    sampling: Sampling
    controls: tuple[ControlSetting, ...] = ()
    chunks: int = 1
    """Of 77 tokens each, that the networks attend to (`chunks_of`)."""
    start: StartImage | None = None


@dataclass(frozen=True)
class Wanted:
    """An image to sample: what it is of, its settings, and for each control its condition, uint8 (h, w, 3)."""

    request: Request
    settings: Settings
    hints: tuple[NDArray[np.uint8], ...] = ()


def sample_batches(
    base: Base,
    wanted: Iterable[Wanted],
    engine: SamplingEngine,
    size: int,
    advance: Advance,
    previews: Previewing | None = None,
) -> Iterator[list[NDArray[np.uint8]]]:
    """Yield the images (h, w, 3), in order, in batches: at most `size` of the same settings.

    A GPU gets the next batch before the last one is yielded, so that it computes while images are saved.
    Where memory runs out, half as many are tried from there on. Raises the RuntimeError where one image alone is too
    many. `wanted` is read a batch ahead.
    `previews` gets the estimates of each batch, and the number of its first image.
    """
    source, waiting, last, first = iter(wanted), deque[Wanted](), Launched(), 0
    while True:
        waiting.extend(islice(source, max(0, size - len(waiting))))
        batch = _first_alike(waiting, size)
        if not batch:
            break
        counted = _Counted(advance, len(batch))
        try:
            launched = _launched(base, batch, engine, counted, _watch(previews, first))
        except RuntimeError as error:
            if not is_memory_error(error):
                raise
            yield from _arrived(last)
            last = Launched()
            if len(batch) == 1:
                raise
            counted.take_back()
            size = -(-len(batch) // 2)
            engine.clear()
            continue
        for _ in batch:
            waiting.popleft()
        first += len(batch)
        yield from _arrived(last)
        last = launched
        if base.device.type != "cuda":
            yield from _arrived(last)
            last = Launched()
    yield from _arrived(last)


def _arrived(launched: Launched) -> Iterator[list[NDArray[np.uint8]]]:
    """Its images, if it has any, as soon as they are there."""
    if images := list(launched):
        yield images


def _watch(previews: Previewing | None, first: int) -> Watch | None:
    return None if previews is None else Watch(previews.every, lambda latents: previews(first, latents))


class _Counted:
    """Counts the steps of a batch."""

    def __init__(self, advance: Advance, images: int):
        self.advance, self.images, self.count = advance, images, 0

    def __call__(self) -> None:
        self.count += self.images
        self.advance(self.images)

    def take_back(self) -> None:
        self.advance(-self.count)


def _first_alike(waiting: deque[Wanted], size: int) -> list[Wanted]:
    """The first images that can be sampled at once, `size` at most."""
    alike = takewhile(lambda one: one.settings == waiting[0].settings, waiting)
    return list(islice(alike, size))


def _launched(
    base: Base, batch: list[Wanted], engine: SamplingEngine, on_step: Callable[[], None], watch: Watch | None
) -> Launched:
    settings, inputs = batch[0].settings, list[ControlInput]()
    for k, control in enumerate(settings.controls):
        hints = [one.hints[k] for one in batch]
        if all(hint is hints[0] for hint in hints):
            hints = hints[:1]  # It is encoded once for all.
        hint = torch.cat([to_hint(each, base.device, base.dtype) for each in hints])
        if control.masked:
            assert settings.start is not None
            assert settings.start.mask is not None
            hint = hide(hint, settings.start.mask)
        inputs.append(ControlInput(control.model, hint, control.strength, control.start, control.end))
    return launch(
        base, [one.request for one in batch], settings.sampling, inputs, settings.start, on_step, engine, watch
    )
