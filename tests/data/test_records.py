"""`prompt.json` as people write it: what is read, what is skipped, what is said."""

import json
import os
from pathlib import Path

import pytest

from cn.data.pair_notes import notes
from cn.data.records import MAX_LINE, Pair, iterate_records, read_records
from cn.errors import InputError
from tests.conftest import write_pairs

LINE = {"source": "source/0.png", "target": "target/0.png", "prompt": "a house"}


def write(data: Path, content: bytes | str) -> Path:
    (data / "prompt.json").write_bytes(content if isinstance(content, bytes) else content.encode())
    return data


def text(**changes: object) -> str:
    return json.dumps({key: value for key, value in (LINE | changes).items() if value is not ...})


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return write_pairs(tmp_path, 2)


def test_records_are_read_with_their_further_keys(data):
    line = LINE | {"prompt": "ein Häuschen 🏠", "score": 3}
    write(data, json.dumps(line) + "\n\n" + json.dumps(line, ensure_ascii=False))
    pairs = read_records(data)
    assert [p.prompt for p in pairs] == ["ein Häuschen 🏠"] * 2
    assert pairs[0].source == data / "source/0.png"
    assert pairs[1].extra == {"score": 3}
    assert pairs[1].where == f"{data / 'prompt.json'}:3"
    assert read_records(data / "prompt.json") == pairs


@pytest.mark.parametrize(
    "content",
    [
        f"\ufeff{text()}\n{text()}\n",
        f"{text()}\r\n{text()}\r\n",
        f"[{text()}, {text()}]",
        f"\ufeff\n [\n{text()},\n{text()}\n]\n",
        f"[\n{text()}\n,{text()}]",
        text(source="source\\0.png", target="target\\0.png") + "\n" + text() + "\n",
    ],
    ids=["byte order mark", "CRLF", "an array", "an array in lines", "commas first", "Windows' separators"],
)
def test_other_ways_to_write_the_same_records(data, content):
    pairs = read_records(write(data, content))
    assert [(p.source, p.target, p.prompt, p.problem) for p in pairs] == [
        (data / "source/0.png", data / "target/0.png", "a house", None)
    ] * 2


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ('{"source": "source/0.png", "target', "invalid JSON: Unterminated string"),
        ("[1]", "expected a JSON object, not list"),
        ("[" * 3000, "invalid JSON: it is nested too deeply"),
        ('{"source": ' + "9" * 4301 + "}", "invalid JSON: it holds a number with too many digits"),
        (text(source=...), '"source" is missing or not a string'),
        (text(target=5), '"target" is missing or not a string'),
        (text(source=""), '"source" is missing or not a string'),
        (text(prompt=["a"]), '"prompt" is not a string'),
        (text(source="a.png"), "the source image .*/a.png is missing"),
        (text(target="target"), "the target image .*/target is not a file"),
        (text(target="x" * 300), "the target image .* cannot be read: File name too long"),
        (text(target="a\0b"), r"the target image .*a\\x00b cannot be read: embedded null byte"),
        (text(prompt="x" * MAX_LINE), "the line is longer than 1 MiB"),
        (b"\xff" + text().encode(), r"is not UTF-8 \(byte 0\)"),
    ],
)
def test_a_broken_line_is_one_problem_with_its_number(data, line, problem):
    broken = line if isinstance(line, bytes) else line.encode()
    write(data, b"\n".join([text().encode(), broken, text().encode(), b""]))
    first, second, third = read_records(data)
    assert first.problem is None
    assert third.problem is None
    assert third.where == f"{data / 'prompt.json'}:3"
    with pytest.raises(InputError, match=rf"prompt\.json:2: {problem}") as refused:
        second.check()
    message = str(refused.value)
    assert message.isprintable()
    assert len(message) < 600


@pytest.mark.parametrize("line", [b"[" * 3000, f"[{text()}]".encode(), b"\0" * 600, text(prompt="\0").encode() + b"\0"])
@pytest.mark.parametrize("place", [0, 1, 2])
def test_a_broken_line_costs_itself_wherever_it_lies(data, line, place):
    lines = [text().encode()] * 3
    lines[place] = line
    pairs = read_records(write(data, b"\n".join(lines) + b"\n"))
    assert [pair.problem is None for pair in pairs] == [number != place for number in range(3)]


@pytest.mark.parametrize("ending", ["", "\n"])
def test_a_whole_line_is_not_called_cut_off(data, ending):
    pairs = read_records(write(data, f"{text()}\n" + text(source=...) + ending))
    assert pairs[1].problem == '"source" is missing or not a string; each line needs source and target'


def test_all_broken_lines_are_kept_apart_and_listed(tmp_path):
    data = write_pairs(tmp_path, 600)
    for number in range(0, 600, 50):
        os.unlink(data / f"target/{number}.png")
    broken = [pair for pair in read_records(data) if pair.problem]
    assert [pair.where.rpartition(":")[2] for pair in broken] == [str(number + 1) for number in range(0, 600, 50)]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"\n", "no pairs in it"),
        (text().encode("utf-16"), "is UTF-16; save it as UTF-8"),
        (text().encode("utf-16-le"), "is UTF-16 or UTF-32; save it as UTF-8"),
        (text().encode("utf-16-be"), "is UTF-16 or UTF-32; save it as UTF-8"),
        (f"[\n{text()},\n{text()},\n]".encode(), "invalid JSON"),
        (b"[" * 3000, "invalid JSON: it is nested too deeply"),
        (b"[" + text().encode(), "invalid JSON: Expecting ',' delimiter"),
        (f"{text(source='a')}\n{text(source='b')}\n{text()}\n".encode(), "2 of 3 pairs are broken: .*:1: .*:2: "),
        (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", "is not UTF-8"),
    ],
)
def test_a_file_that_is_no_dataset_is_refused(data, content, message):
    with pytest.raises(InputError, match=message) as refused:
        read_records(write(data, content))
    assert str(refused.value).isprintable()


def test_a_line_without_a_caption_is_the_empty_prompt(data):
    write(data, "\n".join([text(prompt=...), text(prompt=None), text(prompt=" "), text(prompt="x")]))
    pairs = read_records(data)
    assert [pair.prompt.strip() for pair in pairs] == ["", "", "", "x"]
    assert notes(pairs) == ["3 of 4 pairs have no caption; their prompt is empty"]


def test_captions_under_the_name_of_another_tool_are_pointed_out(data):
    pairs = read_records(write(data, text(prompt=..., caption="a house")))
    assert notes(pairs)[0].endswith('their prompt is empty (there is "caption": captions are called "prompt")')


def test_a_map_that_is_its_own_image_is_noted(data):
    pairs = read_records(write(data, f"{text()}\n{text(source='target/0.png')}\n"))
    assert notes(pairs) == [f"{data}/prompt.json:2: source and target are the same file (in 1 of 2 pairs)"]


def test_right_records_are_not_noted(data):
    assert notes(read_records(data)) == []


def test_a_file_that_is_not_text_costs_no_memory(tmp_path):
    """A line that never ends is read in pieces."""
    (tmp_path / "prompt.json").write_bytes(b'{"source": "' + b"x" * (3 * MAX_LINE))
    assert [pair.problem for pair in iterate_records(tmp_path)] == ["the line is longer than 1 MiB"]
    assert isinstance(next(iterate_records(tmp_path)), Pair)


def test_an_array_that_is_too_large_is_not_read(tmp_path):
    with (tmp_path / "prompt.json").open("wb") as file:
        file.write(b"[" + b" " * 600)
        file.truncate((1 << 30) + 1)
    with pytest.raises(InputError, match="an array of more than 1 GiB; write one object per line"):
        read_records(tmp_path)
