"""The paper's baseline without a ControlNet: the condition as further input channels of the U-Net (§4.3, Fig. 20)."""

import torch.nn.functional as F
from torch import Tensor, nn

from cn.model.attention import Context
from cn.model.config import UNetConfig


class ConcatBaseline(nn.Module):
    """z_t, t, c_t and the condition c_i → what c_i adds to the output of the U-Net's input convolution.

    Stability's depth model adds a channel to the input of Stable Diffusion, with zero weights, and continues the
    training of the whole U-Net. The convolution of more channels is a sum, conv([z_t; c]) = conv(z_t) + conv'(c), so
    the weights conv' of the further channels are kept here, and the U-Net keeps its layout. It has the call of a
    ControlNet, so that it is trained and sampled by the same code.
    """

    links = "full"
    pooled = False

    def __init__(self, config: UNetConfig, *, condition_channels: int = 3):
        super().__init__()
        self.config = config
        self.condition_channels = condition_channels
        self.channels = nn.Conv2d(condition_channels, config.channels[0], 3, padding=1, bias=False)
        nn.init.zeros_(self.channels.weight)

    def encode(self, hint: Tensor, cells: tuple[int, int]) -> Tensor:
        """(B, 3, 8H, 8W) in [0, 1] → (B, C0, H, W), for latents of `cells` = (H, W).

        The condition is averaged over each latent cell and scaled to [-1, 1].
        """
        return self.channels(2 * F.interpolate(hint, size=cells, mode="area") - 1)

    def residuals(self, z: Tensor, t: Tensor, text: Context, encoded: Tensor) -> list[Tensor | None]:
        """The encoded condition (B, C0, H, W) → None for each connection, then what it adds to the input."""
        return [*[None] * self.config.connections, encoded]

    def forward(self, z: Tensor, t: Tensor, text: Context, hint: Tensor) -> list[Tensor | None]:
        """(B, 4, H, W), (B,), (B, 77, C), (B, 3, 8H, 8W) in [0, 1] → None for each connection, then (B, C0, H, W)."""
        return self.residuals(z, t, text, self.encode(hint, (z.shape[-2], z.shape[-1])))
