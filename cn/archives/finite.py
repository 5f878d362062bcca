"""Check stored numbers for NaN and infinity, without torch: a gigabyte takes about 0.1 s."""

import numpy as np

_BITS: dict[str, tuple[str, int]] = {
    "F16": ("<u2", 0x7C00),
    "BF16": ("<u2", 0x7F80),
    "F32": ("<u4", 0x7F800000),
    "F64": ("<u8", 0x7FF0000000000000),
    "F8_E4M3": ("u1", 0x7F),
    "F8_E5M2": ("u1", 0x7C),
}
"""For each dtype, the unsigned integer of the same width and the bit pattern of infinity (or NaN) in it."""
_CHUNK = 1 << 17


def is_finite(data: memoryview | np.ndarray, dtype: str) -> bool:
    """Whether numbers of a safetensors dtype hold neither NaN nor infinity; always true for integers.

    Without the sign bit, floating-point numbers sort like unsigned integers, and non-finite ones come last.
    """
    if dtype not in _BITS:
        return True
    kind, infinity = _BITS[dtype]
    numbers = np.frombuffer(data, kind)
    unsigned = np.array(-1).astype(kind) >> np.array(1).astype(kind)
    buffer = np.empty(min(_CHUNK, len(numbers)), kind)
    for start in range(0, len(numbers), _CHUNK):
        part = numbers[start : start + _CHUNK]
        if int(np.bitwise_and(part, unsigned, out=buffer[: len(part)]).max()) >= infinity:
            return False
    return True
