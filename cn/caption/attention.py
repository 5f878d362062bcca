"""Attention with a memory: keys and values of earlier tokens are kept, so that each step computes one token only.

Own code, because open_clip's decoder has no such memory, and that of transformers changes its interface with each major
version. Rows are texts: (images × beams). Those of one image share the keys and values of the image, which so are in
memory once and not once per beam.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor


@dataclass
class Memory:
    """Keys and values of one layer: (rows, heads, tokens, width of a head); empty at first."""

    keys: Tensor | None = None
    values: Tensor | None = None

    def attend(self, query: Tensor, key: Tensor, value: Tensor, heads: int) -> Tensor:
        """Remember the last token's key and value, and attend to all: (rows, 1, width) each → (rows, 1, width)."""
        key, value = _split(key, heads), _split(value, heads)
        self.keys = key if self.keys is None else torch.cat((self.keys, key), 2)
        self.values = value if self.values is None else torch.cat((self.values, value), 2)
        return _joined(F.scaled_dot_product_attention(_split(query, heads), self.keys, self.values))

    def select(self, rows: Tensor) -> None:
        """Keep these rows, in this order; a row may be kept several times."""
        assert self.keys is not None
        assert self.values is not None
        self.keys, self.values = self.keys[rows], self.values[rows]


@dataclass
class ImageMemory:
    """Keys and values of the images for one layer: (images, heads, places, width of a head)."""

    keys: Tensor
    values: Tensor

    @classmethod
    def of(cls, key: Tensor, value: Tensor, heads: int) -> "ImageMemory":
        """From (images, places, width) each."""
        return cls(_split(key, heads), _split(value, heads))

    def attend(self, query: Tensor) -> Tensor:
        """(rows, 1, width) → the same."""
        images, heads = self.keys.shape[:2]
        together = query.reshape(images, -1, query.shape[-1])
        return _joined(F.scaled_dot_product_attention(_split(together, heads), self.keys, self.values)).reshape(
            query.shape
        )

    def select(self, images: Tensor) -> None:
        """Keep these images, whose numbers ascend."""
        if len(images) != len(self.keys):
            self.keys, self.values = self.keys[images], self.values[images]


def _split(x: Tensor, heads: int) -> Tensor:
    """(n, tokens, width) → (n, heads, tokens, width of a head)."""
    return x.reshape(*x.shape[:2], heads, -1).transpose(1, 2)


def _joined(x: Tensor) -> Tensor:
    return x.transpose(1, 2).flatten(2)


@dataclass
class Memories:
    """All that is remembered of a batch of images and their texts."""

    tokens: list[Memory]
    images: list[ImageMemory]
    length: int = 0
    """How many tokens each text has."""
    beams: int = 1

    def select(self, images: Tensor, beams: Tensor) -> None:
        """See `cn.caption.decoding.TextNetwork`."""
        rows = (images[:, None] * self.beams + beams).flatten()
        for memory in self.tokens:
            memory.select(rows)
        for image in self.images:
            image.select(images)
        self.beams = beams.shape[1]
