"""E of Eq. 9: from an image-space condition to the U-Net's first feature map.

Both encoders end in a zero convolution (`zero`), so that an untrained ControlNet adds exactly zero (Eq. 3).
"""

import torch.nn.functional as F
from torch import Tensor, nn

from cn.model.blocks import zero_convolution
from cn.model.layers import affine


class PaperConditionEncoder(nn.Module):
    """The paper's four layers (§3.2): 4×4 kernels, channels 16, 32, 64, 128, ReLU, Gaussian weights; then Z.

    The paper states stride 2 for every layer, which takes 512 to 32, but needs 64×64: here the last layer has stride 1.
    """

    channels = (16, 32, 64, 128)
    strides = (2, 2, 2, 1)

    def __init__(self, outputs: int, condition_channels: int = 3):
        super().__init__()
        widths = (condition_channels, *self.channels)
        self.layers = nn.ModuleList(
            nn.Conv2d(i, o, 4, stride=s, padding=1 if s == 2 else 0)
            for i, o, s in zip(widths, self.channels, self.strides, strict=False)
        )
        for layer in self.layers:
            assert isinstance(layer, nn.Conv2d)
            if not layer.weight.is_meta:  # As in `cn.model.text`: drawing nothing would import torch's compiler.
                nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
            nn.init.zeros_(layer.bias)  # type: ignore[arg-type]
        self.zero = zero_convolution(self.channels[-1], outputs)

    def forward(self, hint: Tensor) -> Tensor:
        """(B, 3, 8H, 8W) in [0, 1] → (B, outputs, H, W)."""
        for layer, stride in zip(self.layers, self.strides, strict=True):
            hint = F.relu(affine(layer, hint if stride == 2 else F.pad(hint, (1, 2, 1, 2))))
        return self.zero(hint)


class ReleasedConditionEncoder(nn.Module):
    """The eight 3×3 layers of every published ControlNet (cldm.py: input_hint_block), SiLU between them."""

    channels = (16, 16, 32, 32, 96, 96, 256)
    strides = (1, 1, 2, 1, 2, 1, 2)

    def __init__(self, outputs: int, condition_channels: int = 3):
        super().__init__()
        widths = (condition_channels, *self.channels)
        self.layers = nn.ModuleList(
            nn.Conv2d(i, o, 3, stride=s, padding=1)
            for i, o, s in zip(widths, self.channels, self.strides, strict=False)
        )
        self.zero = zero_convolution(self.channels[-1], outputs, kernel=3)

    def forward(self, hint: Tensor) -> Tensor:
        """(B, 3, 8H, 8W) in [0, 1] → (B, outputs, H, W)."""
        for layer in self.layers:
            hint = F.silu(affine(layer, hint))
        return self.zero(hint)


CONDITION_ENCODERS = {"paper": PaperConditionEncoder, "released": ReleasedConditionEncoder}
