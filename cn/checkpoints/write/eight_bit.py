"""Round weights to 8 bits: whole numbers from -127 to 127 and one scale for each row, symmetric around zero.

A row is an index of the first dimension, an output of the layer. What is small or sensitive stays in 16 bits: norms,
biases, embeddings, and the layers at the ends of the networks. `cn.checkpoints.read.eight_bit` reads it.
"""

import re
from collections.abc import Mapping

import torch
from torch import Tensor

from cn.archives.write import Item, of_tensor
from cn.checkpoints.read.eight_bit import LEVELS, SCALE

_MIN_ELEMENTS = 4096
"""Smaller tensors stay in 16 bits: all of them together are hardly smaller in 8."""

_SENSITIVE = re.compile(
    r"encoder\.blocks\.0\.weight|(.*\.)?(conv_in|conv_out|quant|post_quant|time_embedding\..*|\w+_embedding)(\.weight)?"
)
"""The first and last layers and the embeddings: an error in them is an error everywhere, and they are small."""


def stored_in_8_bits(name: str, tensor: Tensor) -> bool:
    """Whether a parameter of cn's networks, by its name without its part, is rounded to 8 bits."""
    return tensor.ndim > 1 and tensor.numel() >= _MIN_ELEMENTS and not _SENSITIVE.fullmatch(name)


def quantize(tensor: Tensor) -> tuple[Tensor, Tensor]:
    """Floating-point numbers (rows, …) → int8 of the same shape and float32 scales (rows,).

    The largest number of a row is ±127, so that each is rounded by at most half a scale; rows of zeros stay exact.
    Cutting off the largest for a finer scale does not pay: of several limits a row, the best has the same mean error
    within 0.02 % (the bundled base and the differences of its controls).
    """
    rows = tensor.detach().float().reshape(len(tensor), -1)
    scales = rows.abs().amax(1, keepdim=True) / LEVELS
    divisors = torch.where(scales > 0, scales, torch.ones_like(scales))
    numbers = (rows / divisors).round().clamp(-LEVELS, LEVELS).to(torch.int8)
    return numbers.reshape(tensor.shape), scales.flatten()


def items(tensors: Mapping[str, Tensor], parts: tuple[str, ...] = ()) -> dict[str, Item]:
    """Tensors as they are written: in 8 bits with their scales, or in 16. `parts` are prefixes before the names."""
    result: dict[str, Item] = {}
    for name, tensor in tensors.items():
        bare = next((name.removeprefix(part) for part in parts if name.startswith(part)), name)
        if tensor.is_floating_point() and stored_in_8_bits(bare, tensor):
            numbers, scales = quantize(tensor)
            result |= {name: of_tensor(numbers), f"{name}{SCALE}": of_tensor(scales)}
        else:
            result[name] = of_tensor(tensor, half=True)
    return result


def differences(tensors: Mapping[str, Tensor], base: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """The tensors under `prefix` less those of the same names in `base`, in float32; all others as they are.

    Raises ValueError where the base lacks one of this shape.
    """
    result = dict(tensors)
    for name, tensor in tensors.items():
        if name.startswith(prefix):
            if name not in base or base[name].shape != tensor.shape:
                raise ValueError(f"{name} has no counterpart of its shape in the base")
            result[name] = tensor.detach().float() - base[name].detach().to(tensor.device, torch.float32)
    return result
