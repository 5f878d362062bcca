"""A job that is run again: which images that are there it takes for its own."""

import contextlib
import json
import os
import shutil
from pathlib import Path

import pytest

from cn import app, console, files, images
from cn.errors import InputError
from cn.sample import pipeline as pipelines
from cn.sample import sweep_job
from cn.sample.parameters import KEY
from cn.sample.png_metadata import TEXT_KEY
from tests.helpers.sampling import CONTROLLED, write_condition

ADVICE = "give another --out, or --overwrite to replace it"
ONE_STEP = ["--steps", "1", "--prompt", "x", "--out", "out", "-q"]
JOBS = {
    "seeds": [*CONTROLLED, "--count", "2"],
    "grid": [*CONTROLLED, "--count", "2", "--grid"],
    "folder": ["--cond", "maps", "--control", "run"],
    "sweep": [*CONTROLLED, "--sweep", "scale=1,2"],
    "sweep of a folder": ["--cond", "maps", "--control", "run", "--sweep", "scale=1,2"],
}


@pytest.fixture
def run(sample):
    """Runs one of the jobs, or other words; gives exit code and errors."""
    Path("maps").mkdir()
    for number in range(2):
        write_condition(Path(f"maps/{number}.png"), seed=number, height=96, width=96)

    def job(words, *more):
        code, _, err = sample(*(JOBS[words] if isinstance(words, str) else words), *ONE_STEP, *more, quick=False)
        return code, err

    return job


def made():
    return {path: path.read_bytes() for path in sorted(Path("out").rglob("*.png"))}


def first_is_left():
    first, *others = [path for path in made() if "grid" not in path.name and "sweep" not in path.name]
    for path in {*made()} - {first}:
        path.unlink()
    assert others
    return first


def cut_off(data):
    return data[:-300]


def changed_within(data):
    return data[:-100] + bytes(50) + data[-50:]


def without_an_end(data):
    return data[:-12] + bytes(12)


@pytest.mark.parametrize("job", JOBS)
@pytest.mark.parametrize("breaks", [cut_off, changed_within, without_an_end])
def test_a_broken_image_is_not_taken_for_finished(run, monkeypatch, job, breaks):
    assert run(job) == (0, "")
    first = first_is_left()
    first.write_bytes(breaks(first.read_bytes()))
    before = made()
    monkeypatch.setattr(pipelines, "open_sampling_base", lambda *args: pytest.fail("networks are loaded"))
    code, err = run(job)
    assert code == 3
    assert err == f"cn: {first}: is broken or cut off: remove it and start again; {ADVICE}\n"
    assert made() == before


def test_a_jpeg_that_is_broken(run):
    """The only image of its job, beside its sheet."""
    words = [*CONTROLLED, "--grid"]
    assert run(words, "--out", "x.jpg") == (0, "")
    Path("x-grid.png").unlink()
    Path("x.jpg").write_bytes(Path("x.jpg").read_bytes()[:-400])
    code, err = run(words, "--out", "x.jpg")
    assert (code, err.startswith("cn: x.jpg: "), ADVICE in err) == (3, True, True), err
    assert not Path("x-grid.png").exists()


def test_one_condition_whose_sheet_fails_does_not_end_the_others(run, monkeypatch):
    write = sweep_job.write_sheet

    def fail(grid, sweep):
        if grid.of == "0":
            raise InputError("was removed", path=grid.sheet)
        write(grid, sweep)

    monkeypatch.setattr(sweep_job, "write_sheet", fail)
    code, err = run("sweep of a folder")
    assert (code, "not sampled: out/sweep-0.png: was removed" in err) == (5, True), err
    assert Path("out/sweep-1.png").exists()


@pytest.mark.parametrize("hashes", [{"base": 5}, {"base": None}, []])
def test_hashes_that_are_none_are_damaged_metadata(run, hashes):
    assert run("seeds") == (0, "")
    first = first_is_left()
    rewrite(first, lambda record: record.update(sha256=hashes))
    code, err = run("seeds")
    assert (code, f"{first}: its sampling metadata is damaged: " in err) == (3, True), err


def rewrite(path, change):
    text = images.read_info(path)
    record = json.loads(text[TEXT_KEY])
    change(record)
    images.write(path, images.read(path), text | {TEXT_KEY: json.dumps(record)})


@pytest.mark.parametrize("job", JOBS)
def test_the_image_of_another_program_is_none_of_the_job(run, monkeypatch, job):
    """Though it says the same prompt and settings."""
    words = ("--prompt-syntax", "a1111", "--size", "64x64")
    assert run(job, *words) == (0, "")
    first = first_is_left()
    images.write(first, images.read(first), {KEY: images.read_info(first)[KEY].replace("Version: cn", "Version: v")})
    monkeypatch.setattr(pipelines, "open_sampling_base", lambda *args: pytest.fail("networks are loaded"))
    code, err = run(job, *words)
    assert (code, err.startswith(f"cn: {first}: was not written by cn sample; give another --out")) == (3, True), err


def test_a_sheet_of_something_else_ends_a_sweep_of_a_folder(run):
    Path("out").mkdir()
    write_condition(Path("out/sweep-0.png"))
    code, err = run("sweep of a folder")
    assert (code, "out/sweep-0.png: exists already, and is no sheet of scale" in err, len(made())) == (3, True, 1), err


@pytest.mark.parametrize("size", ["64x64", "96x96"])
@pytest.mark.parametrize("other", [False, True])
def test_conditions_of_an_earlier_version_are_compared_at_the_size_of_the_image(run, size, other):
    """It does not say which condition it was given, but holds what became of it."""
    assert run("folder", "--size", size) == (0, "")
    first = first_is_left()
    rewrite(first, lambda record: [condition.pop("source") for condition in record["conditions"]])
    if other:
        write_condition(Path("maps/0.png"), seed=5, height=96, width=96)
    code, err = run("folder", "--size", size)
    assert (code, "another condition image" in err) == ((3, True) if other else (0, False)), err


@pytest.mark.parametrize("other", ["", "image", "mask"])
def test_start_images_of_an_earlier_version_are_compared_at_the_size_of_the_image(run, other):
    write_condition(Path("photo.png"), height=96, width=96)
    images.write("mask.png", images.read("photo.png"))
    words = ["--image", "photo.png", "--mask", "mask.png", "--size", "64x64", "--count", "2"]
    assert run(words)[0] == 0
    first = first_is_left()
    rewrite(first, lambda record: record["image"].pop("source"))
    if other:
        write_condition(Path("photo.png" if other == "image" else "mask.png"), height=96, width=96, seed=5)
    code, err = run(words)
    assert (code, "another start image or mask" in err) == ((3, True) if other else (0, False)), err


def test_a_default_that_is_given_is_the_same(run):
    words = ["--image", "plain.png", "--count", "2", "--steps", "5"]
    assert run(words, *words[-2:]) == (0, "")
    first_is_left()
    assert run(words, *words[-2:], "--denoise", "0.8") == (0, "")
    first_is_left()
    code, err = run(words, *words[-2:], "--denoise", "0.4")
    assert (code, "another denoise, 0.8 and not 0.4" in err) == (3, True), err


def test_weights_are_known_by_their_hashes_whatever_they_are_called(run, sampling_folder, tiny_base_file, monkeypatch):
    shutil.copytree(sampling_folder / "run", "moved")
    shutil.copy(tiny_base_file, "same.safetensors")
    assert run("folder") == (0, "")
    for control in ("moved", "./moved/control.safetensors", str(Path("moved").absolute())):
        first_is_left()
        words = ["--cond", "maps", "--control", control, "--base", "same.safetensors"]
        assert run(words) == (0, ""), control
    first = first_is_left()
    rewrite(first, lambda record: record.update(sha256={}))
    code, err = run(["--cond", "maps", "--control", "moved"])
    assert (code, "another control, run and not moved" in err) == (3, True), err
    Path("run").unlink()
    shutil.move("moved", "run")
    assert run("folder") == (0, ""), "the name is all that is known"


def test_files_are_read_once_where_a_job_goes_on(run, monkeypatch):
    hashed, original = [], files._sha256
    monkeypatch.setattr(files, "_sha256", lambda path: hashed.append(os.path.abspath(path)) or original(path))
    auto = ["--prompt-mode", "auto", "--captioner", "scenes", "--steps", "1"]
    command = ["sample", "--base", "base.safetensors", *CONTROLLED, "--count", "2", *auto, "--out", "out", "-q"]
    assert app.run(command) == 0
    first_is_left()
    hashed.clear()
    files._begun.clear()
    assert app.run(command) == 0
    assert len(hashed) == len({*hashed})
    assert any("base" in path for path in hashed)


def test_the_images_of_a_folder_are_counted_while_they_are_compared(run, monkeypatch):
    bars = []

    @contextlib.contextmanager
    def progress(total, what, **more):
        done = []
        yield lambda n=1: done.append(n)
        bars.append((what, total, sum(done)))

    monkeypatch.setattr(console, "progress", progress)
    assert run("folder") == (0, "")
    assert run("folder") == (0, "")
    assert bars == [("comparing", 0, 0), ("sampling", 2, 2), ("comparing", 2, 2), ("sampling", 0, 0)]
