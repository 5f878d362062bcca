"""Line drawings (`lineart`): by Anime2Sketch, or by what is darker than its surroundings, which needs no weights.

All maps are uint8 (h, w), white lines on black; with `invert` dark lines on white, as they are drawn.
"""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from cn.errors import WeightsError

if TYPE_CHECKING:
    from torch import nn

SIGMA = 6.0
"""Deviation, in pixels, of the Gaussian that gives a point's surroundings."""

FAINTEST = 8.0
"""Differences in grey levels up to this are not looked at when the strength of lines is measured."""

WEAKEST_STRENGTH = 16.0
MEDIAN_LEVEL = 127.0
"""What the median line becomes; a picture without strong lines is not amplified beyond this over `WEAKEST_STRENGTH`."""


def open_anime2sketch(path: Path | str) -> "nn.Module":
    """The network of netG.pth.

    Raises WeightsError when it is another file, or its tensors do not all fit; InputError when it is damaged.
    """
    from cn.archives.archive import open_archive
    from cn.detect.nets import load, without_prefix
    from cn.detect.nets.sketch import Anime2Sketch

    archive = open_archive(path)
    plain = without_prefix("module.")
    if "model.model.0.weight" not in {plain(name) for name in archive.entries}:
        raise WeightsError(f"{archive.path}: does not hold Anime2Sketch; give netG.pth")
    return load(Anime2Sketch, archive, plain)


def sketches(network: "nn.Module", images: NDArray[np.uint8], *, invert: bool = False) -> NDArray[np.uint8]:
    """Line drawings (n, h, w) of pictures (n, h, w, 3) RGB of one size, by Anime2Sketch.

    As controlnet_aux runs it: the picture is stretched to the next multiples of 256, the drawing shrunk back, both
    bicubically.
    """
    import cv2
    import torch

    from cn.detect.nets import to_array, to_tensor
    from cn.detect.nets.sketch import MULTIPLE

    height, width = images.shape[1:3]
    stretched = (-(-width // MULTIPLE) * MULTIPLE, -(-height // MULTIPLE) * MULTIPLE)
    pictures = [cv2.resize(image, stretched, interpolation=cv2.INTER_CUBIC) for image in images]
    with torch.inference_mode():
        drawn = network(to_tensor(np.stack(pictures).astype(np.float32) / 127.5 - 1.0, network))[:, 0]
    drawn = to_array(drawn, network) * 127.5 + 127.5
    drawings = [cv2.resize(drawing, (width, height), interpolation=cv2.INTER_CUBIC) for drawing in drawn]
    dark_on_white = np.stack(drawings).clip(0, 255).astype(np.uint8)
    return dark_on_white if invert else 255 - dark_on_white


def standard_lineart(image: NDArray[np.uint8], *, invert: bool = False) -> NDArray[np.uint8]:
    """A line drawing (h, w) of a picture (h, w, 3) RGB without weights (lineart_standard in controlnet_aux).

    A point is as white as it is darker, in all three channels, than its surroundings. The median of what is clearly
    darker becomes 127.
    """
    import cv2

    picture = image.astype(np.float32)
    darker = np.min(cv2.GaussianBlur(picture, (0, 0), SIGMA) - picture, axis=2).clip(0, 255)
    clear = darker[darker > FAINTEST]
    darker /= max(WEAKEST_STRENGTH, float(np.median(clear)) if clear.size else 0.0)
    drawing = (darker * MEDIAN_LEVEL).clip(0, 255).astype(np.uint8)
    return 255 - drawing if invert else drawing
