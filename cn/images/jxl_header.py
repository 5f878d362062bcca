"""The size in the header of a JPEG XL, without decoding it: the plugin decodes the whole image when it opens it.

Source: ISO/IEC 18181-1, annex D.2 (SizeHeader), and 18181-2, clause 9 (boxes).
"""

_RATIOS = ((1, 1), (1, 1), (12, 10), (4, 3), (3, 2), (16, 9), (5, 4), (2, 1))
_BARE = b"\xff\x0a"


def size(data: bytes) -> tuple[int, int] | None:
    """(width, height) of a JPEG XL, bare or in boxes; None where there is no header."""
    stream = data[:64] if data.startswith(_BARE) else _codestream(data)
    if not stream.startswith(_BARE) or len(stream) < 4:
        return None
    bits = int.from_bytes(stream[2:24], "little")

    def take(count: int) -> int:
        nonlocal bits
        value, bits = bits & ((1 << count) - 1), bits >> count
        return value

    def side(small: int) -> int:
        return 8 * (1 + take(5)) if small else 1 + take((9, 13, 18, 30)[take(2)])

    small = take(1)
    height = side(small)
    ratio = take(3)
    across, down = _RATIOS[ratio]
    return (height * across // down if ratio else side(small)), height


def _codestream(data: bytes) -> bytes:
    """The beginning of the codestream inside the boxes of a container; empty if there is none."""
    start = 0
    while start + 8 <= len(data):
        length, kind = int.from_bytes(data[start : start + 4], "big"), data[start + 4 : start + 8]
        head = 16 if length == 1 else 8
        if length == 1:
            length = int.from_bytes(data[start + 8 : start + 16], "big")
        if kind in (b"jxlc", b"jxlp"):
            # A part begins with its number.
            begin = start + head + (4 if kind == b"jxlp" else 0)
            return data[begin : begin + 64]
        if length < head:
            break
        start += length
    return b""
