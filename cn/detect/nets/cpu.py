"""The same networks, rearranged so that they compute faster: the numbers stay the same to the last bits (1e-5)."""

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import fuse_conv_bn_eval

from cn.detect.nets.winograd import WinogradConv


@torch.no_grad()
def rearranged(network: nn.Module) -> nn.Module:
    """`network` (float32, evaluating) for a processor: norms folded into convolutions, and these done in other ways.

    It is changed in place and takes the published weights no longer.
    """
    for parent in list(network.modules()):
        if isinstance(parent, nn.Sequential):
            _fold_norms(parent)
        for name, child in parent.named_children():
            if isinstance(child, nn.ConvTranspose2d) and Doubling.serves(child):
                setattr(parent, name, Doubling(child))
            if type(child) is nn.Conv2d and WinogradConv.serves(child):
                setattr(parent, name, WinogradConv(child))
            if type(child) is nn.Conv2d and Pointwise.serves(child):
                setattr(parent, name, Pointwise(child))
    return network.requires_grad_(False)


def _fold_norms(layers: nn.Sequential) -> None:
    """Convolution and batch norm that follow each other become one convolution; a ReLU behind needs no new memory."""
    names = [name for name, _ in layers.named_children()]
    folded = set()
    for name, after in pairwise(names):
        conv, norm = getattr(layers, name), getattr(layers, after)
        # Exactly these types: descendants of BatchNorm2d (timm's) do more than normalize.
        if type(conv) is nn.Conv2d and type(norm) is nn.BatchNorm2d:
            setattr(layers, name, fuse_conv_bn_eval(conv, norm))
            setattr(layers, after, nn.Identity())
            folded.add(after)
        if name in folded and isinstance(norm, nn.ReLU | nn.ReLU6):
            # What comes in is a convolution's result, which nobody else holds.
            norm.inplace = True


class Pointwise(nn.Module):
    """A convolution of 1×1 by oneDNN, up to 1.7 times faster than the product that PyTorch prefers in one thread."""

    def __init__(self, conv: nn.Conv2d):
        super().__init__()
        self.weight, self.bias, self.stride, self.groups = conv.weight, conv.bias, conv.stride, conv.groups

    @staticmethod
    def serves(conv: nn.Conv2d) -> bool:
        """Whether `conv` is of that kind, and oneDNN is here."""
        return conv.kernel_size == (1, 1) and conv.padding == (0, 0) and torch.backends.mkldnn.is_available()

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, h, w) → (B, out, h / stride, w / stride)."""
        return torch.mkldnn_convolution(x, self.weight, self.bias, (0, 0), self.stride, (1, 1), self.groups)


class Doubling(nn.Module):
    """A transposed convolution of 4×4, stride 2 and padding 1, as one convolution of 2×2 with four times the channels.

    Along each axis an even row of the output sees the input's rows i - 1 and i by the kernel's rows 3 and 1, an odd one
    rows i and i + 1 by 2 and 0. So the four kinds of pixels are four convolutions of 2×2; libraries for processors have
    fast code for those, and none for transposed ones.
    """

    def __init__(self, conv: nn.ConvTranspose2d):
        super().__init__()
        # (in, out, 4, 4) → (row kind, column kind, out, in, 2, 2)
        kinds = [[conv.weight[:, :, rows][..., columns] for columns in ((3, 1), (2, 0))] for rows in ((3, 1), (2, 0))]
        weight = torch.stack([torch.stack(row) for row in kinds]).transpose(2, 3)
        self.weight = nn.Parameter(weight.flatten(0, 2).contiguous())
        self.bias = None if conv.bias is None else nn.Parameter(conv.bias.repeat(4))

    @staticmethod
    def serves(conv: nn.ConvTranspose2d) -> bool:
        """Whether `conv` is of the kind described."""
        shape = (conv.kernel_size, conv.stride, conv.padding, conv.output_padding, conv.dilation, conv.groups)
        return shape == ((4, 4), (2, 2), (1, 1), (0, 0), (1, 1), 1)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, h, w) → (B, out, 2h, 2w)."""
        height, width = x.shape[-2:]
        all_kinds = F.conv2d(x, self.weight, self.bias, padding=1).unflatten(1, (2, 2, -1))
        out = x.new_empty(x.shape[0], all_kinds.shape[3], 2 * height, 2 * width)
        for row in (0, 1):
            for column in (0, 1):
                out[:, :, row::2, column::2] = all_kinds[:, row, column, :, row : row + height, column : column + width]
        return out
