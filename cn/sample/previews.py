"""`--preview-every N`: what an image looks like while it is sampled, in a file beside it and on the terminal."""

import contextlib
import os
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from cn import images
from cn.errors import CnWarning, InputError
from cn.model.vae import AutoencoderKL
from cn.model.watch import LatentColors
from cn.sample.options import SpeedOptions

Show = Callable[[NDArray[np.uint8]], object]
"""Shows an image, uint8 (h, w, 3), to a person."""
SUFFIX = ".preview.jpg"


def preview_path(path: str | os.PathLike[str]) -> Path:
    """OUT.png → OUT.preview.jpg: replaced every few steps, removed once the image itself is there."""
    return Path(path).with_suffix(SUFFIX)


@dataclass
class Later:
    """Previews of a job's images from number `first` on."""

    previews: "Previews"
    first: int

    def __post_init__(self) -> None:
        self.every = self.previews.every

    def __call__(self, first: int, latents: Tensor) -> None:
        """As of `Previews`, for the images from `first` on of these."""
        self.previews(self.first + first, latents)


@dataclass
class Previews:
    """The previews of a job's images, of which `paths` are the files in order ("-": none)."""

    every: int
    """0: there are none."""
    paths: Sequence[str]
    vae: AutoencoderKL
    show: Show | None = None
    _colors: LatentColors | None = None
    _failed: bool = False
    _written: set[Path] = field(default_factory=set)

    @classmethod
    def of(cls, speed: SpeedOptions, paths: Sequence[str], vae: AutoencoderKL, show: Show | None = None) -> "Previews":
        """As the options say."""
        return cls(speed.preview_every or 0, paths, vae, show)

    def later(self, first: int) -> Later:
        """Those of the images from number `first` on."""
        return Later(self, first)

    def or_none(self) -> "Previews | None":
        """None where there are none."""
        return self if self.every else None

    def __call__(self, first: int, latents: Tensor) -> None:
        """Show the estimates (B, 4, H, W) of the images from number `first` on; of these `show` gets the first."""
        self._colors = self._colors or LatentColors.fit(self.vae)
        made = self._colors(latents).numpy()
        for path, image in zip(self.paths[first : first + len(made)], made, strict=True):
            if path != "-":
                self._write(preview_path(path), image)
        if self.show is not None:
            self.show(made[0])

    def _write(self, target: Path, image: NDArray[np.uint8]) -> None:
        if self._failed:
            return
        if target not in self._written and target.exists():
            # A person's, or what a killed process has left.
            self._failed = True
            warnings.warn(f"no previews: {target} is there already", CnWarning, stacklevel=2)
            return
        try:
            images.write(target, image)
            self._written.add(target)
        except InputError as error:
            # The image itself may still find room, or be written elsewhere.
            self._failed = True
            warnings.warn(f"no more previews: {error}", CnWarning, stacklevel=2)

    def finished(self, path: str) -> None:
        """Remove the preview of an image that is written now."""
        self._remove(preview_path(path))

    def close(self) -> None:
        """Remove the others: of what was interrupted there is no image."""
        for target in [*self._written]:
            self._remove(target)

    def _remove(self, target: Path) -> None:
        if target in self._written:
            self._written.discard(target)
            with contextlib.suppress(OSError):
                target.unlink()
