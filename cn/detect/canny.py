"""Canny edges: the paper's first condition, with the random thresholds of its training data."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cn.conditions import ConditionInfo

LOW, HIGH = 100.0, 200.0
# The paper says "random thresholds" and gives no distribution. These ranges go from nearly everything to bold outlines.
LOW_RANGE = (50, 150)
HIGH_MARGIN, HIGH_MOST = 50, 300


def random_thresholds(seed: int, key: str) -> tuple[int, int]:
    """(low, high) for the image called `key`: low uniform in 50..150, high uniform in low + 50..300, both inclusive.

    They follow from seed and key alone, so that neither order nor number of processes changes them.
    """
    digest = hashlib.sha256(f"canny:{seed}:{key}".encode("utf-8", "surrogateescape")).digest()
    rng = np.random.default_rng(int.from_bytes(digest[:8], "big"))
    low = int(rng.integers(LOW_RANGE[0], LOW_RANGE[1], endpoint=True))
    return low, int(rng.integers(low + HIGH_MARGIN, HIGH_MOST, endpoint=True))


def canny(image: NDArray[np.uint8], low: float = LOW, high: float = HIGH) -> NDArray[np.uint8]:
    """White edges on black, uint8 (h, w) of 0 and 255, of a picture (h, w, 3) RGB or (h, w) grey.

    As the published annotator does it: straight on the three channels (OpenCV takes the channel with the largest
    gradient at each pixel), aperture 3, |dx| + |dy| as gradient, no blurring. An edge begins above `high` and goes on
    down to `low`.
    """
    import cv2

    return np.asarray(cv2.Canny(np.ascontiguousarray(image), low, high), np.uint8)


@dataclass(frozen=True)
class CannyDetector:
    """`canny` as a detector (`cn.detect.protocol`): thresholds that are fixed, or random for each file."""

    low: float = LOW
    high: float = HIGH
    random: bool = False
    seed: int = 0

    @property
    def kind(self) -> str:
        return "canny"

    @property
    def batch_size(self) -> int:
        return 1

    def thresholds(self, key: str) -> tuple[float, float]:
        """(low, high) for the image called `key`."""
        return random_thresholds(self.seed, key) if self.random else (self.low, self.high)

    def info(self, key: str) -> ConditionInfo:
        low, high = self.thresholds(key)
        params: dict[str, float] = {"low": low, "high": high}
        if self.random:
            params["seed"] = self.seed
        return ConditionInfo("canny", "canny (OpenCV)", params)

    def detect(self, images: Sequence[NDArray[np.uint8]], keys: Sequence[str]) -> list[NDArray[np.uint8]]:
        return [canny(image, *self.thresholds(key)) for image, key in zip(images, keys, strict=True)]
