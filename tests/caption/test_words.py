"""Captions as text: tidying, loops, prefix and suffix, journals."""

import io

import pytest

from cn.caption.journal import Index, Journal, journal, line
from cn.caption.settings import CaptionSettings
from cn.caption.words import is_loop, tidy
from cn.errors import OutputError


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a man 's hat , on a table . ", "a man's hat, on a table"),
        ("<start_of_text>two   dogs<end_of_text> <end_of_text>", "two dogs"),
        ("a sign that says ' stop '", "a sign that says ' stop '"),
        ("they don ' t know\n", "they don't know"),
        ("a cat ( black ) .", "a cat (black)"),
        ("and so on ...", "and so on..."),
        ("caf\ufffd \x07 bar", "caf bar"),
        ("[DEC] a picture [SEP]", "a picture"),
        ("  ", ""),
    ],
)
def test_tidy(text, expected):
    assert tidy(text) == expected
    assert tidy(expected) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a a a a", True),
        ("a man with a hat on top of a hat on top of a hat on top of a hat", False),
        ("a hat on top of a hat", False),
        ("a bald bald bald man", True),
        ("ray ban ray ban ray ban", True),
        ("on the red on the red on the red hat", True),
        ("", False),
        ("two two", False),
    ],
)
def test_loops(text, expected):
    assert is_loop(text) is expected


@pytest.mark.parametrize(
    ("prefix", "suffix", "expected"),
    [
        ("", "", "a cat"),
        ("sks,", "", "sks, a cat"),
        ("  photo of\n", ", 35mm film ", "photo of a cat, 35mm film"),
        ("", "on film", "a cat on film"),
        ("", ". Sharp", "a cat. Sharp"),
    ],
)
def test_prefix_and_suffix(prefix, suffix, expected):
    assert CaptionSettings(prefix=prefix, suffix=suffix).finished("a cat") == expected


def test_a_journal_keeps_what_is_whole(tmp_path):
    path = tmp_path / "j.jsonl"
    with journal(path, "settings") as first:
        first.add("a.png", "one")
        first.add("b é.png", "two\u2028lines")
        assert first.get("a.png") == "one"
    with open(path, "ab") as file:
        file.write(b'{"file_name": "c.png", "te')
    with journal(path, "settings") as again:
        assert list(again.names()) == ["a.png", "b é.png"]
        again.add("d.png", "three")
        assert (again.get("b é.png"), again.get("c.png"), again.get("d.png")) == ("two\u2028lines", None, "three")
    data = path.read_bytes()
    assert data.endswith(line("d.png", "three").encode())
    assert b"c.png" not in data
    with journal(path, "others") as new:
        assert list(new.names()) == []


def test_lines_that_are_no_captions_do_not_count():
    lines = (b'{"file_name": "a", "text": "x"}', b"nonsense", b'{"file_name": 3, "text": "y"}', b"[]")
    index = Index(io.BytesIO(b"\n".join((*lines, b'{"file_name": "b", "text": " "}\n'))))
    index.read()
    assert list(index.names()) == ["a"]
    assert index.get("a") == "x"
    assert index.get("b") is None


def test_a_full_disk_is_named():
    class Full(io.BytesIO):
        name = "j.jsonl"

        def flush(self):
            raise OSError(28, "No space left on device")

    with pytest.raises(OutputError, match=r"j\.jsonl: cannot be written: No space left") as caught:
        Journal(Full()).add("a", "b")
    assert caught.value.stays
