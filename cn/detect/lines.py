"""Straight lines (`hough`): by M-LSD's networks, or by OpenCV's line segment detector, which needs no weights.

Lines are float (k, 4): x and y of one end, x and y of the other, in pixels of the picture. Maps are uint8 (h, w):
white lines on black.
"""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from cn.errors import WeightsError

if TYPE_CHECKING:
    from torch import Tensor, nn

SCORE, LENGTH = 0.1, 0.1
"""What the released annotator asks of a line: confidence of its centre, and length in pixels of the half-size map."""

MOST_LINES = 200
"""M-LSD looks at this many centres, the most confident ones."""

LSD_LENGTH = 0.06
"""Shortest line of the detector without weights, as a share of the picture's shorter side."""


def open_mlsd(path: Path | str) -> "nn.Module":
    """The network of a published file: mlsd_large_512_fp32.pth or mlsd_tiny_512_fp32.pth, told by its tensors.

    Raises WeightsError when it is another file, or its tensors do not all fit; InputError when it is damaged.
    """
    from cn.archives.archive import open_archive
    from cn.detect.nets import load, without_prefix
    from cn.detect.nets.mlsd import MLSDLarge, MLSDTiny

    archive = open_archive(path)
    plain = without_prefix("module.")
    names = {plain(name) for name in archive.entries}
    if "backbone.features.0.0.weight" not in names:
        known = "mlsd_large_512_fp32.pth or mlsd_tiny_512_fp32.pth"
        raise WeightsError(f"{archive.path}: holds none of M-LSD's networks; give {known}")
    return load(MLSDLarge if "block23.conv3.weight" in names else MLSDTiny, archive, plain)


def mlsd_lines(
    network: "nn.Module", images: NDArray[np.uint8], score: float = SCORE, length: float = LENGTH
) -> list[NDArray[np.float64]]:
    """The lines of each of the pictures (n, h, w, 3) RGB of one size, by a network of `open_mlsd`.

    Any size: the network gets the picture with its last row and column repeated up to a multiple of 16, and centres
    that lie in what was added do not count. `score` and `length`: see `decode`.
    """
    import torch

    from cn.detect.nets import pad, to_array, to_tensor
    from cn.detect.nets.mlsd import MULTIPLE

    padded = pad(images, MULTIPLE)
    ones = np.ones((*padded.shape[:3], 1), np.uint8)
    with torch.inference_mode():
        planes = np.concatenate([padded, ones], axis=3).astype(np.float32) / 127.5 - 1.0
        outputs = network(to_tensor(planes, network))[:, :, : -(-images.shape[1] // 2), : -(-images.shape[2] // 2)]
        return [decode(torch.from_numpy(output), score, length) for output in to_array(outputs, network)]


def decode(output: "Tensor", score: float = SCORE, length: float = LENGTH) -> NDArray[np.float64]:
    """Lines (k, 4), the surest first, from M-LSD's output (9, h / 2, w / 2) for one picture (pred_lines in utils.py).

    Plane 0 is the logit of a line's centre: it counts where it is the largest of its 3×3 neighbours and its sigmoid,
    among the 200 largest, exceeds `score`. Planes 1 to 4 lead from there to both ends (x, y, x, y). A line counts when
    it is longer than `length`. All in pixels of the output; the lines given are in pixels of the picture.
    """
    import torch
    import torch.nn.functional as F

    heat = torch.sigmoid(output[0])
    peaks = torch.where(F.max_pool2d(heat[None], 3, 1, 1)[0] == heat, heat, 0.0).flatten()
    scores, places = peaks.topk(min(MOST_LINES, peaks.numel()))
    ends = output[1:5].flatten(1)[:, places].T
    long = (ends[:, :2] - ends[:, 2:]).square().sum(dim=1).sqrt() > length
    good = long & (scores > score)
    y, x = places // output.shape[2], places % output.shape[2]
    lines = torch.stack([x, y, x, y], dim=1).double() + ends.double()
    return (2.0 * lines[good]).numpy()


def lsd_lines(image: NDArray[np.uint8], length: float = LSD_LENGTH) -> NDArray[np.float64]:
    """The lines of a picture (h, w, 3) RGB or (h, w) grey by OpenCV's LSD (von Gioi and others), the longest first.

    Those shorter than `length` times the shorter side are left out.
    """
    import cv2

    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY) if image.ndim == 3 else np.ascontiguousarray(image)
    found = cv2.createLineSegmentDetector().detect(grey)[0]
    lines = np.zeros((0, 4)) if found is None else np.asarray(found, np.float64).reshape(-1, 4)
    lengths = np.hypot(lines[:, 2] - lines[:, 0], lines[:, 3] - lines[:, 1])
    order = np.argsort(-lengths, kind="stable")
    return lines[order[lengths[order] >= length * min(grey.shape)]]


def draw_lines(lines: NDArray[np.floating], size: tuple[int, int]) -> NDArray[np.uint8]:
    """Lines, one pixel wide, as a map of `size` = (height, width); ends are cut to whole pixels, as published."""
    import cv2

    canvas = np.zeros(size, np.uint8)
    for x1, y1, x2, y2 in lines.astype(np.int64).tolist():
        cv2.line(canvas, (x1, y1), (x2, y2), 255, 1)
    return canvas
