"""What every network that captions images offers."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from cn.caption.settings import CaptionSettings

Image = NDArray[np.uint8]


@dataclass(frozen=True)
class Compute:
    """Where and how a captioner computes: a torch device, and fp32, bf16 or fp16."""

    device: Any
    dtype: Any


class Captioner(Protocol):
    """A network on its device. The caption of an image does not depend on its neighbors in a batch.

    That holds for the arithmetic; the last bits of a sum may depend on the size of the batch, and where two words are
    equally probable to the last bit, so may the word.
    """

    settings: CaptionSettings
    compute: Compute

    def caption(self, images: Sequence[Image]) -> list[str]:
        """A caption for each image, uint8 (h, w, 3) RGB of any size, in one line, without prefix and suffix.

        Raises WeightsError where the network gives no finite numbers.
        """
        ...


def image_seed(image: Image, seed: int) -> int:
    """The seed of an image's random numbers: of its content, so that neither name nor order matter."""
    digest = hashlib.sha256(f"{seed} {image.shape} ".encode())
    digest.update(np.ascontiguousarray(image).data)
    return int.from_bytes(digest.digest()[:8], "big")
