"""Numbers as a person reads and writes them."""

import re

from cn.errors import UsageError

_UNITS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12}


def parse_bytes(text: str) -> int:
    """The number of bytes that a person wrote: "500MB", "1.5 GB", "2GiB", "1000". UsageError for anything else."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?) ?(?:([kmgt])(i?))?b?", text.strip().lower())
    unit = found and (1024 ** " kmgt".index(found[2]) if found[3] else _UNITS[found[2] or ""])
    if not found or not unit or (size := round(float(found[1]) * unit)) < 1:
        raise UsageError(f"{text!r} is no number of bytes; write it like 500MB or 2GB")
    return size


def bytes_text(number: float) -> str:
    """Bytes: "4.27 GB", "53.1 MB", "812 bytes"."""
    if number >= 1e9:
        return f"{number / 1e9:.2f} GB"
    return f"{number / 1e6:.1f} MB" if number >= 1e5 else f"{number:,.0f} bytes"


def count_text(number: int) -> str:
    """Parameters: "859.5 M", "1,024"."""
    return f"{number / 1e6:.1f} M" if number >= 1e5 else f"{number:,}"
