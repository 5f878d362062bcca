"""Faster layers for networks on a CPU, with the same results up to rounding (1e-5).

Written by hand because torch.compile needs a C++ compiler at run time, and another runtime (ONNX Runtime, OpenVINO)
would be one more dependency.
"""

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import fuse_conv_bn_eval

from cn.detect.nets.winograd import WinogradConv


@torch.no_grad()
def optimize_for_cpu(network: nn.Module) -> nn.Module:
    """`network` (float32, in eval mode) with batch norms folded into convolutions, and faster convolutions.

    It is changed in place and can no longer load the published weights.
    """
    for parent in list(network.modules()):
        if isinstance(parent, nn.Sequential):
            _fold_norms(parent)
        for name, child in parent.named_children():
            if isinstance(child, nn.ConvTranspose2d) and FastTransposedConvolution.supports(child):
                setattr(parent, name, FastTransposedConvolution(child))
            if type(child) is nn.Conv2d and WinogradConv.supports(child):
                setattr(parent, name, WinogradConv(child))
            if type(child) is nn.Conv2d and PointwiseConv.supports(child):
                setattr(parent, name, PointwiseConv(child))
    return network.requires_grad_(False)


def _fold_norms(layers: nn.Sequential) -> None:
    """Fold each batch norm into the convolution before it, and make a ReLU after both in-place."""
    names = [name for name, _ in layers.named_children()]
    folded = set()
    for name, after in pairwise(names):
        conv, norm = getattr(layers, name), getattr(layers, after)
        # Exactly these types: subclasses of BatchNorm2d (timm's) do more than normalize.
        if type(conv) is nn.Conv2d and type(norm) is nn.BatchNorm2d:
            setattr(layers, name, fuse_conv_bn_eval(conv, norm))
            setattr(layers, after, nn.Identity())
            folded.add(after)
        if name in folded and isinstance(norm, nn.ReLU | nn.ReLU6):
            # Its input is the output of a convolution, which nothing else uses.
            norm.inplace = True


class PointwiseConv(nn.Module):
    """A 1×1 convolution by oneDNN, up to 1.7 times faster than the matrix product that PyTorch uses in one thread."""

    def __init__(self, conv: nn.Conv2d):
        super().__init__()
        self.weight, self.bias, self.stride, self.groups = conv.weight, conv.bias, conv.stride, conv.groups

    @staticmethod
    def supports(conv: nn.Conv2d) -> bool:
        """Whether `conv` is a 1×1 convolution without padding, and oneDNN is available."""
        return conv.kernel_size == (1, 1) and conv.padding == (0, 0) and torch.backends.mkldnn.is_available()

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, h, w) → (B, out, h / stride, w / stride)."""
        return torch.mkldnn_convolution(x, self.weight, self.bias, (0, 0), self.stride, (1, 1), self.groups)


class FastTransposedConvolution(nn.Module):
    """A 4×4 transposed convolution with stride 2 and padding 1, as one 2×2 convolution with four times the channels.

    Along each axis, even rows of the output combine the input's rows i - 1 and i with the kernel's rows 3 and 1, odd
    ones rows i and i + 1 with 2 and 0. So the four phases of output pixels are four 2×2 convolutions, for which CPU
    libraries have fast code; they have none for transposed convolutions.
    """

    def __init__(self, conv: nn.ConvTranspose2d):
        super().__init__()
        # (in, out, 4, 4) → (row phase, column phase, out, in, 2, 2)
        phases = [[conv.weight[:, :, rows][..., columns] for columns in ((3, 1), (2, 0))] for rows in ((3, 1), (2, 0))]
        weight = torch.stack([torch.stack(row) for row in phases]).transpose(2, 3)
        self.weight = nn.Parameter(weight.flatten(0, 2).contiguous())
        self.bias = None if conv.bias is None else nn.Parameter(conv.bias.repeat(4))

    @staticmethod
    def supports(conv: nn.ConvTranspose2d) -> bool:
        """Whether `conv` has this kernel size, stride and padding."""
        shape = (conv.kernel_size, conv.stride, conv.padding, conv.output_padding, conv.dilation, conv.groups)
        return shape == ((4, 4), (2, 2), (1, 1), (0, 0), (1, 1), 1)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, h, w) → (B, out, 2h, 2w)."""
        height, width = x.shape[-2:]
        phases = F.conv2d(x, self.weight, self.bias, padding=1).unflatten(1, (2, 2, -1))
        out = x.new_empty(x.shape[0], phases.shape[3], 2 * height, 2 * width)
        for row in (0, 1):
            for column in (0, 1):
                out[:, :, row::2, column::2] = phases[:, row, column, :, row : row + height, column : column + width]
        return out
