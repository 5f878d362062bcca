"""People by torchvision's Keypoint R-CNN: COCO's 17 keypoints in boxes, converted to the 18 joints of OpenPose."""

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from cn.detect.pose.coco_skeleton import to_openpose
from cn.detect.pose.people import People

if TYPE_CHECKING:
    from torch import nn

MIN_BOX_SCORE = 0.9
"""Minimum confidence of a person's box."""

MIN_POINT_LOGIT = 2.0
"""Minimum logit of a keypoint: the threshold at which the network's authors start to draw them."""


def find_people(
    network: "nn.Module",
    images: NDArray[np.uint8],
    min_box_score: float = MIN_BOX_SCORE,
    min_point_logit: float = MIN_POINT_LOGIT,
) -> list[People]:
    """The people in each of the images (n, h, w, 3) RGB. Scores of joints are 0..1, those of people their boxes'."""
    import torch

    device = next(network.parameters()).device
    with torch.inference_mode():
        inputs = [torch.from_numpy(np.ascontiguousarray(image)).to(device) for image in images]
        outputs = network([image.permute(2, 0, 1).float() / 255.0 for image in inputs])
    return [to_people(output, min_box_score, min_point_logit) for output in outputs]


def to_people(
    output: dict[str, Any], min_box_score: float = MIN_BOX_SCORE, min_point_logit: float = MIN_POINT_LOGIT
) -> People:
    """The network's output for an image (tensors "scores", "keypoints", "keypoints_scores") as people."""
    scores, places, logits = (
        output[name].double().cpu().numpy() for name in ("scores", "keypoints", "keypoints_scores")
    )
    kept = scores >= min_box_score
    logits = logits[kept]
    points = np.concatenate([places[kept][..., :2], 1 / (1 + np.exp(-logits[..., None]))], axis=-1)
    points[logits < min_point_logit] = 0
    return People(to_openpose(points), scores[kept])
