"""Previews: a sheet of images that the control samples so far, by the same `generate` that `cn sample` runs."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from cn import images
from cn.data.examples import Example, Source
from cn.data.folder import FolderDataset
from cn.data.scenes import SceneDataset
from cn.data.seeds import EVAL_SEED
from cn.errors import InputError
from cn.files import make_folder
from cn.model.generate import Request, Sampling, generate, to_hint
from cn.model.guidance import ControlInput
from cn.train.config import TrainConfig
from cn.train.networks import TrainingNetworks
from cn.train.stop import StopRequest

COUNT = 3
BEFORE = "before.png"
_FIRST_SCENE = 2_000_000
"""Far from the held-out scenes that metrics are computed on; these hold several objects in uncaptioned places."""


def preview_file(run: Path, step: int) -> Path:
    return run / "previews" / f"step-{step:06d}.png"


@dataclass(frozen=True)
class Preview:
    """The conditions and prompts that every preview of a run shows; image i always starts from seed i."""

    examples: tuple[Example, ...]

    @classmethod
    def of(cls, source: Source, config: TrainConfig) -> "Preview":
        """For a folder, its pairs spread evenly; for the built-in scenes, held-out ones."""
        if isinstance(source, FolderDataset):
            count = min(COUNT, source.count)
            chosen = [source.fetch(i * source.count // count).example for i in range(count)]
        else:
            scenes = SceneDataset(config.cond, config.size, EVAL_SEED, _FIRST_SCENE)
            chosen = [scenes[i] for i in range(COUNT)]
        return cls(tuple(chosen))

    def sample(
        self, networks: TrainingNetworks, config: TrainConfig, stop: StopRequest
    ) -> list[NDArray[np.uint8]] | None:
        """One image (size, size, 3) per example, with the paper's settings: 20 DDIM steps, guidance 9.

        None when a stop is requested meanwhile.
        """
        device, dtype = networks.device, networks.base.dtype
        hint = torch.cat([to_hint(e.condition, device, dtype) for e in self.examples])
        requests = [Request(e.prompt, seed) for seed, e in enumerate(self.examples)]
        sampling = Sampling(height=config.size, width=config.size)
        control = ControlInput(networks.control, hint)
        sampled = []
        with networks.autocast():
            for image in generate(networks.base, requests, sampling, [control]):
                if stop:
                    return None
                sampled.append(image)
        return sampled

    def save(self, run: Path, sampled: Sequence[NDArray[np.uint8]], step: int) -> Path:
        """Write RUN/previews/step-000100.png: the conditions, the images before training and now, the prompts.

        The images of step 0 are kept in RUN/before.png, side by side, for the second row of all later sheets.
        """
        path = preview_file(run, step)
        make_folder(path.parent)
        rows = {"condition": [e.condition for e in self.examples]}
        if step == 0:
            images.write(run / BEFORE, np.concatenate(sampled, axis=1))
        else:
            rows |= self._before(run)
        rows[f"step {step:,}" if step else "before training"] = list(sampled)
        count = len(self.examples)
        sheet = images.grid(
            [image for row in rows.values() for image in row],
            [""] * count * (len(rows) - 1) + [e.prompt or "(no prompt)" for e in self.examples],
            columns=count,
            row_titles=list(rows),
            cell=max(192, *self.examples[0].target.shape[:2]),
        )
        images.write(path, sheet)
        return path

    def _before(self, run: Path) -> dict[str, list[NDArray[np.uint8]]]:
        """The row of step 0; none where its file is missing, or is not of these examples."""
        try:
            strip = images.read(run / BEFORE)
        except InputError:
            return {}
        height, width = self.examples[0].target.shape[:2]
        if strip.shape[:2] != (height, width * len(self.examples)):
            return {}
        return {"before training": np.split(strip, len(self.examples), axis=1)}
