"""A checked request → pictures: load the networks, fit the conditions, sample one picture after the other."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from cn import conditions
from cn.checkpoints import Control, check_fits, load_base, load_control
from cn.devices import choose_device, sampling_dtype
from cn.errors import InputError
from cn.model.base import Base
from cn.model.generate import Request, Sampling, generate, to_hint
from cn.model.guidance import ControlInput
from cn.resizing import resize
from cn.sample import recipe
from cn.sample.request import SampleRequest, control_path, working_size
from cn.weights import catalogue


@dataclass(frozen=True)
class Sample:
    """One picture, uint8 (h, w, 3), with what made it and the PNG text that says so."""

    image: np.ndarray
    prompt: str
    seed: int
    text: dict[str, str]


@dataclass(frozen=True)
class Studio:
    """A request with its networks in memory. `hints` are the conditions at the pictures' size, uint8."""

    request: SampleRequest
    base: Base
    controls: tuple[Control, ...]
    size: tuple[int, int]
    hints: tuple[np.ndarray, ...]

    @classmethod
    def open(cls, request: SampleRequest, *, device: str = "auto") -> "Studio":
        """Load what the request needs. WeightsError when something is missing or does not fit together."""
        where = choose_device(device)
        dtype = sampling_dtype(request.precision, where)
        paths = [control_path(c.control) for c in request.conditions]
        base = load_base(catalogue.find(request.base), where, dtype)
        loaded = {path: load_control(path, where, dtype) for path in dict.fromkeys(paths)}
        for path, control in loaded.items():
            check_fits(control, base, str(path))
        first = request.conditions[0].image.shape if request.conditions else None
        size = working_size(
            (first[0], first[1]) if first else None, request.size, base.config.image_size, base.config.size_multiple
        )
        hints = tuple(
            _fit(c.image, c.kind or loaded[path].kind, size, c.name)
            for c, path in zip(request.conditions, paths, strict=True)
        )
        return cls(request, base, tuple(loaded[path] for path in paths), size, hints)

    @property
    def hashes(self) -> dict[str, str]:
        """SHA-256 of every weights file in use."""
        names = [c.control for c in self.request.conditions]
        return {"base": self.base.sha256} | {n: c.sha256 for n, c in zip(names, self.controls, strict=True)}

    def doubts(self) -> list[str]:
        """What a user may want to know before the pictures come: mismatches that are no errors."""
        found = []
        for condition, control, hint in zip(self.request.conditions, self.controls, self.hints, strict=True):
            if condition.kind and control.kind and condition.kind != control.kind:
                found.append(
                    f"{condition.name} is a {condition.kind} map, but {condition.control} follows {control.kind}"
                )
            if control.base_sha256 and control.base_sha256 != self.base.sha256:
                found.append(f"{condition.control} was trained on another base of the same shapes")
            if not hint.any():
                found.append(f"{condition.name} is black all over: there is nothing to follow")
        return found

    def samples(self, on_step: Callable[[], None] | None = None) -> Iterator[Sample]:
        """Yield the pictures: for each prompt, seeds `seed`, `seed` + 1, … One at a time, so that none depends on
        how many were asked for."""
        r, (height, width) = self.request, self.size
        sampling = Sampling(height, width, r.steps, r.scale, r.eta, r.guess)
        hints = [to_hint(hint, self.base.device, self.base.dtype) for hint in self.hints]
        inputs = [
            ControlInput(control.model, hint, c.strength, c.start, c.end)
            for c, control, hint in zip(r.conditions, self.controls, hints, strict=True)
        ]
        wanted = [Request(prompt, r.seed + i, r.negative) for prompt in r.prompts for i in range(r.count)]
        pictures = generate(self.base, wanted, sampling, inputs, on_step=on_step)
        for asked, image in zip(wanted, pictures, strict=True):
            text = recipe.to_text(r, asked.prompt, asked.seed, self.size, self.hashes)
            yield Sample(image, asked.prompt, asked.seed, text)


def _fit(image: np.ndarray, kind: str | None, size: tuple[int, int], name: str) -> np.ndarray:
    """The condition at the pictures' size: nearest pixels for labels and lines, averages for smooth maps.

    Raises InputError when its shape is another: stretching a condition would bend what it shows.
    """
    height, width = image.shape[:2]
    if abs(height * size[1] - width * size[0]) > 64 * max(height, width):
        raise InputError(
            f"{name}: {width}×{height} pixels do not fit a picture of {size[1]}×{size[0]}; crop it, or give --size"
        )
    known = kind in conditions.KINDS
    return resize(image, size, conditions.get(kind).geometry if kind and known else "smooth")
