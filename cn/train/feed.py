"""From images, as they were fetched, to latents on the device of the base.

Pixels stay bytes until they are there: converting a batch of 16 images of 512×512 to floats takes a CPU core a tenth of
a second, in which it could enqueue half of a training step.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from cn.data.batch import scaled
from cn.data.examples import Example, Fetched, Source
from cn.devices import without_tf32
from cn.model.base import Base
from cn.model.transfers import upload
from cn.model.vae import Posterior
from cn.train.cache.pairs import FetchedHint, Fetcher, Hint
from cn.train.cache.several import Caches

Encode = Callable[[Tensor], Posterior]
"""(B, 3, 8H, 8W) in [-1, 1] → the posterior of the latents."""


@dataclass(frozen=True)
class Stacked:
    """B hints (B, h, w, 3) uint8 with their prompts, and what is known of their images.

    Those at the places `encoded` are images (n, h, w, 3) uint8; `mean` and `std` (B - n, 4, h/8, w/8) are the latents
    of the others, in order.
    """

    hints: Tensor
    prompts: list[str]
    images: Tensor | None
    encoded: list[int]
    mean: Tensor | None
    std: Tensor | None
    skipped: list[str]


class Feed:
    """How the images of a run become latents: those without a cache are encoded, exactly where the run is exact."""

    def __init__(
        self, source: Source, base: Base, exact: bool, cache: Caches | None = None, encode: Encode | None = None
    ):
        self.base, self.exact, self.cache, self._encode = base, exact, cache, encode or base.vae.encode
        self.fetch = Fetcher(source) if cache is None else cache.fetcher
        """What a worker process does for an example."""

    def stack(self, items: Sequence[Fetched | FetchedHint]) -> Stacked:
        """What the thread that fetches ahead does for examples of one shape."""
        parts: list[Example | Hint] = [i.example if isinstance(i, Fetched) else i.hint for i in items]
        images = {place: part.target for place, part in enumerate(parts) if isinstance(part, Example)}
        latents = [self._latents(part) for part in parts if isinstance(part, Hint)]
        return Stacked(
            self._tensor([part.condition for part in parts]),
            [part.prompt for part in parts],
            self._tensor(list(images.values())) if images else None,
            list(images),
            torch.stack([mean for mean, _ in latents]) if latents else None,
            torch.stack([std for _, std in latents]) if latents else None,
            [message for item in items for message in item.skipped],
        )

    def _latents(self, hint: Hint) -> tuple[Tensor, Tensor]:
        assert self.cache is not None
        return self.cache.latents(hint)

    def _tensor(self, images: Sequence[np.ndarray]) -> Tensor:
        """(B, h, w, 3) uint8, in memory that a GPU reads by itself."""
        stacked = torch.from_numpy(np.stack(images))
        return stacked.pin_memory() if self.base.device.type == "cuda" else stacked

    @torch.no_grad()
    def encode(self, stacked: Stacked) -> tuple[Tensor, Tensor, Tensor]:
        """Mean and standard deviation (B, 4, h/8, w/8) and hint (B, 3, h, w) uint8, on the base's device."""
        hint = self._planes(stacked.hints)
        if stacked.images is None:
            return upload(_given(stacked.mean), self.base.device), upload(_given(stacked.std), self.base.device), hint
        with without_tf32(self.exact):
            posterior = self._encode(scaled(self._planes(stacked.images)))
        if stacked.mean is None or stacked.std is None:
            return posterior.mean, posterior.std, hint
        known = [place for place in range(len(hint)) if place not in stacked.encoded]
        back = upload(torch.tensor([*stacked.encoded, *known]).argsort(), self.base.device)
        mean, std = (
            torch.cat([new, upload(old, new.device).to(new.dtype)])[back]
            for new, old in ((posterior.mean, stacked.mean), (posterior.std, stacked.std))
        )
        return mean, std, hint

    def _planes(self, images: Tensor) -> Tensor:
        """(B, h, w, 3) → (B, 3, h, w) on the base's device, without waiting for the copy."""
        return images.to(self.base.device, non_blocking=True).permute(0, 3, 1, 2).contiguous()


def _given(value: Tensor | None) -> Tensor:
    assert value is not None
    return value
