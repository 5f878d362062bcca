"""Where to compute and in which number format: the words of the command line → torch's."""

import torch

from cn.errors import UsageError

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
"""The words of `--precision`."""


def choose_device(name: str) -> torch.device:
    """`auto` is the first of CUDA, MPS and CPU that is there. UsageError for an unknown or absent device."""
    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        raise UsageError(f"--device is auto, cpu, cuda, cuda:N or mps, not {name!r}") from None
    available = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if device.type not in available:
        raise UsageError(f"--device is auto, cpu, cuda, cuda:N or mps, not {name!r}")
    if not available[device.type]:
        raise UsageError(f"--device {name}: this machine has no {device.type} device")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise UsageError(f"--device {name}: this machine has {torch.cuda.device_count()} CUDA device(s)")
    return device


def sampling_dtype(name: str, device: torch.device) -> torch.dtype:
    """The networks' number format for sampling: `auto` is fp16 on CUDA and fp32 elsewhere, where that is faster.

    fp32 on CUDA turns TF32 off for the whole process: convolutions would round to its ten bits (1e-3) by default.
    """
    if name == "auto":
        return torch.float16 if device.type == "cuda" else torch.float32
    if name not in DTYPES:
        raise UsageError(f"--precision is auto, fp32, bf16 or fp16, not {name!r}")
    if name == "fp32" and device.type == "cuda":
        torch.backends.cudnn.allow_tf32 = False
        torch.backends.cuda.matmul.allow_tf32 = False
    return DTYPES[name]


def precision_name(dtype: torch.dtype) -> str:
    """`--precision`'s word for a number format of `sampling_dtype`."""
    return next(name for name, known in DTYPES.items() if known == dtype)
