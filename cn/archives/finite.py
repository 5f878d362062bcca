"""Whether stored numbers are numbers at all. No torch: a gigabyte takes a tenth of a second."""

import numpy as np

_BITS: dict[str, tuple[str, int]] = {
    "F16": ("<u2", 0x7C00),
    "BF16": ("<u2", 0x7F80),
    "F32": ("<u4", 0x7F800000),
    "F64": ("<u8", 0x7FF0000000000000),
    "F8_E4M3": ("u1", 0x7F),
    "F8_E5M2": ("u1", 0x7C),
}
"""Unsigned integers of the same width as each number format, and infinity among them."""
_CHUNK = 1 << 17


def is_finite(data: memoryview | np.ndarray, dtype: str) -> bool:
    """Whether numbers of a safetensors type hold neither NaN nor infinity. Integers always do.

    Without their sign bit, floating-point numbers sort as integers do: what is not finite comes last.
    """
    if dtype not in _BITS:
        return True
    kind, infinity = _BITS[dtype]
    numbers = np.frombuffer(data, kind)
    unsigned = np.array(-1).astype(kind) >> np.array(1).astype(kind)
    room = np.empty(min(_CHUNK, len(numbers)), kind)
    for start in range(0, len(numbers), _CHUNK):
        part = numbers[start : start + _CHUNK]
        if int(np.bitwise_and(part, unsigned, out=room[: len(part)]).max()) >= infinity:
            return False
    return True
