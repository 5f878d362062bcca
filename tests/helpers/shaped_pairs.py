"""Datasets whose images have several aspect ratios."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from cn import images
from cn.conditions import ConditionInfo
from tests.conftest import write_pairs

SHAPES = ((192, 192), (250, 120), (130, 260))
"""(height, width): in buckets of 192 with multiples of 64, a square, a tall and a wide image."""


def write_shaped(folder: Path, count: int, shapes: Sequence[tuple[int, int]] = SHAPES, kind: str = "depth") -> Path:
    """A dataset of pairs whose map is the image itself: smooth noise, shapes in turn."""
    write_pairs(folder, count, kind=kind)
    rng = np.random.default_rng(count)
    for number in range(count):
        height, width = shapes[number % len(shapes)]
        coarse = rng.integers(0, 256, (-(-height // 10), -(-width // 10), 3), dtype=np.uint8)
        image = coarse.repeat(10, axis=0).repeat(10, axis=1)[:height, :width]
        images.write(folder / f"source/{number}.png", image, ConditionInfo(kind, "test").to_text())
        images.write(folder / f"target/{number}.png", image)
    return folder
