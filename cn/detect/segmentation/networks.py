"""Segmentation (`ade20k`, `coco`): what class each pixel belongs to, by the published networks.

Ids are uint8 (h, w): 0..149 of ADE20K, 0..170 of COCO-Stuff, `NONE` (255) where there is no class. `palettes.paint`
makes maps of them.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from cn.detect.detector import by_size
from cn.detect.segmentation.palettes import ids_of_coco_labels

if TYPE_CHECKING:
    from torch import Tensor

    from cn.detect.nets.deeplab import DeepLabV2MSC
    from cn.detect.nets.upernet import UniFormerUPerNet

ADE20K_SHORT, ADE20K_LONG = 512, 2048
"""UniFormer sees an image with its short side at the first, unless the long side would be longer than the second."""

COCO_LONG = 513
"""DeepLab sees an image with this long side."""

ADE20K_LEAST, COCO_LEAST = 32, 16
"""No side gets shorter, which would leave the networks nothing to look at; only images beyond 32:1 are squashed."""


def ade20k_ids(
    network: "UniFormerUPerNet",
    pictures: Sequence[NDArray[np.uint8]],
    *,
    swapped_channels: bool = False,
    batch: int = 1,
) -> list[NDArray[np.uint8]]:
    """Ids 0..149 (h, w) of images (h, w, 3) RGB of any sizes, by UniFormer.

    Prepared as the network was trained. The released annotator hands it red and blue the wrong way round;
    `swapped_channels` does so too, and its results are that annotator's. Up to `batch` images that the network sees
    at one size go through it together.
    """
    mean, deviation = np.array(network.mean, np.float32), np.array(network.deviation, np.float32)
    order = -1 if swapped_channels else 1
    resized = [_resized(picture, ade20k_size(*picture.shape[:2])) for picture in pictures]
    prepared = [(seen[..., ::order] - mean) / deviation for seen in resized]
    return _classes(network, pictures, prepared, batch)


def coco_ids(
    network: "DeepLabV2MSC", pictures: Sequence[NDArray[np.uint8]], *, multi_scale: bool = False, batch: int = 1
) -> list[NDArray[np.uint8]]:
    """Ids 0..170 (h, w) of images (h, w, 3) RGB of any sizes, by DeepLabV2.

    `multi_scale` looks at three sizes, as its authors evaluate the network, and takes nearly twice as long. A pixel
    for which the network finds one of the eleven labels that COCO-Stuff never uses is `NONE`. Up to `batch` images
    that the network sees at one size go through it together.
    """
    mean, table = np.array(network.mean, np.float32), ids_of_coco_labels()
    resized = [_resized(picture, coco_size(*picture.shape[:2])) for picture in pictures]
    prepared = [seen[..., ::-1] - mean for seen in resized]
    return [table[labels] for labels in _classes(network, pictures, prepared, batch, multi_scale)]


def ade20k_size(height: int, width: int) -> tuple[int, int]:
    """(height, width) at which UniFormer sees an image; as mmseg, which rounds halves up."""
    scale = min(ADE20K_LONG / max(height, width), ADE20K_SHORT / min(height, width))
    return max(ADE20K_LEAST, int(height * scale + 0.5)), max(ADE20K_LEAST, int(width * scale + 0.5))


def coco_size(height: int, width: int) -> tuple[int, int]:
    """(height, width) at which DeepLab sees an image; as OpenCV, which rounds halves to even."""
    scale = COCO_LONG / max(height, width)
    return max(COCO_LEAST, round(height * scale)), max(COCO_LEAST, round(width * scale))


def largest(logits: "Tensor", *sizes: tuple[int, int]) -> NDArray[np.uint8]:
    """The class with the largest of logits (C ≤ 255, h, w) after they were brought to each of `sizes` in turn.

    Bilinear, as torch does it, with corners not aligned; the first of `sizes` is no smaller than (h, w). Of equal
    logits the first counts. Classes are enlarged one by one, and those that cannot be the largest anywhere not at all:
    all 150 logits of an image of 12 million pixels would be 7 GB, and this holds two of them. The result is that of
    enlarging all of them, but where the best two are equal to within the last bit: there torch itself gives now the
    one and now the other, by its number of threads and of classes.
    """
    import torch
    from torch.nn import functional as F

    best = torch.full(sizes[-1], -torch.inf, device=logits.device)
    ids = torch.zeros(sizes[-1], dtype=torch.uint8, device=logits.device)
    for number in _candidates(logits):
        plane = logits[None, number : number + 1]
        for size in sizes:
            plane = F.interpolate(plane, size, mode="bilinear", align_corners=False)
        ids.masked_fill_(plane[0, 0] > best, number)
        torch.maximum(best, plane[0, 0], out=best)
    return ids.cpu().numpy()


def _candidates(logits: "Tensor") -> list[int]:
    """Those of the classes of (C, h, w) that may be the largest somewhere.

    What is interpolated lies between the values around it, and two interpolations in turn, of which the first
    enlarges, reach no farther than 3×3 cells. So a class whose highest value in each 3×3 cells is below the lowest that
    some other class has there is never the largest.
    """
    from torch.nn import functional as F

    highest = F.max_pool2d(logits, 3, 1, 1)
    lowest = -F.max_pool2d(-logits, 3, 1, 1)
    rounding = 1e-5 * logits.abs().amax()
    possible = highest >= lowest.amax(dim=0) - rounding
    return possible.flatten(1).any(dim=1).nonzero().flatten().tolist()


def _resized(picture: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    """(h, w, 3) at `size`, bilinear between neighbors whatever the factor, as both networks were trained."""
    import cv2

    return np.asarray(cv2.resize(picture, size[::-1], interpolation=cv2.INTER_LINEAR))


def _classes(
    network: "UniFormerUPerNet | DeepLabV2MSC",
    pictures: Sequence[NDArray[np.uint8]],
    prepared: Sequence[NDArray[np.float32]],
    batch: int,
    *options: bool,
) -> list[NDArray[np.uint8]]:
    """What the network finds in the prepared images, at the sizes of the pictures."""
    logits = by_size(prepared, batch, lambda together: _run(network, together, *options))
    return [
        largest(of_one, seen.shape[:2], picture.shape[:2])
        for of_one, seen, picture in zip(logits, prepared, pictures, strict=True)
    ]


def _run(network: "UniFormerUPerNet | DeepLabV2MSC", prepared: NDArray[np.float32], *options: bool) -> "Tensor":
    """(n, h, w, 3) → logits (n, C, h', w'), float32 where the network is."""
    import torch

    from cn.detect.nets.arrays import check_finite, to_tensor

    with torch.inference_mode():
        logits = network(to_tensor(prepared, network), *options).float().contiguous()
    check_finite(logits, network)
    return logits
