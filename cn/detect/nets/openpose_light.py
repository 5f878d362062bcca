"""Lightweight OpenPose: the maps of OpenPose from a MobileNet and one refinement stage, fast enough for a CPU.

Source: models/with_mobilenet.py and modules/conv.py of Daniil-Osokin/lightweight-human-pose-estimation.pytorch
(Apache-2.0, like its weights, checkpoint_iter_370000.pth).
"""

import torch
from torch import Tensor, nn

STRIDE = 8
"""Pixels of the image for each cell of the maps."""

KEYPOINTS, PARTS = 18, 38

_WIDTH = 128
_BLOCKS = (
    *((32, 64, 1, 1), (64, 128, 2, 1), (128, 128, 1, 1), (128, 256, 2, 1), (256, 256, 1, 1), (256, 512, 1, 1)),
    *((512, 512, 1, 2), (512, 512, 1, 1), (512, 512, 1, 1), (512, 512, 1, 1), (512, 512, 1, 1)),
)
"""Of MobileNet, after the first layer: inputs, outputs, stride, dilation. A dilation replaces the fourth stride."""


def _layer(inputs: int, outputs: int, kernel: int = 3, relu: bool = True) -> nn.Sequential:
    """A convolution with bias that keeps the size."""
    layers: list[nn.Module] = [nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2)]
    return nn.Sequential(*layers, *([nn.ReLU()] if relu else []))


def _normed(inputs: int, outputs: int, stride: int = 1, dilation: int = 1, bias: bool = True) -> nn.Sequential:
    """A 3×3 convolution, batch norm, ReLU."""
    conv = nn.Conv2d(inputs, outputs, 3, stride, dilation, dilation, bias=bias)
    return nn.Sequential(conv, nn.BatchNorm2d(outputs), nn.ReLU())


def _separable(inputs: int, outputs: int, stride: int = 1, dilation: int = 1) -> nn.Sequential:
    """A block of MobileNet: a depthwise and a pointwise convolution, with batch norms and ReLUs."""
    deep = nn.Conv2d(inputs, inputs, 3, stride, dilation, dilation, groups=inputs, bias=False)
    across = nn.Conv2d(inputs, outputs, 1, bias=False)
    return nn.Sequential(deep, nn.BatchNorm2d(inputs), nn.ReLU(), across, nn.BatchNorm2d(outputs), nn.ReLU())


def _plain_separable(width: int) -> nn.Sequential:
    """A depthwise and a pointwise convolution without batch norms, with ELUs."""
    deep = nn.Conv2d(width, width, 3, padding=1, groups=width, bias=False)
    return nn.Sequential(deep, nn.ELU(), nn.Conv2d(width, width, 1, bias=False), nn.ELU())


class _Neck(nn.Module):
    """Projects MobileNet's features to fewer channels."""

    def __init__(self, inputs: int):
        super().__init__()
        self.align = _layer(inputs, _WIDTH, kernel=1)
        self.trunk = nn.Sequential(*(_plain_separable(_WIDTH) for _ in range(3)))
        self.conv = _layer(_WIDTH, _WIDTH)

    def forward(self, x: Tensor) -> Tensor:
        x = self.align(x)
        return self.conv(x + self.trunk(x))


class _Mix(nn.Module):
    """A residual block of the refinement stage."""

    def __init__(self, inputs: int):
        super().__init__()
        self.initial = _layer(inputs, _WIDTH, kernel=1)
        self.trunk = nn.Sequential(_normed(_WIDTH, _WIDTH), _normed(_WIDTH, _WIDTH, dilation=2))

    def forward(self, x: Tensor) -> Tensor:
        x = self.initial(x)
        return x + self.trunk(x)


class _Stage(nn.Module):
    """A trunk with two heads: keypoints with the background, and part affinity fields."""

    def __init__(self, trunk: nn.Sequential, hidden: int):
        super().__init__()
        self.trunk = trunk
        self.heatmaps = self._head(hidden, KEYPOINTS + 1)
        self.pafs = self._head(hidden, PARTS)

    @staticmethod
    def _head(hidden: int, outputs: int) -> nn.Sequential:
        return nn.Sequential(_layer(_WIDTH, hidden, kernel=1), _layer(hidden, outputs, kernel=1, relu=False))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        x = self.trunk(x)
        return self.heatmaps(x), self.pafs(x)


class LightBodyNetwork(nn.Module):
    """checkpoint_iter_370000.pth."""

    def __init__(self) -> None:
        super().__init__()
        first = _normed(3, 32, stride=2, bias=False)
        self.model = nn.Sequential(first, *(_separable(*block) for block in _BLOCKS))
        self.cpm = _Neck(512)
        self.initial_stage = _Stage(nn.Sequential(*(_layer(_WIDTH, _WIDTH) for _ in range(3))), 512)
        inputs = _WIDTH + KEYPOINTS + 1 + PARTS
        mixes = nn.Sequential(*(_Mix(_WIDTH if index else inputs) for index in range(5)))
        self.refinement_stages = nn.ModuleList([_Stage(mixes, _WIDTH)])

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """BGR (B, 3, H, W) of -0.5 … 0.5 → keypoints (B, 19, H / 8, W / 8), affinity fields (B, 38, H / 8, W / 8)."""
        features = self.cpm(self.model(x))
        heat, affinities = self.initial_stage(features)
        for stage in self.refinement_stages:
            heat, affinities = stage(torch.cat([features, heat, affinities], dim=1))
        return heat, affinities
