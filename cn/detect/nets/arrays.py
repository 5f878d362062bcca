"""Between images (NumPy arrays, channels last) and what networks take and give (tensors)."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from cn.errors import InputError


def pad(images: NDArray[np.uint8], multiple: int) -> NDArray[np.uint8]:
    """(n, h, w, c) with the last row and column repeated until both sides are multiples of `multiple`."""
    down, right = (-images.shape[1]) % multiple, (-images.shape[2]) % multiple
    return np.pad(images, ((0, 0), (0, down), (0, right), (0, 0)), mode="edge") if down or right else images


def to_tensor(images: NDArray[np.generic], network: nn.Module) -> Tensor:
    """(n, h, w, c) as (n, c, h, w), the same numbers, on the device and in the number format of `network`.

    In memory the channels stay last, as pictures have them: a processor's convolutions like that, up to 1.8 times. A
    GPU's depthwise convolutions are ten times slower with it.
    """
    weights = next(network.parameters())
    tensor = torch.from_numpy(np.ascontiguousarray(images)).to(weights.device).permute(0, 3, 1, 2).to(weights.dtype)
    return tensor if weights.device.type == "cpu" else tensor.contiguous()


def to_array(output: Tensor, network: nn.Module) -> NDArray[np.float32]:
    """What a network gave, as float32. Raises InputError where its number format was too narrow for its numbers."""
    numbers = output.float().cpu()
    check_finite(numbers, network)
    return numbers.numpy()


def check_finite(output: Tensor, network: nn.Module) -> None:
    """Raises InputError where the number format of a network was too narrow for its numbers."""
    if next(network.parameters()).dtype != torch.float32 and not bool(torch.isfinite(output).all()):
        raise InputError("this picture overflows the number format of --precision; use bf16 or fp32")
