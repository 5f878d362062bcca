"""OpenPose's networks of 2017: bodies with 18 keypoints, and hands with 21; layers are named as in the Caffe models.

Both use the first layers of VGG-19 as features at 1/8 of the image's size, and refine their maps in six stages: the
input of each is the maps of the previous stage and the features. Source: annotator/openpose/model.py of the release,
taken from Hzzone/pytorch-openpose.
"""

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

STRIDE = 8
"""Pixels of the image for each cell of the maps; both sides of an image must be multiples of it."""

KEYPOINTS, PARTS = 18, 38
"""Number of confidence maps of `BodyNetwork`, without the one for the background, and of part affinity fields."""

HAND_KEYPOINTS = 21

STAGES = range(2, 7)
"""Numbers of the refinement stages."""

_WIDTH = 128
_VGG = (
    *(("conv1_1", 3, 64), ("conv1_2", 64, 64), ("conv2_1", 64, 128), ("conv2_2", 128, 128), ("conv3_1", 128, 256)),
    *(
        ("conv3_2", 256, 256),
        ("conv3_3", 256, 256),
        ("conv3_4", 256, 256),
        ("conv4_1", 256, 512),
        ("conv4_2", 512, 512),
    ),
)
_HALVED_AFTER = frozenset({"conv1_2", "conv2_2", "conv3_4"})


class _Stages(nn.Module):
    """Base of both networks: named convolutions that run one after the other."""

    def _add(self, name: str, inputs: int, outputs: int, kernel: int = 3) -> str:
        self.add_module(name, nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2))
        return name

    def _add_features(self, layers: Sequence[tuple[str, int, int]]) -> list[str]:
        """3×3 layers (name, inputs, outputs) after those of VGG-19."""
        return [self._add(*layer) for layer in (*_VGG, *layers)]

    def _add_refinement(self, stage: str, inputs: int, outputs: int) -> list[str]:
        """A refinement stage: five 7×7 layers and two 1×1 layers. `stage` is the suffix of the layers' names."""
        spatial = [self._add(f"Mconv{n}_{stage}", inputs if n == 1 else _WIDTH, _WIDTH, kernel=7) for n in range(1, 6)]
        mixing = [self._add(f"Mconv{n}_{stage}", _WIDTH, width, kernel=1) for n, width in ((6, _WIDTH), (7, outputs))]
        return spatial + mixing

    def _run(self, x: Tensor, layers: Sequence[str], last: Callable[[Tensor], Tensor] = F.relu) -> Tensor:
        """Run the layers, each with a ReLU, the last one with `last`; with VGG's max pooling."""
        for name in layers:
            x = self.get_submodule(name)(x)
            x = last(x) if name == layers[-1] else F.relu(x, inplace=True)
            if name in _HALVED_AFTER:
                x = F.max_pool2d(x, 2)
        return x


def _identity(x: Tensor) -> Tensor:
    return x


class BodyNetwork(_Stages):
    """body_pose_model.pth: confidence maps of keypoints, and part affinity fields of limbs."""

    def __init__(self) -> None:
        super().__init__()
        self.features = self._add_features((("conv4_3_CPM", 512, 256), ("conv4_4_CPM", 256, _WIDTH)))
        self.branches: list[list[list[str]]] = []
        # L1 computes the part affinity fields, L2 the keypoints and the background.
        for branch, outputs in (("L1", PARTS), ("L2", KEYPOINTS + 1)):
            first = [self._add(f"conv5_{n}_CPM_{branch}", _WIDTH, _WIDTH) for n in (1, 2, 3)]
            first += [self._add(f"conv5_4_CPM_{branch}", _WIDTH, 512, kernel=1)]
            first += [self._add(f"conv5_5_CPM_{branch}", 512, outputs, kernel=1)]
            inputs = _WIDTH + PARTS + KEYPOINTS + 1
            later = [self._add_refinement(f"stage{n}_{branch}", inputs, outputs) for n in STAGES]
            self.branches.append([first, *later])

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """BGR (B, 3, H, W) of -0.5 … 0.5 → keypoints (B, 19, H / 8, W / 8), affinity fields (B, 38, H / 8, W / 8).

        The published code lists the last layer of L1 twice among the layers without a ReLU, and not that of L2, so the
        keypoint maps of the last stage are never negative. This is kept, so that the peaks are the same.
        """
        features = self._run(x, self.features)
        stage_input = features
        for parts, points in zip(*self.branches, strict=True):
            final = points is self.branches[1][-1]
            affinities = self._run(stage_input, parts, _identity)
            heat = self._run(stage_input, points, F.relu if final else _identity)
            stage_input = torch.cat([affinities, heat, features], dim=1)
        return heat, affinities


class HandNetwork(_Stages):
    """hand_pose_model.pth: confidence maps of the 21 keypoints of the hand in an image."""

    def __init__(self) -> None:
        super().__init__()
        wide = tuple((name, 512, 512) for name in ("conv4_3", "conv4_4", "conv5_1", "conv5_2"))
        self.features = self._add_features((*wide, ("conv5_3_CPM", 512, _WIDTH)))
        outputs = HAND_KEYPOINTS + 1
        first = [self._add("conv6_1_CPM", _WIDTH, 512, kernel=1), self._add("conv6_2_CPM", 512, outputs, kernel=1)]
        self.stages = [first, *(self._add_refinement(f"stage{n}", _WIDTH + outputs, outputs) for n in STAGES)]

    def forward(self, x: Tensor) -> Tensor:
        """BGR (B, 3, H, W) of -0.5 … 0.5 → keypoints and the background (B, 22, H / 8, W / 8)."""
        features = self._run(x, self.features)
        stage_input = features
        for stage in self.stages:
            heat = self._run(stage_input, stage, _identity)
            stage_input = torch.cat([heat, features], dim=1)
        return heat
