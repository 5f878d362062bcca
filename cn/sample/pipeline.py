"""A checked request → images: load the networks, fit the conditions, sample one image after the other."""

import contextlib
import os
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

import numpy as np
import torch

from cn import images
from cn.checkpoints.read.load import Control, check_fits, open_control
from cn.devices import choose_device, sampling_dtype
from cn.errors import InputError
from cn.model.base import Base
from cn.model.generate import Request, Sampling, generate, to_hint
from cn.model.guidance import ControlInput
from cn.model.tokens import token_count
from cn.precision import precision_of
from cn.sample import png_metadata
from cn.sample.base_files import open_sampling_base
from cn.sample.fit import fit
from cn.sample.request import SampleRequest, with_article, working_size
from cn.weights import bundled

MAX_TOKENS = 75
"""Of a prompt, without the start and end tokens (CLIP's context has 77)."""


@dataclass(frozen=True)
class Sample:
    """One image, uint8 (h, w, 3), its prompt and seed, and the PNG text with its metadata."""

    image: np.ndarray
    prompt: str
    seed: int
    text: dict[str, str]

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write it as an image; a PNG carries all that `cn sample --from` needs to reproduce it."""
        images.write(os.fspath(path), self.image, self.text)

    def _repr_png_(self) -> bytes:
        """For notebooks."""
        return images.encode(self.image)


@dataclass(frozen=True)
class SamplingPipeline:
    """A request with its networks in memory, its size and precision chosen.

    `hints` are the conditions at the images' size, uint8 (h, w, 3).
    """

    request: SampleRequest
    base: Base
    controls: tuple[Control, ...]
    size: tuple[int, int]
    hints: tuple[np.ndarray, ...]

    @classmethod
    def open(
        cls,
        request: SampleRequest,
        *,
        device: str = "auto",
        base: Base | None = None,
        controls: Mapping[str, Control] = MappingProxyType({}),
    ) -> "SamplingPipeline":
        """Load what the request needs, except `base` and `controls` (by the request's names), which are loaded already.

        WeightsError when weights are missing or do not fit each other.
        """
        if base is None:
            where = choose_device(device)
            dtype = sampling_dtype(request.precision, where)
            base = open_sampling_base(request, where, dtype)
        wanted = dict.fromkeys(c.control for c in request.conditions)
        loaded = {name: controls.get(name) or _open_control(name, base) for name in wanted}
        for name, control in loaded.items():
            check_fits(control, base, name)

        def own_size(image: np.ndarray | None, requested_size: tuple[int, int] | None = None) -> tuple[int, int]:
            shape = (image.shape[0], image.shape[1]) if image is not None else None
            return working_size(shape, requested_size, base.config.image_size, base.config.size_multiple)

        size = own_size(request.conditions[0].image if request.conditions else None, request.size)
        hints = tuple(
            fit(c.image, c.kind or loaded[c.control].kind, size, own_size(c.image), c.name) for c in request.conditions
        )
        precision = precision_of(base.dtype)
        request = replace(request, size=size, precision=precision, prediction=base.config.schedule.prediction)
        return cls(request, base, tuple(loaded[c.control] for c in request.conditions), size, hints)

    @property
    def hashes(self) -> dict[str, str]:
        """SHA-256 of every weights file in use."""
        names = [c.control for c in self.request.conditions]
        found = {"base": self.base.sha256, **self.base.added}
        return found | {n: c.sha256 for n, c in zip(names, self.controls, strict=True)}

    def warnings(self) -> list[str]:
        """Warnings to show before sampling starts: mismatches that do not prevent sampling."""
        found = []
        for condition, control, hint in zip(self.request.conditions, self.controls, self.hints, strict=True):
            if condition.kind and control.kind and condition.kind != control.kind:
                kind = with_article(condition.kind)
                found.append(f"{condition.name} is {kind} map, but {condition.control} follows {control.kind}")
                wrong = list(condition.origin.warnings)
            else:
                wrong = condition.warnings(control.kind or condition.kind)
            found += [f"{condition.name}: {warning}" for warning in wrong]
            if control.base_sha256 not in ("", self.base.sha256, self.base.source_sha256):
                found.append(f"{condition.control} was trained on another base of the same shapes")
            if not hint.any() and not wrong:
                found.append(f"{condition.name} is entirely black: there is nothing to follow")
        for prompt in dict.fromkeys([*self.request.prompts, self.request.negative]):
            if (tokens := token_count(prompt)) > MAX_TOKENS:
                found.append(f"{_short(prompt)!r} has {tokens} tokens: those beyond {MAX_TOKENS} are ignored")
        return found

    def samples(self, on_step: Callable[[], None] | None = None) -> Iterator[Sample]:
        """Yield the images: for each prompt, seeds `seed`, `seed` + 1, … One at a time, so that no image depends on the
        count."""
        r, (height, width) = self.request, self.size
        sampling = Sampling(height, width, r.steps, r.scale, r.eta, r.guess)
        hints = [to_hint(hint, self.base.device, self.base.dtype) for hint in self.hints]
        inputs = [
            ControlInput(control.model, hint, c.strength, c.start, c.end)
            for c, control, hint in zip(r.conditions, self.controls, hints, strict=True)
        ]
        wanted = [Request(prompt, r.seed + i, r.negative) for prompt in r.prompts for i in range(r.count)]
        sampled = generate(self.base, wanted, sampling, inputs, on_step=on_step)
        for one in wanted:
            with _report_out_of_memory(self.size, self.base.device):
                image = next(sampled)
            text = png_metadata.to_text(r, self.hints, one.prompt, one.seed, self.hashes)
            yield Sample(image, one.prompt, one.seed, text)


def _open_control(name: str, base: Base) -> Control:
    return open_control(bundled.find(name, role="control"), base.device, base.dtype)


def _short(prompt: str) -> str:
    return prompt if len(prompt) <= 40 else f"{prompt[:39]}…"


@contextlib.contextmanager
def _report_out_of_memory(size: tuple[int, int], device: torch.device) -> Iterator[None]:
    """InputError when the device runs out of memory."""
    try:
        yield
    except RuntimeError as error:
        # torch.OutOfMemoryError covers CUDA; the CPU's allocator and MPS raise a bare RuntimeError.
        if not isinstance(error, torch.OutOfMemoryError) and not re.search("out of memory|allocate memory", str(error)):
            raise
        raise InputError(
            f"{device} has too little memory for images of {size[1]}×{size[0]}; give a smaller --size"
        ) from error
