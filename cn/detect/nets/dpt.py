"""MiDaS DPT-hybrid, the depth network of the paper: a ResNet-50 stem under a ViT-B/16, and a convolutional decoder.

Names are those of the published file, dpt_hybrid-midas-501f0c75.pt (MiDaS v3: dpt_hybrid_384.pt). The backbone is
timm's vit_base_r50_s16_384. Source: MiDaS dpt_depth.py and vit.py; Ranftl et al., arXiv:2103.13413.
"""

from typing import Any

import timm
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cn.detect.nets.midas_blocks import Decoder, DepthNetwork

PATCH = 16
WIDTH = 768
HOOKS = (8, 11)
"""Indices of the blocks whose tokens go to the decoder, without the final norm."""


class ProjectReadout(nn.Module):
    """Adds global information to each patch: the class token is concatenated to each patch token and projected."""

    def __init__(self, width: int):
        super().__init__()
        self.project = nn.Sequential(nn.Linear(2 * width, width), nn.GELU())

    def forward(self, tokens: Tensor) -> Tensor:
        """(B, 1 + n, C), the class token first → (B, n, C)."""
        patches = tokens[:, 1:]
        readout = tokens[:, :1].expand_as(patches)
        return self.project(torch.cat([patches, readout], dim=-1))


def _reassemble(width: int, *rest: nn.Module) -> nn.Sequential:
    """The layers of `_to_map`, which also does what is at positions 1 and 2 of the published sequence."""
    return nn.Sequential(ProjectReadout(width), nn.Identity(), nn.Identity(), nn.Conv2d(width, width, 1), *rest)


def _to_map(layers: nn.Sequential, tokens: Tensor, rows: int, columns: int) -> Tensor:
    """(B, 1 + rows·columns, C) → (B, C, rows, columns), or half of that size if the layers have a stride."""
    return layers[1:](layers[0](tokens).transpose(1, 2).unflatten(2, (rows, columns)))


class Encoder(nn.Module):
    """`pretrained` of the published file; it includes an unused classifier and final norm."""

    def __init__(self) -> None:
        super().__init__()
        self.model: Any = timm.create_model("vit_base_r50_s16_384", pretrained=False, num_classes=1000)
        self.act_postprocess3 = _reassemble(WIDTH)
        self.act_postprocess4 = _reassemble(WIDTH, nn.Conv2d(WIDTH, WIDTH, 3, stride=2, padding=1))

    def forward(self, x: Tensor) -> list[Tensor]:
        """(B, 3, H, W) → features at 1/4, 1/8, 1/16, 1/32 of the size with 256, 512, 768, 768 channels."""
        vit, backbone = self.model, self.model.patch_embed.backbone
        rows, columns = x.shape[-2] // PATCH, x.shape[-1] // PATCH
        x = backbone.stem(x)
        stages = []
        for stage in backbone.stages:
            x = stage(x)
            stages.append(x)
        tokens = vit.patch_embed.proj(backbone.norm(x)).flatten(2).transpose(1, 2)
        tokens = torch.cat([vit.cls_token.expand(len(tokens), -1, -1), tokens], dim=1)
        tokens = tokens + self.position(rows, columns)
        hooked = []
        for block in vit.blocks:
            tokens = block(tokens)
            hooked.append(tokens)
        third, fourth = (hooked[i] for i in HOOKS)
        return [
            *stages[:2],
            _to_map(self.act_postprocess3, third, rows, columns),
            _to_map(self.act_postprocess4, fourth, rows, columns),
        ]

    def position(self, rows: int, columns: int) -> Tensor:
        """The learned 24×24 position embedding at another grid, (1, 1 + rows·columns, C), with the class token's."""
        embedding = self.model.pos_embed
        side = int((embedding.shape[1] - 1) ** 0.5)
        grid = embedding[:, 1:].transpose(1, 2).unflatten(2, (side, side))
        grid = F.interpolate(grid, size=(rows, columns), mode="bilinear", align_corners=False)
        return torch.cat([embedding[:, :1], grid.flatten(2).transpose(1, 2)], dim=1)


class DPTHybrid(DepthNetwork):
    """Images (B, 3, H, W) in -1..1, RGB, sides multiples of 32 → inverse depth (B, H, W) ≥ 0, large where near."""

    mean = (0.5, 0.5, 0.5)
    std = (0.5, 0.5, 0.5)
    side = 384
    midas_rule = "minimal"
    default_preprocessing = "released"

    def __init__(self) -> None:
        super().__init__()
        self.pretrained = Encoder()
        self.scratch = Decoder((256, 512, WIDTH, WIDTH), (256,) * 4, head=128, align_corners=True)

    def forward(self, x: Tensor) -> Tensor:
        return self.scratch(self.pretrained(x))
