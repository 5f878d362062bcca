"""What people write today: one image after the other, by Pillow and OpenCV or the network as published.

    python tools/bench_plain.py KIND SRC DST [WEIGHTS]

Prints a line when an image is done, so that `bench_detect.py` can measure the rate without the start-up.
"""

import functools
import sys
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image
from torch import nn

from cn.detect import registry
from cn.detect.detector import detector_class
from cn.detect.nets.loading import load_net
from cn.detect.network import Network

RGB = NDArray[np.uint8]


class PlainNetwork(Network):
    """A network as published: not optimized for the CPU."""

    def ready(self) -> nn.Module:
        return _loaded(self.family, self.path)


@functools.lru_cache(maxsize=1)
def _loaded(family: str, path: str) -> nn.Module:
    return load_net(family, path)


def plain(kind: str, weights: str) -> Callable[[RGB], RGB]:
    """The map of one image, computed with torch's own number of threads."""
    family = registry.kind_spec(kind).family
    if family is None:
        return lambda image: np.asarray(cv2.Canny(image, 100, 200), np.uint8)
    network = PlainNetwork(family, weights, "", type(_loaded(family, weights)).__name__)
    detector = detector_class(kind).create(network)
    return lambda image: detector.detect([image], [""])[0].map


def main() -> None:
    kind, source, target, *weights = sys.argv[1:]
    detect = plain(kind, *weights or [""])
    Path(target).mkdir(parents=True, exist_ok=True)
    for path in sorted(Path(source).iterdir()):
        image = np.asarray(Image.open(path).convert("RGB"))
        Image.fromarray(detect(image)).save(Path(target, f"{path.stem}.png"))
        print(path, flush=True)


if __name__ == "__main__":
    main()
