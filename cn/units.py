"""Numbers as a person reads them."""


def bytes_text(number: float) -> str:
    """Bytes: "4.27 GB", "53.1 MB", "812 bytes"."""
    if number >= 1e9:
        return f"{number / 1e9:.2f} GB"
    return f"{number / 1e6:.1f} MB" if number >= 1e5 else f"{number:,.0f} bytes"


def count_text(number: int) -> str:
    """Parameters: "859.5 M", "1,024"."""
    return f"{number / 1e6:.1f} M" if number >= 1e5 else f"{number:,}"
