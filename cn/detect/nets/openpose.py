"""OpenPose's networks of 2017: bodies with 18 key points, and hands with 21; layers are named as in the Caffe models.

Both look at an image through the first layers of VGG-19, at an eighth of its size, and refine their maps in six
stages: each sees the maps of the stage before beside those features. Source: annotator/openpose/model.py of the
release, which has them from Hzzone/pytorch-openpose.
"""

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

STRIDE = 8
"""Pixels of the image for each cell of the maps; both sides of an image must be multiples of it."""

KEYPOINTS, PARTS = 18, 38
"""Maps of key points that `BodyNetwork` gives, besides one for the background, and of part affinities."""

HAND_KEYPOINTS = 21

STAGES = range(2, 7)
"""The refining stages, as they are numbered."""

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
    """What both networks are made of: named convolutions, run one after the other."""

    def _add(self, name: str, inputs: int, outputs: int, kernel: int = 3) -> str:
        self.add_module(name, nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2))
        return name

    def _add_features(self, layers: Sequence[tuple[str, int, int]]) -> list[str]:
        """3×3 layers (name, inputs, outputs) after those of VGG-19."""
        return [self._add(*layer) for layer in (*_VGG, *layers)]

    def _add_refinement(self, stage: str, inputs: int, outputs: int) -> list[str]:
        """A later stage: five wide layers and two that mix channels. `stage` ends the names of the layers."""
        wide = [self._add(f"Mconv{n}_{stage}", inputs if n == 1 else _WIDTH, _WIDTH, kernel=7) for n in range(1, 6)]
        narrow = [self._add(f"Mconv{n}_{stage}", _WIDTH, width, kernel=1) for n, width in ((6, _WIDTH), (7, outputs))]
        return wide + narrow

    def _run(self, x: Tensor, layers: Sequence[str], last: Callable[[Tensor], Tensor] = F.relu) -> Tensor:
        """The layers, each with a ReLU, the last one with `last`; halved where VGG halves."""
        for name in layers:
            x = self.get_submodule(name)(x)
            x = last(x) if name == layers[-1] else F.relu(x, inplace=True)
            if name in _HALVED_AFTER:
                x = F.max_pool2d(x, 2)
        return x


def _as_it_is(x: Tensor) -> Tensor:
    return x


class BodyNetwork(_Stages):
    """body_pose_model.pth: where key points are, and in which directions limbs run."""

    def __init__(self) -> None:
        super().__init__()
        self.features = self._add_features((("conv4_3_CPM", 512, 256), ("conv4_4_CPM", 256, _WIDTH)))
        self.branches: list[list[list[str]]] = []
        # L1 gives the part affinities, L2 the key points and the background.
        for branch, outputs in (("L1", PARTS), ("L2", KEYPOINTS + 1)):
            first = [self._add(f"conv5_{n}_CPM_{branch}", _WIDTH, _WIDTH) for n in (1, 2, 3)]
            first += [self._add(f"conv5_4_CPM_{branch}", _WIDTH, 512, kernel=1)]
            first += [self._add(f"conv5_5_CPM_{branch}", 512, outputs, kernel=1)]
            inputs = _WIDTH + PARTS + KEYPOINTS + 1
            later = [self._add_refinement(f"stage{n}_{branch}", inputs, outputs) for n in STAGES]
            self.branches.append([first, *later])

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """BGR (B, 3, H, W) of -0.5 … 0.5 → key points (B, 19, H / 8, W / 8), part affinities (B, 38, H / 8, W / 8).

        The published code names the last layer of L1 twice in its list of layers without a ReLU and forgets that of
        L2, so the key points of the last stage are never negative. Kept: the peaks found are those it finds.
        """
        features = self._run(x, self.features)
        seen = features
        for parts, points in zip(*self.branches, strict=True):
            final = points is self.branches[1][-1]
            affinities = self._run(seen, parts, _as_it_is)
            heat = self._run(seen, points, F.relu if final else _as_it_is)
            seen = torch.cat([affinities, heat, features], dim=1)
        return heat, affinities


class HandNetwork(_Stages):
    """hand_pose_model.pth: where the 21 key points of the one hand in an image are."""

    def __init__(self) -> None:
        super().__init__()
        wide = tuple((name, 512, 512) for name in ("conv4_3", "conv4_4", "conv5_1", "conv5_2"))
        self.features = self._add_features((*wide, ("conv5_3_CPM", 512, _WIDTH)))
        outputs = HAND_KEYPOINTS + 1
        first = [self._add("conv6_1_CPM", _WIDTH, 512, kernel=1), self._add("conv6_2_CPM", 512, outputs, kernel=1)]
        self.stages = [first, *(self._add_refinement(f"stage{n}", _WIDTH + outputs, outputs) for n in STAGES)]

    def forward(self, x: Tensor) -> Tensor:
        """BGR (B, 3, H, W) of -0.5 … 0.5 → key points and the background (B, 22, H / 8, W / 8)."""
        features = self._run(x, self.features)
        seen = features
        for stage in self.stages:
            heat = self._run(seen, stage, _as_it_is)
            seen = torch.cat([heat, features], dim=1)
        return heat
