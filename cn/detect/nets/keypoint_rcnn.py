"""Keypoint R-CNN: torchvision's network of boxes around people with 17 keypoints in each.

The network is torchvision's, built here without downloads and with the frozen batch norms of the published weights.
"""

import re

import torch
from torchvision.models import detection
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.backbone_utils import resnet_fpn_backbone
from torchvision.ops import FrozenBatchNorm2d

KEYPOINTS = 17
"""COCO's keypoints: nose, eyes, ears, shoulders, elbows, wrists, hips, knees, ankles; left before right."""


_OLD_PYRAMID = re.compile(r"(backbone\.fpn\.(?:inner|layer)_blocks\.\d+)\.(weight|bias)")
_OLD_PROPOSALS = re.compile(r"(rpn\.head\.conv)\.(weight|bias)")


class KeypointRCNN(detection.KeypointRCNN):
    """keypointrcnn_resnet50_fpn_coco-fc266e95.pth, which torchvision calls COCO_V1.

    Its input is a list of RGB images (3, h, w) of 0..1, its output boxes with scores and keypoints for each.
    """

    @staticmethod
    def renamed(name: str) -> str:
        """A tensor name of the published file, which is older than torchvision's current layers, as in these."""
        name = _OLD_PYRAMID.sub(r"\1.0.\2", name.removeprefix("module."))
        return _OLD_PROPOSALS.sub(r"\1.0.0.\2", name)

    def __init__(self) -> None:
        backbone = resnet_fpn_backbone(
            backbone_name="resnet50", weights=None, norm_layer=FrozenBatchNorm2d, trainable_layers=0
        )
        # On the CPU even if parameters are not: anchors are constants, which no file holds.
        with torch.device("cpu"):
            anchors = AnchorGenerator(((32,), (64,), (128,), (256,), (512,)), ((0.5, 1.0, 2.0),) * 5)
        super().__init__(backbone, num_classes=2, num_keypoints=KEYPOINTS, rpn_anchor_generator=anchors)
        for module in self.modules():
            if isinstance(module, FrozenBatchNorm2d):
                # These weights were trained before torchvision's frozen norms had an epsilon.
                module.eps = 0.0
