"""The names of precisions on the command line, and torch's dtypes for them. Imports torch only for the dtypes."""

from typing import TYPE_CHECKING, Literal, get_args

from cn.errors import UsageError

if TYPE_CHECKING:
    import torch

Precision = Literal["fp32", "bf16", "fp16"]
PrecisionChoice = Literal["auto", "fp32", "bf16", "fp16"]
"""What `--precision` accepts."""

_DTYPE_NAMES: dict[str, str] = {"fp32": "float32", "bf16": "bfloat16", "fp16": "float16"}


def check_precision(name: str) -> Precision:
    """`name` as a Precision; UsageError for any other name."""
    for precision in get_args(Precision):
        if name == precision:
            return precision
    raise UsageError(f"--precision must be auto, fp32, bf16 or fp16, not {name!r}")


def dtype_of(precision: str) -> "torch.dtype":
    """Torch's dtype of a precision; UsageError for an unknown name."""
    import torch

    return getattr(torch, _DTYPE_NAMES[check_precision(precision)])


def precision_of(dtype: "torch.dtype") -> Precision:
    """The precision of one of the three dtypes."""
    return next(precision for precision in get_args(Precision) if dtype_of(precision) == dtype)
