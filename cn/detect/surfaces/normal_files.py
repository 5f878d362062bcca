"""What the detectors have in common that read normals, or depth that gives normals, from files."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from cn.detect.detector import Detection, WithoutNetwork, fraction
from cn.detect.settings import BgrSettings, InvalidColor, InvalidSettings
from cn.detect.surfaces.encoding import FLAT, normals_to_map, resize_normals
from cn.detect.surfaces.normal import BGR, reversed_channels

INVALID_COLORS: dict[InvalidColor, tuple[int, int, int]] = {
    "flat": FLAT,
    "gray": (127, 127, 127),
    "black": (0, 0, 0),
}
"""Colors for pixels with unknown normals; the paper's other normal maps have "flat" there."""


@dataclass(frozen=True)
class NormalFiles(InvalidSettings, BgrSettings, WithoutNetwork):
    """A detector that gives maps of exact normals."""

    kind: ClassVar[str] = "normal"
    from_photographs: ClassVar[bool] = False

    def resized_map(self, made: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
        nothing = INVALID_COLORS[self.invalid]
        return resize_normals(made, size, nothing[::-1] if self.bgr else nothing)

    def usual_order(self, made: NDArray[np.uint8]) -> NDArray[np.uint8]:
        return reversed_channels(made) if self.bgr else made

    @property
    def order(self) -> str | None:
        """The convention that a map's PNG states, where it is not the usual one."""
        return BGR if self.bgr else None

    def detection(
        self, normals: NDArray[np.float64], warning: str | None = None, *, rounded: bool = False
    ) -> Detection:
        """The map of camera-space normals (h, w, 3), which are 0 where unknown."""
        unknown = np.asarray(~normals.any(axis=-1))
        colors = normals_to_map(normals, INVALID_COLORS[self.invalid], rounded=rounded)
        channels = reversed_channels(colors) if self.bgr else colors
        return Detection(channels, {"unknown": fraction(unknown)}, empty=bool(unknown.all()), warning=warning)
