"""What the networks compute between their convolutions: in torch, or with the kernels of `cn.model.kernels`.

torch normalizes channels-last maps on a GPU by copying them to another layout and back, and adds biases, activations
and sums in passes of their own: half of the time of a U-Net in half precision. The kernels take one pass (two for large
maps), where `cn.model.kernel_choice` has prepared them; the results differ by rounding only.
"""

from typing import Any

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from cn.model import kernel_choice


def normalize(
    norm: nn.GroupNorm, x: Tensor, *, bias: Tensor | None = None, shift: Tensor | None = None, silu: bool = False
) -> Tensor:
    """The group normalization of x (B, C, H, W) + bias (C,) + shift (B, C), and SiLU of that."""
    if (kernels := kernel_choice.kernels_for(x, norm.weight)) is not None:
        return kernels.group_norm(
            x, norm.num_groups, norm.weight, norm.bias, norm.eps, added=bias, shift=shift, silu=silu
        )
    if bias is not None:
        x = x + bias[:, None, None]
    if shift is not None:
        x = x + shift[:, :, None, None]
    return F.silu(norm(x)) if silu else norm(x)


def fork_normalize(norm: nn.GroupNorm, x: Tensor, *, silu: bool = False) -> tuple[Tensor, Tensor]:
    """x (B, C, H, W) again, for what is added to it later, and `normalize` of it: kernels add up both gradients."""
    kernels = kernel_choice.kernels_for(x, norm.weight) if torch.is_grad_enabled() else None
    if kernels is None:
        return x, normalize(norm, x, silu=silu)
    return kernels.fork_group_norm(x, norm.num_groups, norm.weight, norm.bias, norm.eps, silu=silu)


def convolve(conv: nn.Conv2d, x: Tensor) -> tuple[Tensor, Tensor | None]:
    """The convolution of x, and its bias where what follows has to add it."""
    if kernel_choice.kernels_for(x, conv.weight) is None or conv.bias is None:
        return conv(x), None
    return F.conv2d(x, conv.weight, None, conv.stride, conv.padding, conv.dilation, conv.groups), conv.bias


def affine(layer: nn.Module, x: Tensor) -> Tensor:
    """What a fully connected layer or a convolution computes.

    Kernels sum the gradient of its bias: torch's sums of half-precision numbers take a tenth of a training step.
    """
    kernels = _kernels_that_sum(layer, x)
    if kernels is None:
        return layer(x)
    if isinstance(layer, nn.Linear):
        return kernels.with_bias_gradient(F.linear(x, layer.weight, layer.bias.detach()), layer.bias)
    assert isinstance(layer, nn.Conv2d)
    assert layer.bias is not None
    y = F.conv2d(x, layer.weight, layer.bias.detach(), layer.stride, layer.padding, layer.dilation, layer.groups)
    return kernels.with_bias_gradient(y, layer.bias)


def pointwise(conv: nn.Module, x: Tensor) -> Tensor:
    """A 1×1 convolution, as a matrix product where kernels are used, or nothing (nn.Identity)."""
    if not isinstance(conv, nn.Conv2d) or kernel_choice.kernels_for(x, conv.weight) is None:
        return conv(x)
    kernels, tokens, weight = _kernels_that_sum(conv, x), rearrange(x, "b c h w -> b (h w) c"), conv.weight.flatten(1)
    if kernels is None or conv.bias is None:
        product = F.linear(tokens, weight, conv.bias)
    else:
        product = kernels.with_bias_gradient(F.linear(tokens, weight, conv.bias.detach()), conv.bias)
    return rearrange(product, "b (h w) c -> b c h w", h=x.shape[-2])


def _kernels_that_sum(layer: nn.Module, x: Tensor) -> Any | None:
    """The kernels, where they compute the gradient of a layer's bias."""
    if not isinstance(layer, nn.Linear | nn.Conv2d) or layer.bias is None or not layer.bias.requires_grad:
        return None
    return kernel_choice.kernels_of(x) if torch.is_grad_enabled() and kernel_choice.fit(x, layer.weight) else None


def add(a: Tensor, b: Tensor, bias: Tensor | None = None) -> Tensor:
    """(B, C, H, W) twice, + bias (C,)."""
    same = a.shape == b.shape and a.dtype == b.dtype
    if same and bias is not None and (kernels := kernel_choice.kernels_for(a, bias)) is not None:
        return kernels.add(a, b.contiguous(memory_format=torch.channels_last), bias)
    return a + b if bias is None else a + b + bias[:, None, None]


def repeated(x: Tensor, rows: int) -> Tensor:
    """(B, …) → (rows, …): all rows again, where there are to be more. ValueError where they do not add up."""
    if len(x) >= rows:
        return x
    if rows % len(x):
        raise ValueError(f"{len(x)} rows cannot become {rows}")
    # Unlike `repeat`, it keeps channels last.
    return torch.cat([x] * (rows // len(x)))


def join(x: Tensor, skip: Tensor, added: Tensor | None) -> Tensor:
    """(B, C1, H, W), and a skip connection with what is added to it, (B, C2, H, W) or of fewer rows, which are repeated
    → (B, C1 + C2, H, W)."""
    kernels = kernel_choice.kernels_for(x, skip)
    given = [skip] if added is None else [skip, added]
    alike = all(y.shape[1:] == skip.shape[1:] and _may_join(x, y) for y in given)
    if alike and kernels is not None:
        return kernels.join(x, skip, added)
    skip = repeated(skip, len(x))
    return torch.cat([x, skip if added is None else skip + repeated(added, len(x))], dim=1)


def _may_join(x: Tensor, other: Tensor) -> bool:
    """Whether a kernel may take both: of one size and type, channels last, of rows that add up."""
    rows = max(len(x), len(other)) % min(len(x), len(other)) == 0
    return rows and other.dtype == x.dtype and other.shape[2:] == x.shape[2:] and kernel_choice.is_channels_last(other)


def enlarge(x: Tensor, stride: int, size: tuple[int, int] | None = None) -> Tensor:
    """(B, C, H, W) → (B, C, *size), by default stride × (H, W), by the nearest neighbor."""
    height, width = x.shape[-2:]
    exact = stride * height, stride * width
    target = size or exact
    if target == (height, width):
        return x
    if target == exact and (kernels := kernel_choice.kernels_for(x, x)) is not None:
        return kernels.enlarge(x, stride)
    return F.interpolate(x, size=target, mode="nearest")


def layer_norm(norm: nn.LayerNorm, x: Tensor) -> Tensor:
    """(B, N, C) → the same."""
    if kernel_choice.fit(x, norm.weight) and x.is_contiguous() and (kernels := kernel_choice.kernels_of(x)) is not None:
        return kernels.layer_norm(x, norm.weight, norm.bias, norm.eps)
    return norm(x)


def add_layer_norm(norm: nn.LayerNorm, a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """(B, N, C) twice → their sum, and its layer normalization."""
    same = a.dtype == b.dtype and kernel_choice.fit(a, norm.weight)
    if same and a.is_contiguous() and b.is_contiguous() and (kernels := kernel_choice.kernels_of(a)) is not None:
        return kernels.add_layer_norm(a, b, norm.weight, norm.bias, norm.eps)
    total = a + b
    return total, norm(total)


def geglu(x: Tensor) -> Tensor:
    """(B, N, 2·n) → (B, N, n): the first half times GELU of the second one, in its exact (erf) form."""
    if x.is_contiguous() and (kernels := kernel_choice.kernels_of(x)) is not None:
        return kernels.geglu(x)
    value, gate = x.chunk(2, dim=-1)
    return value * F.gelu(gate)
