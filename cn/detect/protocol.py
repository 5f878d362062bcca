"""What every detector is, so that folders can be worked through without knowing which one it is."""

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from cn.conditions import ConditionInfo


class Detector(Protocol):
    """Photographs in, condition maps out.

    A detector is a small picklable description (a frozen dataclass): worker processes get a copy, and one that needs
    weights loads them when it is first called.
    """

    @property
    def kind(self) -> str:
        """A kind of `cn.conditions`."""
        ...

    @property
    def batch_size(self) -> int:
        """How many images a call should get."""
        ...

    def info(self, key: str) -> ConditionInfo:
        """What is written into the PNG made from the image that is called `key`."""
        ...

    def detect(self, images: Sequence[NDArray[np.uint8]], keys: Sequence[str]) -> list[NDArray[np.uint8]]:
        """Maps, uint8 (h, w) or (h, w, 3) RGB, one for each image (h, w, 3) RGB and of its size.

        `keys` name the images (relative paths with "/"): whatever is random depends on the key and the detector's seed
        only, never on the order or the company. Raises InputError for an image in which nothing can be detected.
        """
        ...
