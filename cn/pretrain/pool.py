"""A pool of rendered scenes on disk, written by worker processes while training already reads it."""

import json
import multiprocessing
import os
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from cn.data.maps import condition_map, shows_person
from cn.detect.lines.canny import random_thresholds
from cn.files import make_folder, open_atomic, write_atomic
from cn.scenes import caption, describe, render

SHARD = 64
KINDS = ("canny", "depth", "openpose")
"""The conditions that the bundled ControlNets take."""


def render_shard(folder: Path, seed: int, number: int, size: int, conditions: int) -> None:
    """Render scenes [SHARD·number, SHARD·(number+1)) and, for scenes below `conditions`, their condition maps.

    The JSON file is written last, so a shard whose JSON file exists is complete.
    """
    target = folder / f"{number:06d}.json"
    if target.exists():
        return
    arrays: dict[str, list[np.ndarray]] = {"rgb": []}
    records = []
    for index in range(number * SHARD, (number + 1) * SHARD):
        scene = describe(seed, index)
        view = render(scene, size)
        arrays["rgb"].append(view.rgb)
        if index < conditions:
            thresholds = random_thresholds(seed, str(index))
            for kind in KINDS:
                condition = condition_map(view, kind, thresholds)
                arrays.setdefault(kind, []).append(condition if kind == "openpose" else condition[..., :1])
        records.append({"caption": caption(scene), "person": shows_person(view)})
    for name, images in arrays.items():
        with open_atomic(folder / f"{number:06d}.{name}.npy", durable=False) as file:
            np.save(file, np.stack(images))
    write_atomic(target, json.dumps(records).encode(), durable=False)


def render_pool(folder: Path, *, seed: int, count: int, conditions: int, size: int, workers: int) -> None:
    """Render `count` scenes (rounded up to full shards) with `workers` processes; existing shards are kept."""
    make_folder(folder)
    os.environ["OMP_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = "1"
    jobs = [(folder, seed, number, size, conditions) for number in range(-(-count // SHARD))]
    with multiprocessing.get_context("spawn").Pool(workers) as pool:
        pool.starmap(render_shard, jobs, chunksize=1)


@dataclass
class Pool:
    """The images rendered so far, in the memory of the training device: `rgb[:count]` uint8 (N, 3, size, size)."""

    folder: Path
    rgb: Tensor
    captions: list[str]
    person: list[bool]
    count: int = 0
    shards: int = 0

    @classmethod
    def open(cls, folder: Path, capacity: int, size: int, device: torch.device) -> "Pool":
        """Memory for `capacity` images, filled with those rendered so far."""
        capacity = -(-capacity // SHARD) * SHARD
        pool = cls(folder, torch.empty((capacity, 3, size, size), dtype=torch.uint8, device=device), [], [])
        pool.refresh()
        return pool

    def refresh(self) -> int:
        """Load the shards rendered since the last call, in order; returns the number of images."""
        while self.count < len(self.rgb) and (self.folder / f"{self.shards:06d}.json").exists():
            records = json.loads((self.folder / f"{self.shards:06d}.json").read_text())
            arrays = torch.from_numpy(np.load(self.folder / f"{self.shards:06d}.rgb.npy"))
            self.rgb[self.count : self.count + SHARD] = arrays.to(self.rgb.device).permute(0, 3, 1, 2)
            self.captions += [r["caption"] for r in records]
            self.person += [r["person"] for r in records]
            self.count += SHARD
            self.shards += 1
        return self.count

    def wait(self, count: int) -> None:
        """Block until at least `count` images are rendered."""
        while self.refresh() < min(count, len(self.rgb)):
            time.sleep(0.5)

    def hints(self, kind: str, count: int) -> Tensor:
        """The condition maps of the first `count` scenes, uint8 (N, 1 or 3, size, size), on the pool's device."""
        shards = range(count // SHARD)
        maps = [torch.from_numpy(np.load(self.folder / f"{n:06d}.{kind}.npy")).to(self.rgb.device) for n in shards]
        return torch.cat(maps).permute(0, 3, 1, 2)


def batch_indices(count: int, size: int, device: torch.device) -> Tensor:
    """A batch of random indices below `count`."""
    return torch.randint(0, count, (size,), device=device)


def as_input(rgb: Tensor) -> Tensor:
    """uint8 images → [-1, 1] float32."""
    return rgb.float() / 127.5 - 1
