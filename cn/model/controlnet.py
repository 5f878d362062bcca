"""ControlNet: a trainable copy of the U-Net's encoder and middle block, connected by zero convolutions (§3.1, §3.2)."""

import copy

import torch
from torch import Tensor, nn

from cn.model.attention import Context
from cn.model.blocks import zero_convolution
from cn.model.condition_encoder import CONDITION_ENCODERS
from cn.model.config import ConditionEncoderKind, Links, UNetConfig
from cn.model.layers import pointwise
from cn.model.unet import Encoder, UNet


class ControlNet(nn.Module):
    """z_t, t, c_t and the condition c_i → one residual per skip connection and one for the middle block.

    `links` "middle" is small-scale training (§3.4): only the middle's residual is computed. The other zero
    convolutions are kept unchanged, so that reconnecting them later starts from zeros, as in the paper.
    `pooled` averages each residual over all cells, so that the condition determines content but not position
    (ControlNet 1.1's "shuffle": global_average_pooling).
    """

    def __init__(
        self,
        config: UNetConfig,
        *,
        condition_encoder: ConditionEncoderKind = "paper",
        condition_channels: int = 3,
        links: Links = "full",
        pooled: bool = False,
    ):
        super().__init__()
        self.config = config
        self.condition_encoder_kind: ConditionEncoderKind = condition_encoder
        self.condition_channels = condition_channels
        self.links: Links = links
        self.pooled = pooled
        self.condition_encoder = CONDITION_ENCODERS[condition_encoder](config.channels[0], condition_channels)
        self.encoder = Encoder(config)
        self.zero_convolutions = nn.ModuleList(zero_convolution(w, w) for w in self.encoder.widths)
        self.zero_middle = zero_convolution(config.channels[-1], config.channels[-1])

    @classmethod
    def from_unet(
        cls, unet: UNet, *, condition_encoder: ConditionEncoderKind = "paper", links: Links = "full"
    ) -> "ControlNet":
        """Clone the encoder's weights Θ into the trainable copy Θ_c; the U-Net itself does not change."""
        if unet.encoder.time_embedding.linear_1.weight.is_meta:
            with torch.device("meta"):
                return cls(unet.config, condition_encoder=condition_encoder, links=links)
        control = cls(unet.config, condition_encoder=condition_encoder, links=links)
        control.encoder = copy.deepcopy(unet.encoder).requires_grad_(True)
        return control

    def gaussian_zero_convolutions(self) -> "ControlNet":
        """Give the zero convolutions in use Gaussian weights: an ablation of the paper's later version. Returns itself.

        The standard deviation is 1/√inputs, of which a layer keeps the size of its input (He et al. 2015 without the
        factor for a ReLU, which none has behind it here); the biases stay zero. Links of small-scale training that are
        not connected stay zero.
        """
        connected = list(self.zero_convolutions) if self.links == "full" else []
        for layer in (self.condition_encoder.zero, *connected, self.zero_middle):
            assert isinstance(layer, nn.Conv2d)
            nn.init.kaiming_normal_(layer.weight, nonlinearity="linear")
        return self

    def encode(self, hint: Tensor, cells: tuple[int, int]) -> Tensor:
        """(B, 3, 8H, 8W) in [0, 1] → (B, C0, H, W), for latents of `cells` = (H, W).

        It depends on the condition alone, so that a sampler computes it once for all of its steps.
        """
        if hint.is_cuda and (hint.dtype != torch.float32 or torch.is_autocast_enabled("cuda")):
            # cuDNN is faster so with few channels (H200, 16 images of 512×512, both passes: 7.8 instead of 11.6 ms).
            hint = hint.contiguous(memory_format=torch.channels_last)
        return self.condition_encoder(hint).contiguous()

    def residuals(self, z: Tensor, t: Tensor, text: Context, encoded: Tensor) -> list[Tensor | None]:
        """(B, 4, H, W), (B,), (B, 77, C) and the encoded condition → the residuals of Eq. 2's second term: one per skip
        connection and one for the middle block (12 + 1 in Stable Diffusion).

        Each has the shape of the feature that it is added to, or (B, C, 1, 1) where they are pooled.
        """
        features, middle, _ = self.encoder(z, t, text, encoded)
        residuals: list[Tensor | None] = [None] * len(features)
        if self.links == "full":
            residuals = [pointwise(zero, x) for zero, x in zip(self.zero_convolutions, features, strict=True)]
        residuals.append(pointwise(self.zero_middle, middle))
        if self.pooled:
            return [r if r is None else r.mean(dim=(2, 3), keepdim=True) for r in residuals]
        return residuals

    def forward(self, z: Tensor, t: Tensor, text: Context, hint: Tensor) -> list[Tensor | None]:
        """The residuals for a condition (B, 3, 8H, 8W) in [0, 1]."""
        return self.residuals(z, t, text, self.encode(hint, (z.shape[-2], z.shape[-1])))
