"""Embeddings of prompts that were encoded before: the text encoder is locked, so a prompt always has the same one."""

from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

MAX_BYTES = 256 << 20
"""About a thousand prompts of Stable Diffusion's size in fp32, two thousand in half precision."""


@dataclass
class PromptEmbeddings:
    """The embeddings of the prompts that were used last, and of the empty one, in `dtype` on the device.

    Of the prompts that are new in a batch, so many are encoded `together`. With 1, an embedding does not depend on what
    else was in the batch, so that a resumed run gets the same bits.
    """

    dtype: torch.dtype = torch.float32
    together: int = 1
    max_bytes: int = MAX_BYTES
    _kept: "OrderedDict[str, Tensor]" = field(default_factory=OrderedDict)

    @torch.no_grad()
    def of(self, prompts: Sequence[str], encode: Callable[[Sequence[str]], Tensor]) -> Tensor:
        """(B, 77, C) of B prompts; `encode` is what computes the embeddings of new ones."""
        new = [prompt for prompt in dict.fromkeys(prompts) if prompt not in self._kept]
        while new:
            embeddings = encode(new[: self.together])
            for prompt, embedding in zip(new[: self.together], embeddings, strict=True):
                self._kept[prompt] = embedding.to(self.dtype, copy=True)
            new = new[self.together :]
        for prompt in prompts:
            self._kept.move_to_end(prompt)
        text = torch.stack([self._kept[prompt] for prompt in prompts])
        self._forget(text[0].nbytes)
        return text

    def _forget(self, size: int) -> None:
        """Drop the prompts that were not used for longest. The empty one stays: half of all that is trained has it."""
        for prompt in list(self._kept):
            if len(self._kept) * size <= self.max_bytes:
                return
            if prompt:
                del self._kept[prompt]
