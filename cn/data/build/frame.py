"""Which part of an image becomes the training image, and at what size: one decision for the image and all its maps."""

import hashlib
import math

import numpy as np

from cn.data.build.settings import MULTIPLE, Crop
from cn.data.frame import Frame, covering
from cn.images.resizing import bounded_short_side_size


def frame(height: int, width: int, resolution: int, crop: Crop, *, seed: int = 0, key: str = "") -> Frame:
    """The frame of an image for a crop policy (`BuildSettings.crop`); a random one depends on seed and key alone."""
    if crop == "none":
        return Frame((height, width), 0, 0, height, width, bounded_short_side_size(height, width, resolution))
    size = (resolution, resolution) if crop != "buckets" else bucket(height, width, resolution)
    box_height, box_width = covering(height, width, size)
    down, across = height - box_height, width - box_width
    top, left = down // 2, across // 2
    if crop == "random":
        digest = hashlib.sha256(f"crop:{seed}:{key}".encode()).digest()
        rng = np.random.default_rng(int.from_bytes(digest[:8], "big"))
        top, left = int(rng.integers(0, down + 1)), int(rng.integers(0, across + 1))
    return Frame((height, width), top, left, box_height, box_width, size)


def bucket(height: int, width: int, resolution: int) -> tuple[int, int]:
    """(height, width) of the bucket whose aspect ratio is nearest; the larger one of equals.

    Sides are multiples of 64 between half and twice the resolution; the area is at most that of the square, as in
    NovelAI's aspect ratio buckets.
    """
    ratio = math.log(width / height)
    low, high = max(MULTIPLE, resolution // 2 // MULTIPLE * MULTIPLE), 2 * resolution
    best, distance = (resolution, resolution), abs(ratio)
    for across in range(low, high + 1, MULTIPLE):
        down = min(high, resolution * resolution // across // MULTIPLE * MULTIPLE)
        if down >= low and (off := abs(ratio - math.log(across / down))) < distance - 1e-9:
            best, distance = (down, across), off
    return best
