"""Segmentation (`ade20k`, `coco`): the class of each pixel, by the published networks.

Ids are uint8 (h, w): 0..149 of ADE20K, 0..170 of COCO-Stuff, `NONE` (255) where there is no class. `palettes.paint`
turns them into maps.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from cn.detect.detector import batch_by_size
from cn.detect.segmentation.palettes import ids_of_coco_labels

if TYPE_CHECKING:
    from torch import Tensor

    from cn.detect.nets.deeplab import DeepLabV2MSC
    from cn.detect.nets.upernet import UniFormerUPerNet

ADE20K_SHORT, ADE20K_LONG = 512, 2048
"""UniFormer gets images with the first as short side, unless the long side would exceed the second."""

COCO_LONG = 513
"""DeepLab gets images with this long side."""

ADE20K_MIN_SIDE, COCO_MIN_SIDE = 32, 16
"""The shortest side that the networks can process; only images with an aspect ratio above 32:1 are distorted."""


def ade20k_ids(
    network: "UniFormerUPerNet",
    images: Sequence[NDArray[np.uint8]],
    *,
    swapped_channels: bool = False,
    batch: int = 1,
) -> list[NDArray[np.uint8]]:
    """Ids 0..149 (h, w) of images (h, w, 3) RGB of any sizes, by UniFormer.

    Preprocessed as in the network's training. The released annotator swaps red and blue; so does `swapped_channels`,
    with that annotator's results. Up to `batch` images that are resized to the same size are one batch.
    """
    mean, std = np.array(network.mean, np.float32), np.array(network.std, np.float32)
    order = -1 if swapped_channels else 1
    resized = [_resized(image, ade20k_size(*image.shape[:2])) for image in images]
    preprocessed = [(x[..., ::order] - mean) / std for x in resized]
    return _classes(network, images, preprocessed, batch)


def coco_ids(
    network: "DeepLabV2MSC", images: Sequence[NDArray[np.uint8]], *, multi_scale: bool = False, batch: int = 1
) -> list[NDArray[np.uint8]]:
    """Ids 0..170 (h, w) of images (h, w, 3) RGB of any sizes, by DeepLabV2.

    `multi_scale` uses three scales, as its authors evaluate the network, and takes nearly twice as long. A pixel for
    which the network finds one of the eleven labels that COCO-Stuff never uses is `NONE`. Up to `batch` images that
    are resized to the same size are one batch.
    """
    mean, table = np.array(network.mean, np.float32), ids_of_coco_labels()
    resized = [_resized(image, coco_size(*image.shape[:2])) for image in images]
    preprocessed = [x[..., ::-1] - mean for x in resized]
    return [table[labels] for labels in _classes(network, images, preprocessed, batch, multi_scale)]


def ade20k_size(height: int, width: int) -> tuple[int, int]:
    """(height, width) to which images are resized for UniFormer; as mmseg, which rounds halves up."""
    scale = min(ADE20K_LONG / max(height, width), ADE20K_SHORT / min(height, width))
    return max(ADE20K_MIN_SIDE, int(height * scale + 0.5)), max(ADE20K_MIN_SIDE, int(width * scale + 0.5))


def coco_size(height: int, width: int) -> tuple[int, int]:
    """(height, width) to which images are resized for DeepLab; as OpenCV, which rounds halves to even."""
    scale = COCO_LONG / max(height, width)
    return max(COCO_MIN_SIDE, round(height * scale)), max(COCO_MIN_SIDE, round(width * scale))


def argmax_resized(logits: "Tensor", *sizes: tuple[int, int]) -> NDArray[np.uint8]:
    """The class with the largest of logits (C ≤ 255, h, w), after resizing them to each of `sizes` in turn.

    Bilinear as in torch, with `align_corners=False`; the first of `sizes` is not smaller than (h, w). Of equal logits
    the first counts. Classes are resized one by one, and those that cannot be the largest anywhere are skipped: all 150
    logits of an image of 12 million pixels would take 7 GB, and this holds two of them. The result is that of resizing
    all of them, except where the best two are equal up to the last bit: there torch's own result depends on the number
    of threads and classes.
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
    """The classes of (C, h, w) that may be the largest somewhere.

    An interpolated value is between the values around it, and two interpolations in turn, of which the first enlarges,
    use no more than 3×3 cells. So a class whose highest value in each 3×3 cells is below the lowest value of some other
    class there is never the largest.
    """
    from torch.nn import functional as F

    highest = F.max_pool2d(logits, 3, 1, 1)
    lowest = -F.max_pool2d(-logits, 3, 1, 1)
    rounding = 1e-5 * logits.abs().amax()
    possible = highest >= lowest.amax(dim=0) - rounding
    return possible.flatten(1).any(dim=1).nonzero().flatten().tolist()


def _resized(image: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    """(h, w, 3) at `size`, bilinear without antialiasing, as in the training of both networks."""
    import cv2

    return np.asarray(cv2.resize(image, size[::-1], interpolation=cv2.INTER_LINEAR))


def _classes(
    network: "UniFormerUPerNet | DeepLabV2MSC",
    images: Sequence[NDArray[np.uint8]],
    preprocessed: Sequence[NDArray[np.float32]],
    batch: int,
    *options: bool,
) -> list[NDArray[np.uint8]]:
    """The classes in the preprocessed images, at the sizes of the original images."""
    logits = batch_by_size(preprocessed, batch, lambda stack: _run(network, stack, *options))
    return [
        argmax_resized(logits_of_one, x.shape[:2], image.shape[:2])
        for logits_of_one, x, image in zip(logits, preprocessed, images, strict=True)
    ]


def _run(network: "UniFormerUPerNet | DeepLabV2MSC", preprocessed: NDArray[np.float32], *options: bool) -> "Tensor":
    """(n, h, w, 3) → logits (n, C, h', w'), float32 where the network is."""
    import torch

    from cn.detect.nets.arrays import check_finite, to_tensor

    with torch.inference_mode():
        logits = network(to_tensor(preprocessed, network), *options).float().contiguous()
    check_finite(logits, network)
    return logits
