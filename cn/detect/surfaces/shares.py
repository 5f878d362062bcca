"""Shares of pixels, and how warnings name them."""

from typing import Any

import numpy as np
from numpy.typing import NDArray


def share(mask: NDArray[Any]) -> float:
    """The fraction of a mask that is true; 0 of an empty one."""
    return float(np.count_nonzero(mask)) / max(mask.size, 1)


def over(fraction: float) -> str:
    """A fraction in words, in steps of 10 %, so that the same warnings of many files can be counted."""
    if fraction == 1:
        return "100 %"
    return f"over {int(fraction * 10) * 10} %" if fraction >= 0.1 else f"{max(1, round(fraction * 100))} %"
