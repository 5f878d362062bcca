"""The device and the dtype to compute with, from `--device` and `--precision`."""

import contextlib
from collections.abc import Iterator

import torch

from cn.errors import UsageError
from cn.options import check_device
from cn.precision import dtype_of


def choose_device(name: str) -> torch.device:
    """`auto` is the first of CUDA, MPS and CPU that is available. UsageError for an unknown or unavailable device."""
    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    check_device(name)
    device = torch.device(name)
    available = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if not available[device.type]:
        raise UsageError(f"--device {name}: this machine has no {device.type} device")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise UsageError(f"--device {name}: this machine has {torch.cuda.device_count()} CUDA device(s)")
    return device


def sampling_dtype(name: str, device: torch.device) -> torch.dtype:
    """The dtype of the networks for sampling: `auto` is fp16 on CUDA (faster), fp32 elsewhere.

    Side effect: for fp32 on CUDA this switches TF32 off for the whole process, because by default convolutions would
    round to its ten bits of mantissa (errors of 1e-3).
    """
    if name == "auto":
        return torch.float16 if device.type == "cuda" else torch.float32
    dtype = dtype_of(name)
    if name == "fp32" and device.type == "cuda":
        torch.backends.cudnn.allow_tf32 = False
        torch.backends.cuda.matmul.allow_tf32 = False
    return dtype


@contextlib.contextmanager
def without_tf32(wanted: bool = True) -> Iterator[None]:
    """In the block, fp32 on CUDA is fp32: by default convolutions round to ten bits of mantissa (errors of 1e-3)."""
    before = torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32
    if wanted:
        torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False
    try:
        yield
    finally:
        torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32 = before
