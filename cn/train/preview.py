"""Previews: a sheet of images that the control samples so far, by the same `generate` that `cn sample` runs."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, groupby, pairwise
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from cn import images
from cn.data.examples import Source
from cn.data.mixture import datasets
from cn.data.scenes import SceneDataset
from cn.data.seeds import EVAL_SEED
from cn.errors import InputError
from cn.files import make_folder
from cn.model.engine import PLAIN, SamplingEngine
from cn.model.generate import Request, Sampling, generate, to_hint
from cn.model.guidance import ControlInput
from cn.train.config import TrainConfig
from cn.train.networks import TrainingNetworks
from cn.train.preview_conditions import read_preview_conditions
from cn.train.stop import StopRequest

COUNT, MAX_COUNT = 3, 8
"""Images of a preview; more where there are more datasets, because each is shown."""
PIXELS = 512 * 512
"""That are sampled at once on a GPU: small images, which take it hardly longer than one of them."""
BEFORE = "before.png"
_SHOWS = "cn.preview"
"""The PNG text of `BEFORE` that says which conditions and prompts it is of."""
_FIRST_SCENE = 2_000_000
"""Far from the held-out scenes that metrics are computed on; these hold several objects in uncaptioned places."""


def preview_file(run: Path, step: int) -> Path:
    return run / "previews" / f"step-{step:06d}.png"


@dataclass(frozen=True)
class Shown:
    """A condition (h, w, 3) uint8 of a preview, at the size that it is sampled at, and its prompt."""

    condition: NDArray[np.uint8]
    prompt: str

    @property
    def size(self) -> tuple[int, int]:
        """(height, width)"""
        return self.condition.shape[0], self.condition.shape[1]


@dataclass(frozen=True)
class Preview:
    """The conditions and prompts that every preview of a run shows; image i always starts from seed i."""

    examples: tuple[Shown, ...]

    @classmethod
    def of(cls, source: Source, config: TrainConfig, multiple: int = 64) -> "Preview":
        """The conditions that were given for it, at sizes that are multiples of `multiple`.

        Without any: of datasets, their pairs spread evenly; for the built-in scenes, held-out ones.
        """
        if config.preview_cond:
            own = read_preview_conditions(config.preview_cond, config.preview_prompt, config.cond)
            return cls(tuple(Shown(each.fitted(config.cond, config.size, multiple), each.prompt) for each in own))
        scenes = SceneDataset(config.cond, config.size, EVAL_SEED, _FIRST_SCENE) if not config.data else None
        chosen = [scenes[i] for i in range(COUNT)] if scenes else [source.fetch(i).example for i in _spread(source)]
        return cls(tuple(Shown(example.condition, example.prompt) for example in chosen))

    def sample(
        self, networks: TrainingNetworks, config: TrainConfig, stop: StopRequest, engine: SamplingEngine = PLAIN
    ) -> list[NDArray[np.uint8]] | None:
        """One image of each example's size, with the paper's settings: 20 DDIM steps, guidance 9.

        None when a stop is requested meanwhile.
        """
        device, dtype = networks.device, networks.base.dtype
        sampled = list[NDArray[np.uint8]]()
        with networks.autocast():
            for size, numbered in groupby(enumerate(self.examples), key=lambda pair: pair[1].size):
                seeds, examples = zip(*numbered, strict=True)
                hints = torch.cat([to_hint(example.condition, device, dtype) for example in examples])
                requests = [Request(example.prompt, seed) for seed, example in zip(seeds, examples, strict=True)]
                control = ControlInput(networks.control, hints)
                at_once = 1 if device.type == "cpu" else max(1, PIXELS // (size[0] * size[1]))
                height, width = size
                sampling = Sampling(height, width, scale=networks.base.config.guidance_scale)
                for image in generate(networks.base, requests, sampling, [control], batch_size=at_once, engine=engine):
                    sampled.append(image)
                    if stop:
                        return None
        return sampled

    def save(self, run: Path, sampled: Sequence[NDArray[np.uint8]], step: int) -> Path:
        """Write RUN/previews/step-000100.png: the conditions, the images before training and now, the prompts.

        The images of step 0 are kept in RUN/before.png, side by side, for the second row of all later sheets.
        """
        path = preview_file(run, step)
        make_folder(path.parent)
        rows = {"condition": [e.condition for e in self.examples]}
        if step == 0:
            images.write(run / BEFORE, _side_by_side(sampled), {_SHOWS: self._digest()})
        else:
            rows |= self._before(run)
        rows[f"step {step:,}" if step else "before training"] = list(sampled)
        count = len(self.examples)
        sheet = images.grid(
            [image for row in rows.values() for image in row],
            [""] * count * (len(rows) - 1) + [e.prompt or "(no prompt)" for e in self.examples],
            columns=count,
            row_titles=list(rows),
            cell=max(192, *(side for e in self.examples for side in e.size)),
        )
        images.write(path, sheet)
        return path

    def _before(self, run: Path) -> dict[str, list[NDArray[np.uint8]]]:
        """The row of step 0; none where its file is missing, or is not of these examples."""
        try:
            strip, text = images.read_with_info(run / BEFORE)
        except InputError:
            return {}
        ends = (0, *accumulate(e.size[1] for e in self.examples))
        if text.get(_SHOWS) != self._digest() or strip.shape[1] != ends[-1]:
            return {}
        places = zip(pairwise(ends), self.examples, strict=True)
        return {"before training": [strip[: e.size[0], left:right] for (left, right), e in places]}

    def _digest(self) -> str:
        """What the examples are."""
        digest = hashlib.sha256()
        for example in self.examples:
            digest.update(f"{example.size} {example.prompt}\0".encode())
            digest.update(np.ascontiguousarray(example.condition).tobytes())
        return digest.hexdigest()[:16]


def _spread(source: Source) -> list[int]:
    """The numbers of pairs of each dataset, spread evenly in it."""
    parts = datasets(source)
    starts = (0, *accumulate(part.count for part in parts))
    shown = [number * len(parts) // min(len(parts), MAX_COUNT) for number in range(min(len(parts), MAX_COUNT))]
    chosen = []
    for turn, number in enumerate(shown):
        wanted = max(1, COUNT // len(shown) + (turn < COUNT % len(shown)))
        count = min(wanted, parts[number].count)
        chosen += [starts[number] + i * parts[number].count // count for i in range(count)]
    return chosen


def _side_by_side(pictures: Sequence[NDArray[np.uint8]]) -> NDArray[np.uint8]:
    """Images in one row, on white below those that are less high."""
    height = max(image.shape[0] for image in pictures)
    padded = [np.pad(image, ((0, height - len(image)), (0, 0), (0, 0)), constant_values=255) for image in pictures]
    return np.concatenate(padded, axis=1)
