"""Parsing JSON of others: every failure is one line."""

import json

import pytest

from cn.errors import InputError
from cn.json_text import decode_text, parse_json


@pytest.mark.parametrize(
    ("data", "what"),
    [
        ("", "invalid JSON: Expecting value: line 1 column 1 (char 0)"),
        ("{", "invalid JSON: Expecting property name"),
        ('{"a": 1} {', "invalid JSON: Extra data"),
        ("[" * 3_000, "invalid JSON: "),
        ("[" * 200_000 + "]" * 200_000, "invalid JSON: it is nested too deeply"),
        ('{"a":' * 100_000, "invalid JSON: it is nested too deeply"),
        ("[" + "9" * 4_301 + "]", "invalid JSON: it holds a number with too many digits"),
        (b"\xff\xfe{\0}\0", "is UTF-16; save it as UTF-8"),
        (b"\xfe\xff\0{\0}", "is UTF-16; save it as UTF-8"),
        (b"\xff\xfe\0\0{\0\0\0}\0\0\0", "is UTF-32; save it as UTF-8"),
        (b'{"a": "\xe4"}', "is not UTF-8 (byte 7); save it as UTF-8"),
        ('{"name": "\\ud800"}', "invalid JSON: a string holds half of a surrogate pair"),
        ('{"\\uDFFF": 1}', "invalid JSON: a string holds half of a surrogate pair"),
        ('"\x01"', "invalid JSON: Invalid control character"),
    ],
)
def test_what_is_no_json_is_one_line(data, what):
    with pytest.raises(InputError) as refusal:
        parse_json(data)
    assert str(refusal.value).startswith(what)
    assert "\n" not in str(refusal.value)
    assert refusal.value.path is None


@pytest.mark.parametrize(
    ("data", "value"),
    [
        (b'\xef\xbb\xbf{"a": 1}', {"a": 1}),
        ("\ufeff[1]", [1]),
        (" \r\n7 \n", 7),
        ('"\\ud83d\\ude00"', "\U0001f600"),
        ('"' + "9" * 5_000 + '"', "9" * 5_000),
        ("[" * 200 + "]" * 200, json.loads("[" * 200 + "]" * 200)),
        ("1e999", float("inf")),
    ],
    ids=str,
)
def test_unusual_but_valid_json_is_read(data, value):
    assert parse_json(data) == value


def test_objects_can_be_replaced_while_they_are_read():
    assert parse_json('[{"a": 1}, {"a": 2}]', object_hook=lambda found: found["a"]) == [1, 2]


def test_text_loses_its_byte_order_mark():
    assert decode_text("\ufeffä\n".encode()) == decode_text("\ufeffä\n") == "ä\n"
