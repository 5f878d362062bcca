"""A pool of rendered scenes on disk, written by worker processes while training already reads it.

Of each 64 scenes there are their images, captions and, for the first scenes, their condition maps and labels.
"""

import json
import multiprocessing
import os
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cn.conditions import KINDS
from cn.data.maps import shows_person, training_map
from cn.files import make_folder, open_atomic, write_atomic
from cn.pretrain import replicas
from cn.pretrain.labels import labels
from cn.scenes import caption, describe, render

SHARD = 64
CAPTIONS = 4
"""Captions of each scene: training draws one at every step."""
READERS = 8
"""Threads that read condition maps."""


def render_shard(folder: Path, seed: int, number: int, size: int, conditions: int) -> None:
    """Render scenes [SHARD·number, SHARD·(number+1)) and, for scenes below `conditions`, condition maps and labels.

    The JSON file is written last, so a shard whose JSON file exists is complete.
    """
    # Each worker has a core of its own.
    cv2.setNumThreads(1)
    target = folder / f"{number:06d}.json"
    if target.exists():
        return
    arrays: dict[str, list[NDArray]] = {"rgb": []}
    maps: dict[str, list[NDArray[np.uint8]]] = {kind: [] for kind in KINDS}
    records = []
    for index in range(number * SHARD, (number + 1) * SHARD):
        scene = describe(seed, index)
        view = render(scene, size)
        arrays["rgb"].append(view.rgb)
        if index < conditions:
            for kind in KINDS:
                maps[kind].append(training_map(view, kind, seed, index))
            for name, values in labels(scene, view).items():
                arrays.setdefault(name, []).append(values)
        texts = [caption(scene, variant) for variant in range(CAPTIONS)]
        records.append({"captions": texts, "person": shows_person(view)})
    for name, images in arrays.items():
        with open_atomic(folder / f"{number:06d}.{name}.npy", durable=False) as file:
            np.save(file, np.stack(images))
    for kind, found in maps.items():
        if found:
            write_atomic(folder / f"{number:06d}.{kind}.png", _packed(np.stack(found)), durable=False)
    write_atomic(target, json.dumps(records).encode(), durable=False)


def _packed(maps: NDArray[np.uint8]) -> bytes:
    """(n, h, w, 3) maps as one PNG, one below the other: they are mostly flat, and would fill the disk as they are."""
    strip = maps.reshape(-1, *maps.shape[2:])
    flat = strip[..., :1] if (strip == strip[..., :1]).all() else strip[..., ::-1]
    return cv2.imencode(".png", flat, [cv2.IMWRITE_PNG_COMPRESSION, 1])[1].tobytes()


def _unpacked(path: Path) -> NDArray[np.uint8]:
    """(n, h, w, 1 or 3) maps of `_packed`."""
    strip = np.asarray(cv2.imdecode(np.frombuffer(path.read_bytes(), np.uint8), cv2.IMREAD_UNCHANGED))
    flat = strip[..., None] if strip.ndim == 2 else strip[..., ::-1]
    return flat.reshape(SHARD, -1, *flat.shape[1:]).astype(np.uint8)


def render_pool(folder: Path, *, seed: int, count: int, conditions: int, size: int, workers: int) -> None:
    """Render `count` scenes (rounded up to full shards) with `workers` processes; existing shards are kept."""
    make_folder(folder)
    os.environ["OMP_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = "1"
    # Of whole shards, as the readers of maps expect.
    conditions = -(-conditions // SHARD) * SHARD
    jobs = [(folder, seed, number, size, conditions) for number in range(-(-count // SHARD))]
    with multiprocessing.get_context("spawn").Pool(workers) as pool:
        pool.starmap(render_shard, jobs, chunksize=1)


def new_shards(folder: Path, first: int) -> Iterator[tuple[int, list[dict]]]:
    """Numbers and records of the complete shards from `first` on that this process takes, in order."""
    number = first
    while (path := folder / f"{number:06d}.json").exists():
        if number % replicas.count() == replicas.rank():
            yield number, json.loads(path.read_text())
        number += 1


def images_of(folder: Path, number: int, device: torch.device) -> Tensor:
    """The images of a shard, uint8 (SHARD, 3, size, size)."""
    images = torch.from_numpy(np.load(folder / f"{number:06d}.rgb.npy"))
    return images.to(device).permute(0, 3, 1, 2)


def load_maps(folder: Path, kind: str, shards: int, device: torch.device) -> Tensor:
    """The condition maps of the first shards, uint8 (N, 1 or 3, size, size)."""
    with ThreadPoolExecutor(READERS) as pool:
        paths = [folder / f"{number:06d}.{kind}.png" for number in range(shards)]
        # A shard whose colored maps are all gray is packed as gray.
        found = [torch.from_numpy(one) for one in pool.map(_unpacked, paths)]
    channels = max(one.shape[-1] for one in found)
    shape = (shards * SHARD, channels, *found[0].shape[1:3])
    maps = torch.empty(shape, dtype=torch.uint8, device=device)
    for number, one in enumerate(found):
        part = maps[number * SHARD : (number + 1) * SHARD]
        part.copy_(one.to(device).permute(0, 3, 1, 2).expand_as(part))
    return maps


@dataclass
class Pool:
    """The images rendered so far, in the memory of the training device: `rgb[:count]` uint8 (N, 3, size, size)."""

    folder: Path
    rgb: Tensor
    count: int = 0
    shards: int = 0
    """Number of the next shard to look for."""

    @classmethod
    def open(cls, folder: Path, capacity: int, size: int, device: torch.device) -> "Pool":
        """Memory for `capacity` images, filled with those rendered so far."""
        capacity = -(-capacity // SHARD) * SHARD
        pool = cls(folder, torch.empty((capacity, 3, size, size), dtype=torch.uint8, device=device))
        pool.refresh()
        return pool

    def refresh(self) -> int:
        """Load the shards rendered since the last call, in order; returns the number of images."""
        for number, _ in new_shards(self.folder, self.shards):
            if self.count == len(self.rgb):
                break
            self.rgb[self.count : self.count + SHARD] = images_of(self.folder, number, self.rgb.device)
            self.count += SHARD
            self.shards = number + 1
        return self.count

    def wait(self, count: int) -> None:
        """Block until at least `count` images are rendered (by another process, in the folder `pool`)."""
        while self.refresh() < min(count, len(self.rgb)):
            time.sleep(0.5)


def batch_indices(count: int, size: int, device: torch.device) -> Tensor:
    """A batch of random indices below `count`."""
    return torch.randint(0, count, (size,), device=device)


def as_input(rgb: Tensor) -> Tensor:
    """uint8 images → [-1, 1] float32."""
    return rgb.float() / 127.5 - 1
