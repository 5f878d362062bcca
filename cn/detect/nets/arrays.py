"""Conversion between images (NumPy arrays, channels last) and tensors of the networks."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from cn.errors import InputError


def pad(images: NDArray[np.uint8], multiple: int) -> NDArray[np.uint8]:
    """(n, h, w, c) padded to multiples of `multiple` by repeating the last row and column."""
    down, right = (-images.shape[1]) % multiple, (-images.shape[2]) % multiple
    return np.pad(images, ((0, 0), (0, down), (0, right), (0, 0)), mode="edge") if down or right else images


def to_tensor(images: NDArray[np.generic], network: nn.Module) -> Tensor:
    """(n, h, w, c) as (n, c, h, w) with the same values, on the device and with the dtype of `network`.

    On a CPU the memory format is channels last, as in the image, which makes convolutions up to 1.8 times faster. On a
    GPU it would make depthwise convolutions ten times slower.
    """
    weights = next(network.parameters())
    tensor = torch.from_numpy(np.ascontiguousarray(images)).to(weights.device).permute(0, 3, 1, 2).to(weights.dtype)
    return tensor if weights.device.type == "cpu" else tensor.contiguous()


def to_array(output: Tensor, network: nn.Module) -> NDArray[np.float32]:
    """The output of a network as float32. Raises InputError on overflow in half precision."""
    values = output.float().cpu()
    check_finite(values, network)
    return values.numpy()


def check_finite(output: Tensor, network: nn.Module) -> None:
    """Raises InputError if values overflowed in the half precision of a network."""
    if next(network.parameters()).dtype != torch.float32 and not bool(torch.isfinite(output).all()):
        raise InputError("this image overflows the dtype of --precision; use bf16 or fp32")
