"""`cn.api.detect`, and the map that it returns. Importing this module loads neither torch nor NumPy."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias, Union

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

StrPath: TypeAlias = str | os.PathLike[str]
ImageLike: TypeAlias = Union[StrPath, "NDArray[np.uint8]", "PillowImage"]
"""A path, an array (h, w, 3) RGB or (h, w) gray of uint8, or an image of Pillow."""


class PillowImage(Protocol):
    """An image of Pillow, as far as it is used here."""

    def convert(self, mode: str) -> Any: ...


@dataclass(frozen=True)
class ConditionMap:
    """What a detector made of an image: the map that a ControlNet of its kind follows."""

    kind: str
    """Such as "canny" or "depth"."""
    map: "NDArray[np.uint8]"
    """(h, w) or (h, w, 3) RGB, of the image's size."""
    found: Mapping[str, Any]
    """What it shows, in numbers, as `cn detect --json` reports it: people with their keypoints, shares of classes …"""
    empty: bool
    """Whether nothing was found."""
    text: Mapping[str, str]
    """The PNG text that says what the map is and how it was made."""

    def save(self, path: StrPath) -> Path:
        """Write it as an image; a PNG also says which condition it is, so that `cn sample` finds its control."""
        from cn import images

        images.write(os.fspath(path), self.map, dict(self.text))
        return Path(path)

    def _repr_png_(self) -> bytes:
        """For notebooks."""
        from cn import images

        return images.encode(self.map)


def detect(
    kind: str,
    image: ImageLike,
    *,
    method: str | None = None,
    weights: StrPath | None = None,
    hands: "bool | StrPath" = False,
    resolution: int | None = None,
    device: str = "auto",
    precision: str = "auto",
    **settings: Any,
) -> ConditionMap:
    """Detect a condition in one image, as `cn detect KIND` does: the same image and settings give the same map.

    `image` is a path, an array (h, w, 3) RGB or (h, w) of uint8, or an image of Pillow; `resolution` resizes its short
    side first, as the released ControlNets were trained. `settings` are those of the kind in `cn.detect.settings`:
    `low` and `high` of canny, `score` and `length` of hough … Without `method` and `weights` the default network is
    used if its weights are on this machine, else the method without weights.
    Raises UsageError for wrong kinds, methods and settings, WeightsError for missing or unsuitable weights, InputError
    for an image that cannot be read.
    """
    from cn import images
    from cn.detect.create import create_detector
    from cn.detect.network import ComputeSettings

    compute = ComputeSettings.from_options(device, precision, 1)
    hands = hands if isinstance(hands, bool) else Path(hands)
    detector = create_detector(kind, method=method, weights=weights, hands=hands, compute=compute, **settings)
    array = images.as_rgb(image)
    array = images.resize_short_side(array, resolution) if resolution else array
    key = os.path.basename(os.fspath(image)) if isinstance(image, str | os.PathLike) else "image"
    (found,) = detector.detect([array], [key])
    info = detector.info(key)
    info = replace(info, params={**info.params, "resolution": resolution}) if resolution else info
    return ConditionMap(detector.kind, found.map, found.found, found.empty, info.to_text())
