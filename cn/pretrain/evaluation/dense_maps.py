"""What the dense probe finds in images, compared with the exact labels of scenes: one figure an image."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from cn.detect.segmentation.palettes import ADE20K, COCO_STUFF
from cn.eval.measures.classes import MeanIoU
from cn.eval.measures.comparison import Measure
from cn.eval.measures.keypoints import PCK, pck
from cn.eval.measures.surfaces import NormalAngle
from cn.pretrain.dense import DenseProbe, peaks
from cn.pretrain.evaluation.held_out import Images
from cn.pretrain.labels import Arrays
from cn.pretrain.pool import as_input
from cn.pretrain.session import autocast

DEPTH = Measure("depth correlation", "higher", about="Pearson's r of the depth that is found and of the map")
NECK = 1
"""Of OpenPose's 18 joints, the one that COCO's 17 lack."""
KEYPOINT_PIXELS = 256
"""Keypoints are compared in pixels of an image with this side."""
Scores = NDArray[np.float64]


@dataclass(frozen=True)
class DenseMaps:
    """depth (n, h, w), normals (n, h, w, 3), ids of classes (n, h, w), and keypoints (m, 18, 3) of each image."""

    depth: NDArray[np.float32]
    normals: NDArray[np.float32]
    ade20k: NDArray[np.uint8]
    coco: NDArray[np.uint8]
    keypoints: list[NDArray[np.float64]]


@torch.inference_mode()
def dense_maps(probe: DenseProbe, images: Images, batch_size: int) -> DenseMaps:
    """What the probe finds in images (n, h, w, 3)."""
    device = probe.stem.weight.device
    depth, normals, ade20k, coco, people = [], [], [], [], []
    for first in range(0, len(images), batch_size):
        part = torch.from_numpy(np.ascontiguousarray(images[first : first + batch_size])).to(device)
        with autocast(device):
            reading = probe(as_input(part.permute(0, 3, 1, 2)))
        depth.append(reading.depth[:, 0].float().cpu().numpy())
        normals.append(reading.normals.float().permute(0, 2, 3, 1).cpu().numpy())
        ade20k.append(reading.ade20k.argmax(1).byte().cpu().numpy())
        coco.append(reading.coco.argmax(1).byte().cpu().numpy())
        people += [image.double().numpy() for image in peaks(reading.keypoints)]
    joined = np.concatenate
    return DenseMaps(joined(depth), joined(normals), joined(ade20k), joined(coco), people)


def depth_correlation(labels: Arrays, found: DenseMaps, i: int, j: int) -> float:
    """Pearson's r over the image; NaN for a map without any depth."""
    true, depth = labels["dense_depth"][i].astype(np.float64), found.depth[j].astype(np.float64)
    a, b = true - true.mean(), depth - depth.mean()
    norm = float(np.sqrt((a * a).sum() * (b * b).sum()))
    return float((a * b).sum()) / norm if norm > 0 else float("nan")


def normal_angle(labels: Arrays, found: DenseMaps, i: int, j: int) -> float:
    """The mean angle in degrees where there is a surface; NaN where there is none."""
    true = labels["dense_normals"][i].astype(np.float64) / 127
    surface = np.linalg.norm(true, axis=-1) > 0.5
    if not surface.any():
        return float("nan")
    a, b = true[surface], found.normals[j][surface].astype(np.float64)
    cosine = (a * b).sum(-1) / (np.linalg.norm(a, axis=-1) * np.linalg.norm(b, axis=-1)).clip(1e-6)
    return float(np.degrees(np.arccos(cosine.clip(-1, 1))).mean())


def ade20k_overlap(labels: Arrays, found: DenseMaps, i: int, j: int) -> float:
    """As `MeanIoU`."""
    return MeanIoU(ADE20K).score(labels["dense_ade20k"][i].astype(np.uint8), found.ade20k[j])


def coco_overlap(labels: Arrays, found: DenseMaps, i: int, j: int) -> float:
    """As `MeanIoU`."""
    return MeanIoU(COCO_STUFF).score(labels["dense_coco"][i].astype(np.uint8), found.coco[j])


def keypoint_share(labels: Arrays, found: DenseMaps, i: int, j: int) -> float:
    """As `pck`, of the keypoints that are visible in the scene."""
    return pck(_visible(labels, i), found.keypoints[j] * (KEYPOINT_PIXELS, KEYPOINT_PIXELS, 1))


def coco_keypoint_share(labels: Arrays, found: DenseMaps, i: int, j: int) -> float:
    """The same of the joints that COCO has."""
    given = _visible(labels, i)
    given[:, NECK] = 0
    return pck(given, found.keypoints[j] * (KEYPOINT_PIXELS, KEYPOINT_PIXELS, 1))


def _visible(labels: Arrays, i: int) -> NDArray[np.float64]:
    people = labels["dense_keypoints"][i].astype(np.float64) * (KEYPOINT_PIXELS, KEYPOINT_PIXELS, 1)
    return people * (people[..., 2:] == 1)


COMPARISONS: Mapping[str, tuple[Measure, Callable[[Arrays, DenseMaps, int, int], float]]] = {
    "depth": (DEPTH, depth_correlation),
    "normal": (NormalAngle.measure, normal_angle),
    "ade20k": (MeanIoU.measure, ade20k_overlap),
    "coco": (MeanIoU.measure, coco_overlap),
    "openpose": (PCK.measure, keypoint_share),
    "openpifpaf": (PCK.measure, coco_keypoint_share),
}
"""Kind → its measure, and the figure of scene i and of what is found in image j."""


def dense_scores(kind: str, labels: Arrays, found: DenseMaps, shift: int = 0) -> Scores:
    """(n,): of each scene and its own image, or with `shift` the image of a later scene."""
    compare, count = COMPARISONS[kind][1], len(found.depth)
    return np.array([compare(labels, found, i, (i + shift) % count) for i in range(count)], np.float64)
