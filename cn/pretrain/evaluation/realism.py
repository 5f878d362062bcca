"""The Fréchet distance of samples from renderings, by features of the reader.

Not comparable with published FIDs, whose features are those of photographs.
"""

import numpy as np
import torch

from cn.caption.scene_reader import SceneReader, prepare
from cn.eval.distances import Features, fid
from cn.pretrain.evaluation.held_out import Images
from cn.pretrain.evaluation.report import Figures, number


@torch.inference_mode()
def features(reader: SceneReader, images: Images, batch_size: int) -> Features:
    """What the reader has seen of the whole of each image, (n, d)."""
    device, found = reader.stem.weight.device, []
    for first in range(0, len(images), batch_size):
        _, whole = reader.features(prepare(list(images[first : first + batch_size]), device))
        found.append(whole.double().cpu().numpy())
    return np.concatenate(found)


def frechet(true: Features, samples: Features, reconstructions: Features) -> Figures:
    """The distances of samples and of reconstructions from the renderings, and of the two halves of these.

    The halves tell how far apart as many images of one kind are by chance: with few images that is far. Samples are
    compared in halves too (the first half of the renderings with the second of the samples), so that no image is
    compared with one of the same scene.
    """
    half = len(true) // 2

    def apart(others: Features) -> float:
        return (fid(true[:half], others[half:]) + fid(true[half:], others[:half])) / 2

    return {
        "samples": number(apart(samples)),
        "reconstructions": number(apart(reconstructions)),
        "renderings": number(apart(true)),
        "images": len(true),
    }
