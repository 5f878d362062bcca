"""`cn sample --sweep` over a folder of conditions, and of photographs."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from cn import images
from cn.sample import sweep_job
from tests.helpers.sampling import write_condition


@pytest.mark.parametrize("at_once", [1, 16])
def test_a_folder_of_conditions(sweep, monkeypatch, at_once):
    monkeypatch.setattr(sweep_job, "AT_ONCE", at_once)
    Path("maps/below").mkdir(parents=True)
    shutil.copy("canny.png", "maps/below/a.png")
    shutil.copy("canny.png", "maps/b.png")
    Path("maps/c.png").write_bytes(b"no image")
    words = ["--cond", "maps", "-r", "--control", "run", "--sweep", "strength=0.5,1", "--out", "grids"]
    code, out, err = sweep(*words, controlled=False)
    assert code == 5
    assert "not sampled: maps/c.png" in err
    assert {*out} == {
        *(f"grids/{n}/strength={v}.png" for n in ("below/a", "b") for v in (0.5, 1)),
        "grids/below/sweep-a.png",
        "grids/sweep-b.png",
    }
    assert Path("grids/b/strength=1.png").is_file()
    Path("maps/c.png").unlink()
    code, out, err = sweep(*words, controlled=False)
    assert (code, err) == (0, "")
    assert out == ["grids/sweep-b.png", "grids/below/sweep-a.png"]


def test_each_condition_has_a_sheet_of_its_own(sweep):
    Path("maps/a").mkdir(parents=True)
    for name in ("a/b", "a-b", "a"):
        shutil.copy("canny.png", f"maps/{name}.png")
    words = ["--cond", "maps", "-r", "--control", "run", "--sweep", "strength=1", "--out", "grids"]
    code, out, err = sweep(*words, controlled=False)
    assert code == 0, err
    sheets = [path for path in out if "sweep-" in path]
    assert {*sheets} == {"grids/a/sweep-b.png", "grids/sweep-a-b.png", "grids/sweep-a.png"}
    for sheet in sheets:
        (image,) = json.loads(images.read_info(sheet)["cn.sweep"])["images"]
        assert (Path(sheet).parent / image).is_file()


def write_maps(folder, **kinds):
    for name, kind in kinds.items():
        Path(folder).mkdir(exist_ok=True)
        write_condition(Path(folder) / f"{name}.png", kind)


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        ([], 2, "maps/a.png: this image does not state its kind of condition"),
        (["--control", "nope"], 4, "nope"),
        (["--control", "run", "--strength", "1", "--strength", "2"], 2, "--strength is given 2 times for 1 --cond"),
        (["--control", "run", "--device", "tpu"], 2, "--device must be"),
        (["--control", "run", "--size", "64x128"], 3, "2 of 2 conditions were not sampled: maps/a.png: a condition of"),
        (["--control", "run", "--lora", "missing.safetensors"], 4, "no such LoRA"),
    ],
)
def test_why_no_condition_of_a_folder_can_be_sampled(sweep, words, code, message):
    write_maps("maps", a=None, b=None)
    # The first size is given again by some.
    quick = ["--steps", "2", "--prompt", "x"]
    found, out, err = sweep("--cond", "maps", *words, "--sweep", "eta=0,1", "--out", "g", controlled=False, quick=quick)
    assert (found, out) == (code, [])
    assert message in err.splitlines()[-1]


def test_a_condition_that_does_not_fit_leaves_the_others_alone(sweep):
    """It is the first, since it stands for the others before anything is loaded."""
    write_maps("mix", b="canny", c="canny")
    write_condition(Path("mix/a.png"), height=64, width=128)
    Path("grids/c").mkdir(parents=True)
    shutil.copy("canny.png", "grids/c/strength=1.png")
    words = ["--cond", "mix", "--control", "run", "--sweep", "strength=1,2", "--out", "grids"]
    code, out, err = sweep(*words, controlled=False)
    assert code == 5
    assert out == ["grids/b/strength=1.png", "grids/b/strength=2.png", "grids/sweep-b.png"]
    notes = [line for line in err.splitlines() if "not sampled: " in line]
    assert ["mix/a.png: a condition of 128×64" in notes[1], "grids/c/strength=1.png" in notes[0]] == [True, True]
    assert "2 of 3 conditions were not sampled" in err


def test_photographs_of_a_finished_sweep_are_not_detected_again(sweep, monkeypatch):
    from cn.sample import request

    found = []
    original = request.detected
    monkeypatch.setattr(request, "detected", lambda *args: found.append(args) or original(*args))
    write_maps("photos", a=None, b=None)
    shutil.copy("canny.png", "photos/b.png")
    images.write("photos/c.png", np.zeros((64, 64, 3), np.uint8))
    for cond in (["--cond", "photos", "--out", "many"], ["--cond", "canny.png", "--out", "one"]):
        words = [*cond, "--control", "run", "--detect", "canny", "--sweep", "strength=0.5,1"]
        code, out, err = sweep(*words, controlled=False)
        assert (code, len(found)) == ((0, 1) if "one" in cond else (5, 3)), err
        assert ("photos/c.png: --detect canny: nothing was found" in err) == (code == 5)
        Path("photos/c.png").unlink(missing_ok=True)
        found.clear()
        assert sweep(*words, controlled=False) == (0, [path for path in out if "sweep" in path], "")
        assert found == []


def test_what_is_there_is_read_once(sweep, monkeypatch):
    from cn.sample import folder, recipes

    write_maps("maps", a="canny", b="canny")
    words = ["--cond", "maps", "--control", "run", "--sweep", "strength=0.5,1", "--sweep", "sampler=ddim,euler"]
    assert sweep(*words, "--out", "grids", controlled=False)[0] == 0
    for name in ("ddim", "euler"):
        Path(f"grids/a/strength=1_sampler={name}.png").unlink()
    read, listed = [], []
    read_recipe, results = recipes.read, folder.FolderJob.results
    monkeypatch.setattr(recipes, "read", lambda path: read.append(path) or read_recipe(path))
    monkeypatch.setattr(folder.FolderJob, "results", lambda job: listed.append(job) or results(job))
    assert sweep(*words, "--out", "grids", controlled=False)[0] == 0
    assert (len(read), len({*read}), len(listed)) == (6, 6, 1)


def test_photographs_are_detected_once(sweep, monkeypatch):
    from cn.sample import request

    found = []
    original = request.detected
    monkeypatch.setattr(request, "detected", lambda *args: found.append(args) or original(*args))
    code, _, err = sweep("--detect", "canny", "--sweep", "strength=0.5,1", "--sweep", "seed=1..2", "--out", "grid")
    assert code == 0, err
    assert len(found) == 1
