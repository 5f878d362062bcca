"""Depth maps (`depth`): what MiDaS sees in a photograph, near = white, as depth ControlNets expect it.

A network gives inverse depth: large where near, in a unit of its own, which differs from image to picture.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal, cast

import numpy as np
from numpy.typing import NDArray

from cn.conditions import ConditionInfo
from cn.detect.detector import Detection, Images, NetworkDetector
from cn.detect.network import Network
from cn.detect.settings import DepthSettings
from cn.detect.settings import Preprocessing as Way
from cn.detect.surfaces.encoding import stretch
from cn.images.resizing import resize, resize_short_side, short_side_size

if TYPE_CHECKING:
    from cn.detect.nets.midas_blocks import DepthNetwork

Rule = Literal["released", "minimal", "upper_bound"]

MULTIPLE = 32
"""Both sides of what the networks take are multiples of this many pixels: each halving must come out even."""

LONGEST = 4
"""Images whose sides differ by more than this factor are looked at more coarsely, else cost has no bound."""


@dataclass(frozen=True)
class Preparation:
    """How large a network sees an image.

    "released": as the apps of the released ControlNets: the short side at `side`, both rounded to multiples of 64,
    reduced by area or enlarged by Lanczos. This is the default for DPT-hybrid, because depth and normal controls are
    used with maps made so, and a reduction by area does not alias.
    "minimal" and "upper_bound": as MiDaS itself (its transforms.py): the side that needs the smaller change, or the
    long side, at `side`, both rounded to multiples of 32, cubic. The default for the small network is "upper_bound".
    """

    rule: Rule = "released"
    side: int = 384

    def size(self, height: int, width: int) -> tuple[int, int]:
        """(height, width) that the network gets for an image of this size: multiples of 32, never 0.

        An image longer than 4:1 (`LONGEST`) gets the area of a 4:1 one, and is squashed to 16 times `side`.
        """
        wanted = (
            short_side_size(height, width, self.side) if self.rule == "released" else self._midas_size(height, width)
        )
        most = LONGEST * self.side**2
        if max(height, width) <= LONGEST * min(height, width) or wanted[0] * wanted[1] <= most:
            return wanted
        scale = math.sqrt(most / (height * width))
        longest = LONGEST**2 * self.side
        return _rounded(min(height * scale, longest), MULTIPLE), _rounded(min(width * scale, longest), MULTIPLE)

    def _midas_size(self, height: int, width: int) -> tuple[int, int]:
        down, across = self.side / height, self.side / width
        if self.rule == "minimal":
            scale = across if abs(1 - across) < abs(1 - down) else down
            return _rounded(height * scale, MULTIPLE), _rounded(width * scale, MULTIPLE)
        scale = min(across, down)
        # Half a multiple more than `side` would be rounded up.
        most = max(MULTIPLE, self.side // MULTIPLE * MULTIPLE)
        return min(most, _rounded(height * scale, MULTIPLE)), min(most, _rounded(width * scale, MULTIPLE))

    def resized(self, image: NDArray[np.uint8]) -> NDArray[np.floating]:
        """An image (h, w, 3) at `size`: 0..255 in float32, or float64 and a little beyond where cubic overshoots."""
        import cv2

        height, width = image.shape[:2]
        size = self.size(height, width)
        if self.rule != "released":
            # In floating point, like MiDaS: nothing is cut off.
            return np.asarray(cv2.resize(image.astype(np.float64), size[::-1], interpolation=cv2.INTER_CUBIC))
        if size == short_side_size(height, width, self.side):
            return resize_short_side(image, self.side).astype(np.float32)
        return resize(image, size).astype(np.float32)


HYBRID = Preparation("released", 384)
"""For DPT-hybrid, by default."""
HYBRID_MIDAS = Preparation("minimal", 384)
"""For DPT-hybrid, as its authors run it."""
SMALL = Preparation("upper_bound", 256)
"""For MiDaS v2.1 small, as its authors run it; the default."""
SMALL_RELEASED = Preparation("released", 256)
"""For MiDaS v2.1 small, by the rule of the released apps, at the size that it was trained for."""


def preparation(network: "DepthNetwork", way: Way | None = None) -> Preparation:
    """How a depth network is fed: as the released apps do it, or MiDaS itself; None is its own default."""
    from cn.detect.nets.midas_small import MidasSmall

    if isinstance(network, MidasSmall):
        return SMALL_RELEASED if way == "released" else SMALL
    return HYBRID_MIDAS if way == "midas" else HYBRID


def inverse_depth(
    network: "DepthNetwork", images: Sequence[NDArray[np.uint8]], prepare: Preparation | None = None, *, batch: int = 1
) -> list[NDArray[np.float32]]:
    """What a depth network sees in images (h, w, 3) RGB of any sizes: for each, float32 (h', w') ≥ 0.

    Near is large, and (h', w') is the size that the network works at (`prepare`; by default the network's own). Up to
    `batch` images that have one size there are looked at together. Company changes the last bits, and so does the
    number of torch's threads: a few pixels of a map may then differ by a level. With both the same, so are the bytes.
    """
    chosen = prepare or preparation(network)
    groups: dict[tuple[int, int], list[int]] = {}
    for number, image in enumerate(images):
        groups.setdefault(chosen.size(*image.shape[:2]), []).append(number)
    found: dict[int, NDArray[np.float32]] = {}
    for numbers in groups.values():
        for start in range(0, len(numbers), batch):
            together = numbers[start : start + batch]
            pictures = np.stack([_normalized(network, chosen.resized(images[number])) for number in together])
            found |= zip(together, _run(network, pictures), strict=True)
    return [found[number] for number in range(len(images))]


def depth_map(inverse: NDArray[np.floating], size: tuple[int, int] | None = None) -> NDArray[np.uint8]:
    """Inverse depth (h', w') as a map, uint8 `size` = (h, w): the nearest is white (255), the farthest black (0).

    Stretched and truncated as the released annotator does it (annotator/midas), which leaves maps at the network's
    size; here the numbers are brought to `size` before they become 256 levels. What is not finite counts as farthest,
    and an image of one single depth is all 0.
    """
    known = settle(inverse)
    return stretch(resize(known, size) if size else known)


def settle(inverse: NDArray[np.floating]) -> NDArray[np.floating]:
    """Inverse depth (h, w) with the smallest finite value, or 0 where there is none, in place of what is not finite."""
    there = np.isfinite(inverse)
    if there.all():
        return inverse
    least = inverse[there].min() if there.any() else 0
    return np.where(there, inverse, least).astype(inverse.dtype)


def _rounded(length: float, multiple: int) -> int:
    """To the nearest multiple, halves to the even one as NumPy rounds, but never to 0."""
    return max(multiple, round(length / multiple) * multiple)


def _normalized(network: "DepthNetwork", picture: NDArray[np.floating]) -> NDArray[np.float32]:
    """(h, w, 3) of 0..255 → what the network was trained on: -1..1 for DPT-hybrid, ImageNet's for the small one."""
    if set(network.mean) == set(network.deviation) == {0.5}:
        # In this order, and in the image's precision, the input is the released annotator's to the last bit.
        return (picture / 127.5 - 1).astype(np.float32)
    return ((picture / 255 - np.array(network.mean)) / np.array(network.deviation)).astype(np.float32)


def _run(network: "DepthNetwork", pictures: NDArray[np.float32]) -> NDArray[np.float32]:
    """(n, h', w', 3) → (n, h', w')."""
    import torch

    from cn.detect.nets.arrays import to_array, to_tensor

    with torch.inference_mode():
        return to_array(network(to_tensor(pictures, network)), network)


@dataclass(frozen=True)
class DepthDetector(DepthSettings, NetworkDetector):
    """Inverse depth by MiDaS, near = white."""

    kind: ClassVar[str] = "depth"

    def info(self, key: str) -> ConditionInfo:
        return self.condition_info(self.network.title, {"prepared": self.preprocessing} if self.preprocessing else {})

    def detect(self, images: Images, keys: Sequence[str]) -> list[Detection]:
        found = depth_by_network(self.network, images, self.preprocessing)
        return [
            Detection(depth_map(inverse, image.shape[:2]), depth_range(inverse))
            for inverse, image in zip(found, images, strict=True)
        ]


def depth_by_network(network: Network, images: Images, way: Way | None) -> list[NDArray[np.float32]]:
    net = cast("DepthNetwork", network.ready())
    return inverse_depth(net, images, preparation(net, way), batch=network.batch)


def depth_range(inverse: NDArray[np.floating]) -> dict[str, float]:
    """What a depth network saw, in the unit of its own: two images' maps are both stretched to 0..255."""
    known = settle(inverse)
    return {"nearest": round(float(known.max()), 4), "farthest": round(float(known.min()), 4)}
