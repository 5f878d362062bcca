"""What a run can do so far, as a picture, by the same `generate` that `cn sample` runs."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from cn import images
from cn.data.examples import Example, Source
from cn.data.folder import FolderPairs
from cn.data.scenes import EVAL_SEED, ScenePairs
from cn.model.generate import Request, Sampling, generate, to_hint
from cn.model.guidance import ControlInput
from cn.train.config import TrainConfig
from cn.train.parts import Parts
from cn.train.stop import StopRequest

COUNT = 3
_FIRST_SCENE = 1_000_000
"""Far from the held-out scenes that figures are computed on."""


@dataclass(frozen=True)
class Preview:
    """The conditions and prompts that every preview of a run shows; picture i always starts from seed i."""

    examples: tuple[Example, ...]

    @classmethod
    def of(cls, source: Source, config: TrainConfig) -> "Preview":
        """For a folder, its pairs spread evenly; for the built-in scenes, held-out ones."""
        if isinstance(source, FolderPairs):
            count = min(COUNT, source.count)
            chosen = [source.fetch(i * source.count // count).example for i in range(count)]
        else:
            scenes = ScenePairs(config.cond, config.size, EVAL_SEED, _FIRST_SCENE)
            chosen = [scenes[i] for i in range(COUNT)]
        return cls(tuple(chosen))

    def draw(self, parts: Parts, config: TrainConfig, stop: StopRequest) -> list[NDArray[np.uint8]] | None:
        """One picture (size, size, 3) an example, with the paper's settings: 20 DDIM steps, guidance 9.

        None when somebody asked to stop meanwhile.
        """
        device, dtype = parts.device, parts.base.dtype
        hint = torch.cat([to_hint(e.condition, device, dtype) for e in self.examples])
        requests = [Request(e.prompt, seed) for seed, e in enumerate(self.examples)]
        sampling = Sampling(height=config.size, width=config.size)
        control = ControlInput(parts.control, hint)
        pictures = []
        with parts.autocast():
            for picture in generate(parts.base, requests, sampling, [control]):
                if stop:
                    return None
                pictures.append(picture)
        return pictures

    def save(self, path: Path, pictures: Sequence[NDArray[np.uint8]], step: int) -> None:
        """Write the sheet: conditions in the first row, below them what was drawn from them, with the prompts."""
        path.parent.mkdir(parents=True, exist_ok=True)
        conditions = [e.condition for e in self.examples]
        labels = [*("" for _ in conditions), *(e.prompt or "(no prompt)" for e in self.examples)]
        sheet = images.grid(
            [*conditions, *pictures],
            labels,
            columns=len(conditions),
            row_titles=["condition", f"step {step:,}"],
            cell=max(192, *self.examples[0].target.shape[:2]),
        )
        images.write(path, sheet)


def preview_path(run: Path, step: int) -> Path:
    """RUN/previews/step-000100.png."""
    return run / "previews" / f"step-{step:06d}.png"
