"""Keypoint R-CNN: torchvision's network of boxes around people with 17 key points in each.

torchvision has the network; it is made here without its downloads, with the frozen norms of the published weights.
"""

import torch
from torchvision.models.detection import KeypointRCNN
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.backbone_utils import resnet_fpn_backbone
from torchvision.ops import FrozenBatchNorm2d

KEYPOINTS = 17
"""COCO's key points: nose, eyes, ears, shoulders, elbows, wrists, hips, knees, ankles; left before right."""


def keypoint_rcnn() -> KeypointRCNN:
    """keypointrcnn_resnet50_fpn_coco-fc266e95.pth, which torchvision calls COCO_V1.

    It takes a list of RGB pictures (3, h, w) of 0..1 and gives, for each, boxes with scores and key points.
    """
    backbone = resnet_fpn_backbone(
        backbone_name="resnet50", weights=None, norm_layer=FrozenBatchNorm2d, trainable_layers=0
    )
    # Made on the CPU even where parameters are not: anchors are numbers, and no file holds them.
    with torch.device("cpu"):
        anchors = AnchorGenerator(((32,), (64,), (128,), (256,), (512,)), ((0.5, 1.0, 2.0),) * 5)
    network = KeypointRCNN(backbone, num_classes=2, num_keypoints=KEYPOINTS, rpn_anchor_generator=anchors)
    for module in network.modules():
        if isinstance(module, FrozenBatchNorm2d):
            # These weights were trained before torchvision's norms had an epsilon.
            module.eps = 0.0
    return network
