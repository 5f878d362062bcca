"""The prompts of `cn sample`, also those of standard input."""

import io
import sys

import pytest

from cn.errors import InputError, UsageError
from cn.sample.prompts import from_command_line, prompt_warnings


class Terminal(io.TextIOWrapper):
    def isatty(self) -> bool:
        return True


def piped(monkeypatch, data: bytes, stream=io.TextIOWrapper) -> None:
    monkeypatch.setattr(sys, "stdin", stream(io.BytesIO(data)))


@pytest.mark.parametrize(
    ("data", "prompts"),
    [
        (b"a red house\na blue house\n", ("a red house", "a blue house")),
        (b"one", ("one",)),
        (b"\xef\xbb\xbfone\r\n\r\n  two \r\n", ("one", "two")),
        (b"one\rtwo", ("one", "two")),
        ("ein Mädchen\n女の子\u2028と猫\n".encode(), ("ein Mädchen", "女の子\u2028と猫")),
        (b"-\n", ("-",)),
    ],
)
def test_a_prompt_on_each_line(monkeypatch, data, prompts):
    piped(monkeypatch, data)
    assert from_command_line(["-"]) == prompts


def test_lines_stand_where_the_dash_does(monkeypatch):
    piped(monkeypatch, b"b\nc\n")
    assert from_command_line(["a", "-", "d"]) == ("a", "b", "c", "d")


def test_a_dash_within_a_prompt_is_one():
    assert from_command_line(["a - b", "--"]) == ("a - b", "--")


@pytest.mark.parametrize(
    ("data", "message"), [(b"", "holds no prompts"), (b"\n \r\n", "holds no prompts"), (b"\xff\xfea\0", "not UTF-8")]
)
def test_input_without_prompts(monkeypatch, data, message):
    piped(monkeypatch, data)
    with pytest.raises(InputError, match=f"standard input: .*{message}"):
        from_command_line(["-"])


def test_nothing_is_piped_in(monkeypatch):
    piped(monkeypatch, b"", Terminal)
    with pytest.raises(UsageError, match="nothing is piped in"):
        from_command_line(["-"])
    with pytest.raises(UsageError, match="only once"):
        from_command_line(["-", "-"])


@pytest.mark.parametrize(
    ("prompt", "syntax", "warnings"),
    [
        ("a house", "plain", []),
        (
            "a (red:1.3) house",
            "plain",
            ["'a (red:1.3) house' is read as plain text; weights need --prompt-syntax a1111"],
        ),
        (
            "word " * 76,
            "plain",
            [
                "'word word word word word word word word…' has 76 tokens: those beyond 75 are ignored "
                "(--prompt-syntax a1111 reads all)"
            ],
        ),
        ("a (red:1.3) house " + "word " * 80, "a1111", []),
        (
            "[cat:dog:3] AND rain",
            "a1111",
            ["'[cat:dog:3] AND rain': not supported, and read as text: prompt editing, AND"],
        ),
    ],
)
def test_warnings(prompt, syntax, warnings):
    assert prompt_warnings([prompt, "", prompt], syntax) == warnings
