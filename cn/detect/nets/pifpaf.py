"""OpenPifPaf: composite fields of human joints from one pass of a ShuffleNetV2 with 5×5 kernels, in two sizes.

Two heads on the last features: composite intensity fields (CIF) localize joints, composite association fields (CAF)
connect them. Described by Kreiss et al., "OpenPifPaf: Composite Fields for Semantic Keypoint Detection" (2021); layers
and channels are those of the published files (release 0.13, and 0.12 with `head_version` 3).
"""

from collections.abc import Mapping, Sequence
from typing import Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn

MULTIPLE = 16
"""Both sides of an image must be a multiple of this, plus one, so that the corners of image and fields coincide."""

STRIDE = 8
"""Pixels between two cells of the fields."""

JOINTS, LIMBS = 17, 19
"""Fields of the two heads."""

_EPSILON = 1e-3
_ENLARGED = 2


class _Unit(nn.Module):
    """Two branches with shuffled channels; the first one is half of the input, or a convolution if the stride is 2."""

    def __init__(self, inputs: int, outputs: int, halves: bool):
        super().__init__()
        width = outputs // 2
        self.branch1 = nn.Sequential(*_depthwise(inputs, 2), *_pointwise(inputs, width)) if halves else None
        wide = _pointwise(inputs if halves else width, width)
        self.branch2 = nn.Sequential(*wide, *_depthwise(width, 2 if halves else 1), *_pointwise(width, width))

    def forward(self, x: Tensor) -> Tensor:
        if self.branch1 is None:
            kept, changed = x.chunk(2, dim=1)
            both = torch.stack([kept, self.branch2(changed)], dim=2)
        else:
            both = torch.stack([self.branch1(x), self.branch2(x)], dim=2)
        # Interleaves the channels of both branches.
        return both.flatten(1, 2)


def _depthwise(channels: int, stride: int) -> list[nn.Module]:
    conv = nn.Conv2d(channels, channels, 5, stride, padding=2, groups=channels, bias=False)
    return [conv, nn.BatchNorm2d(channels, _EPSILON)]


def _pointwise(inputs: int, outputs: int) -> list[nn.Module]:
    conv = nn.Conv2d(inputs, outputs, 1, bias=False)
    return [conv, nn.BatchNorm2d(outputs, _EPSILON), nn.ReLU(inplace=True)]


class _ShuffleNetV2K(nn.Module):
    """Images to features at 1/16 of their size."""

    def __init__(self, first: int, width: int, repeats: Sequence[int], last: int):
        super().__init__()
        conv = nn.Conv2d(3, first, 3, 2, padding=1, bias=False)
        norm = nn.BatchNorm2d(first, _EPSILON)
        self.input_block = nn.Sequential(nn.Sequential(conv, norm, nn.ReLU(inplace=True)))
        widths = (first, width, 2 * width, 4 * width)
        self.stage2, self.stage3, self.stage4 = (
            nn.Sequential(_Unit(i, o, True), *(_Unit(o, o, False) for _ in range(n - 1)))
            for i, o, n in zip(widths[:-1], widths[1:], repeats, strict=True)
        )
        self.conv5 = nn.Sequential(*_pointwise(widths[-1], last))

    def forward(self, x: Tensor) -> Tensor:
        return self.conv5(self.stage4(self.stage3(self.stage2(self.input_block(x)))))


class _CompositeField(nn.Module):
    """One head: for each field and cell an unused width, a confidence, `vectors` positions and as many sizes.

    Version 4 of the head has this order. Version 3 has the widths after the positions, one for each of them; its output
    is reordered to that of version 4.
    """

    def __init__(self, inputs: int, fields: int, vectors: int, version: int):
        super().__init__()
        places, sizes = 2 * vectors, vectors
        self.fields, self.places = fields, places
        self.order: list[int] | None = None
        channels = 2 + places + sizes
        if version == 3:
            channels = 1 + places + vectors + sizes
            self.order = [1 + places, *range(1 + places), *range(channels - sizes, channels)]
        self.conv = nn.Conv2d(inputs, fields * channels * _ENLARGED**2, 1)

    def forward(self, x: Tensor) -> Tensor:
        # After upsampling, the last row and column lie outside of the image.
        x = F.pixel_shuffle(self.conv(x), _ENLARGED)[..., :-1, :-1]
        # Half precision cannot represent the coordinates of distant cells.
        x = x.float()
        x = x.unflatten(1, (self.fields, -1))
        if self.order is not None:
            x = x[:, :, self.order]
        height, width = x.shape[-2:]
        columns = torch.arange(width, dtype=x.dtype, device=x.device).expand(height, width)
        rows = torch.arange(height, dtype=x.dtype, device=x.device)[:, None].expand(height, width)
        cells = torch.stack([columns, rows]).repeat(self.places // 2, 1, 1)
        end = 2 + self.places
        parts = [x[:, :, :1], x[:, :, 1:2].sigmoid(), x[:, :, 2:end] + cells, F.softplus(x[:, :, end:])]
        return torch.cat(parts, dim=2)


class _PifPaf(nn.Module):
    """The published network: features and the two heads."""

    def __init__(self, base: nn.Module, features: int, head_version: int):
        super().__init__()
        self.base_net = base
        heads = ((JOINTS, 1), (LIMBS, 2))
        self.head_nets = nn.ModuleList(_CompositeField(features, *head, head_version) for head in heads)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """RGB (B, 3, 16 a + 1, 16 b + 1), normalized by ImageNet's mean and std → CIF and CAF, a cell per 8 pixels.

        CIF (B, 17, 5, 2 a + 1, 2 b + 1): an unused value, confidence in 0..1, x, y, size. CAF (B, 19, 8, …): an unused
        value, confidence, x and y of one end, x and y of the other, sizes of both. Positions and sizes are in cells;
        the centers of cells have integer coordinates.
        """
        features = self.base_net(x)
        cif, caf = (head(features) for head in self.head_nets)
        return cif, caf


_CAF = "head_nets.1.conv.weight"
_CAF_ROWS_OF_VERSION_3 = 19 * 9 * 4


class _OfHeadVersion:
    @classmethod
    def for_tensors(cls, shapes: Mapping[str, tuple[int, ...]]) -> Self:
        """With heads of version 3 or 4, depending on the file."""
        return cls(3 if shapes[_CAF][:1] == (_CAF_ROWS_OF_VERSION_3,) else 4)  # type: ignore[call-arg]


class ShuffleNetV2K16(_OfHeadVersion, _PifPaf):
    """shufflenetv2k16-…-cocokp-….pkl: 10.1 million parameters."""

    def __init__(self, head_version: int = 4) -> None:
        super().__init__(_ShuffleNetV2K(24, 348, (4, 8, 4), 1392), 1392, head_version)


class ShuffleNetV2K30(_OfHeadVersion, _PifPaf):
    """shufflenetv2k30-…-cocokp-….pkl: 30 million parameters."""

    def __init__(self, head_version: int = 4) -> None:
        super().__init__(_ShuffleNetV2K(32, 512, (8, 16, 6), 2048), 2048, head_version)
