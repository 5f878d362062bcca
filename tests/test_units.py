"""Numbers of bytes as people write them."""

import pytest

from cn.errors import UsageError
from cn.units import parse_bytes


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("1000", 1000),
        ("500MB", 500_000_000),
        ("1.5 gb", 1_500_000_000),
        ("2GiB", 2 << 30),
        ("8k", 8000),
        ("3 KiB", 3072),
    ],
)
def test_bytes(text, number):
    assert parse_bytes(text) == number


@pytest.mark.parametrize("text", ["", "0", "MB", "-5MB", "5 XB", "1e9", "5i", "0.1"])
def test_what_is_no_number_of_bytes(text):
    with pytest.raises(UsageError, match="500MB"):
        parse_bytes(text)
