"""People by torchvision's Keypoint R-CNN: COCO's 17 key points in boxes, brought to the 18 joints of OpenPose."""

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from cn.detect.pose.coco_skeleton import to_openpose

if TYPE_CHECKING:
    from torch import nn

    from cn.detect.pose.people import People

BOX_SCORE = 0.9
"""How sure the network must be that a box holds a person."""

POINT_LOGIT = 2.0
"""The height of its map that a key point must reach: where the network's authors begin to draw them."""


def find_people(
    network: "nn.Module", images: NDArray[np.uint8], box_score: float = BOX_SCORE, point_logit: float = POINT_LOGIT
) -> "list[People]":
    """Who is in each of the images (n, h, w, 3) RGB. Scores of joints are 0..1, those of people their boxes'."""
    import torch

    device = next(network.parameters()).device
    with torch.inference_mode():
        pictures = [torch.from_numpy(np.ascontiguousarray(image)).to(device) for image in images]
        found = network([picture.permute(2, 0, 1).float() / 255.0 for picture in pictures])
    return [to_people(boxes, box_score, point_logit) for boxes in found]


def to_people(found: dict[str, Any], box_score: float = BOX_SCORE, point_logit: float = POINT_LOGIT) -> "People":
    """What the network gives for an image (tensors "scores", "keypoints", "keypoints_scores") as people."""
    from cn.detect.pose.people import People

    scores, places, logits = (
        found[name].double().cpu().numpy() for name in ("scores", "keypoints", "keypoints_scores")
    )
    sure = scores >= box_score
    logits = logits[sure]
    points = np.concatenate([places[sure][..., :2], 1 / (1 + np.exp(-logits[..., None]))], axis=-1)
    points[logits < point_logit] = 0
    return People(to_openpose(points), scores[sure])
