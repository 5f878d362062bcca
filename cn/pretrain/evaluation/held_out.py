"""Held-out scenes with their images, condition maps and labels, rendered by several processes. Imports no torch."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cn.data.maps import condition_map
from cn.pretrain.evaluation.workers import Workers, parts
from cn.pretrain.labels import Arrays, labels
from cn.scenes import Scene, describe, render
from cn.scenes.captions import full_caption

PART = 8
"""Scenes that a process renders at a time."""
Images = NDArray[np.uint8]


@dataclass(frozen=True)
class HeldOut:
    """Scenes, captions that name everything, `rgb` (N, h, w, 3), maps by kind (N, h, w, 3), labels by name (N, …)."""

    scenes: list[Scene]
    captions: list[str]
    rgb: Images
    maps: dict[str, Images]
    labels: Arrays

    def __len__(self) -> int:
        return len(self.scenes)

    @property
    def people(self) -> NDArray[np.int64]:
        """(N,) how many people each image shows: those with two visible keypoints, whose box is known."""
        visible = self.labels["dense_keypoints"][..., 2] == 1
        return (visible.sum(-1) >= 2).sum(-1)


def render_part(seed: int, first: int, count: int, size: int, kinds: Sequence[str]) -> tuple[Images, Arrays, Arrays]:
    """Images, condition maps and labels of scenes [first, first + count)."""
    images: list[Images] = []
    maps: list[Arrays] = []
    found: list[Arrays] = []
    for number in range(first, first + count):
        scene = describe(seed, number)
        view = render(scene, size)
        images.append(view.rgb)
        maps.append({kind: condition_map(view, kind) for kind in kinds})
        found.append(labels(scene, view))
    return np.stack(images), _stacked(maps), _stacked(found)


def _stacked(rows: Sequence[Arrays]) -> Arrays:
    return {name: np.stack([row[name] for row in rows]) for name in rows[0]}


def _joined(rows: Sequence[Arrays]) -> Arrays:
    return {name: np.concatenate([row[name] for row in rows]) for name in rows[0]}


def render_held_out(workers: Workers, seed: int, count: int, size: int, kinds: Sequence[str]) -> HeldOut:
    """The first `count` scenes of `seed`."""
    jobs = [(seed, part.start, part.stop - part.start, size, kinds) for part in parts(count, PART)]
    started = workers.start(render_part, jobs)
    scenes = [describe(seed, number) for number in range(count)]
    captions = [full_caption(scene) for scene in scenes]
    done = [future.result() for future in started]
    return HeldOut(
        scenes,
        captions,
        np.concatenate([images for images, _, _ in done]),
        _joined([maps for _, maps, _ in done]),
        _joined([found for _, _, found in done]),
    )


def render_images(scenes: Sequence[Scene], size: int) -> Images:
    """(N, size, size, 3), for a worker."""
    return np.stack([render(scene, size).rgb for scene in scenes])
