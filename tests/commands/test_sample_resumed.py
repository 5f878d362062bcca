"""`cn sample` of several images into a folder where some of them are: a stopped job goes on."""

from pathlib import Path

import pytest

from cn.sample import pipeline as pipelines
from tests.helpers.sampling import CONTROLLED, write_condition

MANY = ["--prompt", "y", "--count", "3", "--out", "out"]
"""With another prompt than that of the fixture."""
NAMES = [f"canny-prompt{k}-seed{i}.png" for k in (1, 2) for i in range(3)]
ADVICE = "give another --out, or --overwrite to replace it"


def contents():
    return {path.name: path.read_bytes() for path in Path("out").iterdir()}


@pytest.mark.parametrize("missing", [NAMES[1:], NAMES[3:], [NAMES[0], NAMES[5]], NAMES[:3]])
def test_the_rest_is_sampled_with_the_same_bytes(sample, missing):
    assert sample(*CONTROLLED, *MANY)[0] == 0
    before = contents()
    assert sorted(before) == NAMES
    for name in missing:
        Path("out", name).unlink()
    stamps = {path: path.stat().st_mtime_ns for path in Path("out").iterdir()}
    code, out, err = sample(*CONTROLLED, *MANY)
    assert (code, out.split()) == (0, [f"out/{name}" for name in missing])
    assert f"{len(missing)} of " in err
    there = 6 - len(missing)
    assert f"; {there} more {'is' if there == 1 else 'are'} there already\n" in err
    assert contents() == before
    assert all(path.stat().st_mtime_ns == stamp for path, stamp in stamps.items())


@pytest.mark.parametrize("words", [[], ["--grid"], ["--json"]])
def test_a_job_that_is_complete_has_nothing_left(sample, monkeypatch, words):
    assert sample(*CONTROLLED, *MANY, *words)[0] == 0
    before = contents()
    monkeypatch.setattr(pipelines, "open_sampling_base", lambda *args: pytest.fail("networks are loaded"))
    code, out, err = sample(*CONTROLLED, *MANY, *words)
    assert (code, out, err) == (0, "", "Sampling\n  images  all 6 are there already\n")
    assert contents() == before
    code, out, err = sample(*CONTROLLED, *MANY, *words, "--steps", "3", "-q")
    assert (code, "another number of steps, 2 and not 3" in err) == (3, True)


def test_a_single_image_that_is_there_exists_already(sample):
    words = [*CONTROLLED, "--out", "one.png", "-q"]
    assert sample(*words)[0] == 0
    assert sample(*words)[::2] == (
        3,
        "cn: one.png: exists already; give another --out, --number to keep it, or --overwrite to replace it\n",
    )
    assert sample(*words, "--grid")[:2] == (0, "one-grid.png\n"), "its sheet was not there"
    assert sample(*words, "--grid")[0] == 3


@pytest.mark.parametrize(
    ("words", "different"),
    [
        (["--steps", "3"], "another number of steps, 2 and not 3"),
        (["--scale", "3"], "another scale, 9 and not 3"),
        (["--negative", "a cat"], "another negative, '' and not 'a cat'"),
        (["--guess"], "another guess, off and not on"),
        (["--strength", "0.5"], "another strength, 1 and not 0.5"),
        (["--cond", "other.png"], "another condition image"),
    ],
)
def test_other_recipes_do_not_go_on_with_a_job(sample, words, different):
    assert sample(*CONTROLLED, *MANY)[0] == 0
    Path("out", NAMES[4]).unlink()
    before = contents()
    write_condition(Path("other.png"), seed=1)
    given = [*CONTROLLED, *MANY]
    if words[0] == "--cond":
        given[given.index("--cond") + 1] = words[1]
    else:
        given += words
    code, out, err = sample(*given, "-q")
    assert (code, out) == (3, "")
    assert err == f"cn: out/{NAMES[0]}: was sampled with {different}; {ADVICE}\n"
    assert contents() == before


def test_a_file_of_somebody_else_is_not_taken_for_a_result(sample):
    Path("out").mkdir()
    Path("out", NAMES[2]).write_bytes(Path("plain.png").read_bytes())
    code, out, err = sample(*CONTROLLED, *MANY, "-q")
    assert (code, out) == (3, "")
    assert ADVICE in err


def test_the_sheet_is_made_of_what_is_there_and_of_the_rest(sample, monkeypatch):
    """A line that is complete has its row and its condition, too; where none is left, nothing is loaded."""
    Path("lines.txt").write_text('one\n{"prompt": "two", "count": 2, "cond": "openpose.png", "control": "run"}\n')
    words = [*CONTROLLED, "--prompts", "lines.txt", "--steps", "2", "--grid", "--out", "out"]
    code, every, _ = sample(*words, "-q", quick=False)
    first, *_, last, sheet = every.split()
    assert (code, len(contents())) == (0, 4)
    before = contents()
    for missing in (sheet, last), (sheet, first), (sheet,):
        for name in missing:
            Path(name).unlink()
        if missing == (sheet,):
            monkeypatch.setattr(pipelines, "open_sampling_base", lambda *args: pytest.fail("networks are loaded"))
        code, out, err = sample(*words, quick=False)
        assert (code, out.split()) == (0, sorted(missing, key=every.index))
        assert ("all 3 are there already" in err) == (missing == (sheet,))
        assert contents() == before


def test_a_sheet_that_is_there_is_not_replaced(sample):
    assert sample(*CONTROLLED, *MANY, "--grid")[0] == 0
    before = contents()
    Path("out", NAMES[4]).unlink()
    code, out, err = sample(*CONTROLLED, *MANY, "--grid", "-q")
    assert (code, out) == (3, "")
    assert "out/canny-seed0-grid.png: exists already, and cannot show what is to be sampled: remove it, the" in err
    Path("out/canny-seed0-grid.png").unlink()
    assert sample(*CONTROLLED, *MANY, "--grid", "-q")[0] == 0
    assert contents() == before


def test_lines_of_a_file_go_on_too(sample):
    Path("lines.txt").write_text("one\ntwo\n# no\nthree\n")
    words = ["--prompts", "lines.txt", "--steps", "2", "--out", "out", "-q"]
    code, every, _ = sample(*words, quick=False)
    assert code == 0
    before = contents()
    Path(every.split()[1]).unlink()
    assert sample(*words, quick=False)[:2] == (0, f"{every.split()[1]}\n")
    assert contents() == before
