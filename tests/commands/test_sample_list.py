"""`cn sample --cond -`: paths on standard input, one a line, each as a file of a folder."""

import shutil
from pathlib import Path

import pytest

from cn import images
from cn.detect.run import inputs
from tests.helpers.cli import cn


@pytest.fixture
def run(sampling_folder, tiny_base_file, tmp_path, monkeypatch):
    """`cn sample --cond -` where there are three maps, in two folders, and a prompt beside one of them."""
    monkeypatch.chdir(tmp_path)
    for name in ("a.png", "b.png", "below/a.png"):
        Path("maps", name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(sampling_folder / "canny.png", Path("maps", name))
    Path("maps/b.txt").write_text("a house")

    def sample(stdin, *words):
        given = ["--cond", "-", "--base", tiny_base_file, "--control", sampling_folder / "run"]
        done = cn("sample", *given, "--steps", "1", "--size", "64x64", "--quiet", *words, stdin=stdin)
        return done.returncode, done.stdout.splitlines(), done.stderr

    return sample


@pytest.mark.parametrize("separator", [b"\n", b"\r\n", b"\0"])
def test_an_image_for_each_path(run, separator):
    code, out, err = run(separator.join([b"maps/b.png", b"maps/below/a.png", b"maps/b.png", b""]), "--out", "made")
    assert (code, out) == (0, ["made/b.png", "made/below/a.png"]), err
    assert cn("sample", "--from", "made/b.png", "--out", "x.png", "--json").stdout.count("a house") == 1
    assert run(b"maps/b.png\nmaps/below/a.png\n", "--out", "made")[:2] == (0, []), "they are done"


def test_it_is_the_image_of_a_folder(run):
    assert run(b"maps/a.png\n", "--out", "list")[:2] == (0, ["list/a.png"])
    run(Path("maps/a.png").read_bytes(), "--out", "piped.png")
    assert (images.read("list/a.png") == images.read("piped.png")).all(), "an image is still an image"


def test_what_cannot_be_read_is_named(run):
    code, out, err = run(b"maps/a.png\nmaps/below\nmaps/b.txt\nmaps/none.png\n", "--out", "made")
    assert (code, out) == (5, ["made/a.png"])
    for name in ("maps/b.txt", "maps/none.png: no such file"):
        assert f"not sampled: {name}" in err
    assert "maps/below: is a folder" in err
    assert "3 of 4 conditions were not sampled" in err


@pytest.mark.parametrize(
    ("stdin", "words", "code", "message"),
    [
        (b"", [], 3, "standard input: is empty"),
        (b"\n \n", [], 3, "standard input: no paths were given"),
        (b"\x02\x81\x07 no image\n\x10", [], 3, "standard input: is neither an image"),
        (b'{"people": []}', [], 3, "is JSON, not an image"),
        (b"maps/a.png", ["--prompt", "-"], 2, "standard input is read once"),
        (b"maps/a.png", ["--prompts", "-"], 2, "standard input is read once"),
        (b"maps/a.png", ["--serve-stdin"], 2, "standard input is read once"),
        (b"maps/a.png", ["--recursive"], 2, "--cond with a list of paths takes no --recursive"),
        (b"maps/a.png", ["--grid"], 2, "--cond with a list of paths takes no --grid"),
        (b"maps/a.png\nmaps/b.png", ["--out", "x.png"], 2, "--out must be a folder"),
        (b"maps/a.png\nmaps/b.png", ["--out", "maps"], 2, "name another folder"),
    ],
)
def test_what_does_not_go_with_it(run, stdin, words, code, message):
    found, out, err = run(stdin, *words)
    assert (found, out) == (code, [])
    assert message in err


def test_a_limit_takes_the_first(run):
    assert run(b"maps/b.png\nmaps/a.png\n", "--limit", "1", "--out", "made")[:2] == (0, ["made/a.png"])
    code, _, err = run(Path("maps/a.png").read_bytes(), "--limit", "1")
    assert (code, "--limit is about" in err) == (2, True)
    assert inputs.find("-", suffixes=frozenset({".png"}), stdin_paths=["b.png", "a.png"]).keys == ["a.png", "b.png"]
