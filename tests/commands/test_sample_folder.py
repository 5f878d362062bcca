"""`cn sample --cond FOLDER`: an image for each condition; what is done is skipped, what is broken is named."""

import json
import shutil
from pathlib import Path

import pytest

from cn import images
from cn.sample import folder
from cn.sample import pipeline as pipelines
from tests.helpers.cli import cn

QUICK = ["--steps", "1", "--size", "64x64", "--quiet"]


@pytest.fixture
def conditions(sampling_folder, tmp_path, monkeypatch) -> Path:
    """Three maps, one of them in a folder below, with a prompt beside one of them."""
    monkeypatch.chdir(tmp_path)
    source = tmp_path / "maps"
    source.mkdir()
    for name in ("a", "b", "c"):
        shutil.copy(sampling_folder / "canny.png", source / f"{name}.png")
    (source / "b.txt").write_text("a blue\n house\n")
    return source


@pytest.fixture
def run(conditions, sampling_folder, tiny_base_file):
    def sample(*words, source="maps"):
        given = ["--cond", source, "--base", tiny_base_file, "--control", sampling_folder / "run", *QUICK]
        done = cn("sample", *given, *words)
        return done.returncode, done.stdout.splitlines(), done.stderr

    return sample


def test_an_image_for_each_condition(run):
    code, out, err = run("--out", "made", "--json")
    records = [json.loads(line) for line in out]
    assert code == 0, err
    assert [record["path"] for record in records] == ["made/a.png", "made/b.png", "made/c.png"]
    assert records[1]["prompt"] == "a blue house", "of the file beside it"
    assert records[0]["prompt"] != records[1]["prompt"]
    assert cn("sample", "--from", "made/b.png", "--out", "again.png", "--quiet").returncode == 0
    assert Path("again.png").read_bytes() == Path("made/b.png").read_bytes()


def test_what_is_done_is_skipped_and_the_rest_has_the_same_bytes(run, monkeypatch):
    assert run("--out", "made")[0] == 0
    before = Path("made/b.png").read_bytes()
    stamp = Path("made/a.png").stat().st_mtime_ns
    Path("made/b.png").unlink()
    code, out, _ = run("--out", "made")
    assert (code, out) == (0, ["made/b.png"])
    assert Path("made/b.png").read_bytes() == before
    assert Path("made/a.png").stat().st_mtime_ns == stamp
    assert run("--out", "made")[:2] == (0, [])
    assert len(run("--out", "made", "--overwrite")[1]) == 3


def test_counts_and_prompts_have_names(run):
    code, out, _ = run("--out", "made", "--count", "2", "--prompt", "x", "--prompt", "y", source="maps/a*.png")
    assert code == 0
    assert out == [f"made/a-prompt{k}-seed{i}.png" for k in (1, 2) for i in (0, 1)]


def test_of_a_condition_that_is_partly_done_the_rest_is_sampled(run):
    words = ("--out", "made", "--count", "3", "--prompt", "x", "--prompt", "y")
    code, every, _ = run(*words, source="maps/a*.png")
    before = {name: Path(name).read_bytes() for name in every}
    stamps = {name: Path(name).stat().st_mtime_ns for name in every}
    missing = ["made/a-prompt1-seed1.png", "made/a-prompt2-seed2.png"]
    for name in missing:
        Path(name).unlink()
    code, out, _ = run(*words, source="maps/a*.png")
    assert (code, out) == (0, missing)
    assert {name: Path(name).read_bytes() for name in every} == before
    assert all(Path(name).stat().st_mtime_ns == stamps[name] for name in every if name not in missing)


@pytest.mark.parametrize(
    ("words", "different"),
    [
        (["--prompt", "y"], "prompt, x and not y"),
        (["--prompt", "x", "--steps", "2"], "number of steps, 1 and not 2"),
        (["--prompt", "x", "--seed", "1"], "seed, 0 and not 1"),
        (["--prompt", "x", "--strength", "0.5"], "strength, 1 and not 0.5"),
        (["--prompt", "x", "--control-end", "0.5"], "control-end, 1 and not 0.5"),
        (["--prompt", "x", "--guess"], "guess, off and not on"),
        (["--prompt", "x", "--invert"], "condition image"),
        (["--prompt", "x", "--size", "128x64", "--fit", "pad"], "size, 64×64 and not 128×64"),
    ],
)
def test_images_of_another_recipe_are_not_passed_off_as_done(run, words, different):
    assert run("--out", "made", "--prompt", "x", source="maps/a*.png")[0] == 0
    before = Path("made/a.png").read_bytes()
    code, out, err = run("--out", "made", *words)
    assert (code, out) == (3, [])
    advice = "give another --out, or --overwrite to replace it"
    assert err == f"cn: made/a.png: was sampled with another {different}; {advice}\n"
    assert Path("made/a.png").read_bytes() == before
    assert not Path("made/b.png").exists()
    assert run("--out", "made", *words, "--overwrite")[0] == 0


def test_a_file_that_is_no_sample_is_not_passed_off_as_one(run, conditions):
    Path("made").mkdir()
    shutil.copy(conditions / "a.png", "made/a.png")
    code, out, err = run("--out", "made")
    assert (code, out) == (3, [])
    assert "made/a.png: is a condition map (canny), not a sampled image; use it with --cond; give another --out" in err


def test_more_seeds_of_the_same_recipe_go_on(run):
    code, out, _ = run("--out", "made", "--count", "2", "--prompt", "x", source="maps/a*.png")
    assert (code, out) == (0, ["made/a-seed0.png", "made/a-seed1.png"])
    assert run("--out", "made", "--count", "3", "--prompt", "x", source="maps/a*.png")[1] == ["made/a-seed2.png"]


@pytest.mark.parametrize("at_once", [1, 64])
def test_a_broken_condition_is_named_and_the_rest_is_sampled(run, conditions, monkeypatch, at_once):
    monkeypatch.setattr(folder, "AT_ONCE", at_once)
    (conditions / "b.png").write_bytes(b"no image")
    code, out, err = run("--out", "made")
    assert (code, out) == (5, ["made/a.png", "made/c.png"])
    assert "not sampled: maps/b.png" in err
    assert "1 of 3 conditions were not sampled" in err
    for name in ("a", "c"):
        (conditions / f"{name}.png").write_bytes(b"no image")
    assert run("--out", "other")[0] == 3


def test_networks_are_loaded_once(run, monkeypatch):
    loaded = []
    original = pipelines.open_control
    monkeypatch.setattr(pipelines, "open_control", lambda *args, **o: loaded.append(args) or original(*args, **o))
    monkeypatch.setattr(folder, "AT_ONCE", 1)
    assert run("--out", "made")[0] == 0
    assert len(loaded) == 1


def test_sub_folders_and_guessing(run, conditions):
    """Folders are kept; a guess needs a condition, which each has."""
    (conditions / "below").mkdir()
    shutil.move(conditions / "c.png", conditions / "below/c.png")
    code, out, _ = run("--out", "made", "--recursive", "--guess", "--json")
    paths = [json.loads(line)["path"] for line in out]
    assert (code, paths) == (0, ["made/a.png", "made/b.png", "made/below/c.png"])
    assert run("--out", "plain", "-r")[0] == 0
    assert Path("plain/a.png").read_bytes() != Path("made/a.png").read_bytes()
    code, _, err = run("--recursive", "--out", "x", source="maps/a.png")
    assert (code, "--recursive is about a folder" in err) == (2, True)


def test_conditions_of_photographs_are_detected(run, conditions):
    code, out, err = run("--detect", "canny", "--out", "made")
    assert code == 0, err
    assert images.read(out[0]).shape == (64, 64, 3)


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["--prompts", "x.txt"], 2, "takes no --prompts"),
        (["--image", "a.png"], 2, "takes no --image"),
        (["--grid"], 2, "takes no --grid"),
        (["--cond", "maps/a.png"], 2, "is given alone"),
        (["--out", "one.png"], 2, "--out must be a folder"),
        (["--out", "maps"], 2, "name another folder"),
    ],
)
def test_what_does_not_go_with_it(run, words, code, message):
    found, out, err = run(*words)
    assert (found, out) == (code, [])
    assert message in err


def test_an_empty_folder(run):
    Path("empty").mkdir()
    code, _, err = run(source="empty")
    assert code == 3
    assert "empty" in err
