"""MiDaS v2.1 small, a depth network for CPUs: EfficientNet-Lite3 and a light decoder.

Names are those of the published file, midas_v21_small_256.pt (midas_v21_small-70d6b9c8.pt). The backbone is timm's
tf_efficientnet_lite3. Source: MiDaS midas_net_custom.py.
"""

from typing import Any

import timm
from torch import Tensor, nn

from cn.detect.nets.midas_blocks import Decoder, DepthNetwork


class Encoder(nn.Module):
    """`pretrained` of the published file: EfficientNet's blocks in four groups."""

    def __init__(self) -> None:
        super().__init__()
        net: Any = timm.create_model("tf_efficientnet_lite3", pretrained=False)
        # timm's bn1 includes the activation, which is at position 2 of the published sequence.
        self.layer1 = nn.Sequential(net.conv_stem, net.bn1, nn.Identity(), *net.blocks[0:2])
        self.layer2 = nn.Sequential(*net.blocks[2:3])
        self.layer3 = nn.Sequential(*net.blocks[3:5])
        self.layer4 = nn.Sequential(*net.blocks[5:7])

    def forward(self, x: Tensor) -> list[Tensor]:
        """(B, 3, H, W) → features at 1/4, 1/8, 1/16, 1/32 of the size with 32, 48, 136, 384 channels."""
        features = []
        for layer in (self.layer1, self.layer2, self.layer3, self.layer4):
            x = layer(x)
            features.append(x)
        return features


class MidasSmall(DepthNetwork):
    """Normalized RGB images (B, 3, H, W), sides multiples of 32 → inverse depth (B, H, W) ≥ 0, large where near."""

    mean = (0.485, 0.456, 0.406)
    std = (0.229, 0.224, 0.225)
    side = 256
    midas_rule = "upper_bound"
    default_preprocessing = "midas"

    def __init__(self) -> None:
        super().__init__()
        self.pretrained = Encoder()
        self.scratch = Decoder((32, 48, 136, 384), (64, 128, 256, 512), head=32, align_corners=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.scratch(self.pretrained(x))
