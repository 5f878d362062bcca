"""`cn sample --sweep`: every cell is the image that `cn sample` makes, and the sheet shows all of them."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from cn import images
from cn.sample import batches, sweep_job
from cn.sample import pipeline as pipelines
from tests.helpers.cli import cn
from tests.helpers.sampling import write_condition, write_control

QUICK = ["--steps", "2", "--size", "64x64", "--prompt", "a house"]


@pytest.fixture
def run(sampling_folder, tiny_base_file, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shutil.copy(sampling_folder / "canny.png", "canny.png")
    shutil.copy(tiny_base_file, "base.safetensors")
    shutil.copytree(sampling_folder / "run", "run")

    def sample(*words, quick=QUICK, controlled=True):
        given = ["--cond", "canny.png", "--control", "run"] if controlled else []
        done = cn("sample", *given, "--base", "base.safetensors", *quick, "--quiet", *words)
        return done.returncode, done.stdout.splitlines(), done.stderr

    return sample


TWO = ["--sweep", "strength=0.5,1", "--sweep", "control-end=0.5,1"]


def test_each_cell_is_the_image_of_its_options(run):
    code, out, err = run(*TWO, "--out", "grid")
    assert (code, err) == (0, "")
    cells = [f"grid/strength={a}_control-end={b}.png" for b in ("0.5", "1") for a in ("0.5", "1")]
    assert out == [*cells, "grid/sweep.png"]
    assert run("--strength", "0.5", "--control-end", "1", "--out", "one.png")[0] == 0
    assert Path(cells[2]).read_bytes() == Path("one.png").read_bytes(), "with the same metadata"
    assert cn("sample", "--from", cells[1], "--out", "again.png", "--quiet").returncode == 0
    assert Path(cells[1]).read_bytes() == Path("again.png").read_bytes()
    assert len({Path(cell).read_bytes() for cell in cells}) == 4


def test_the_sheet_shows_the_cells_and_says_how_it_was_made(run):
    assert run(*TWO, "--out", "sheets/plot.png")[0] == 0
    page = images.read("sheets/plot.png")
    record = json.loads(images.read_info("sheets/plot.png")["cn.sweep"])
    assert record["columns"] == {"option": "strength", "values": [0.5, 1.0]}
    assert record["rows"] == {"option": "control-end", "values": [0.5, 1.0]}
    assert record["images"][1] == "plot/strength=1_control-end=0.5.png", "relative to the sheet"
    places = []
    for path in record["images"]:
        # 64 pixels are doubled twice, which leaves each as it is.
        cell = images.read(Path("sheets") / path).repeat(4, axis=0).repeat(4, axis=1)
        windows = np.lib.stride_tricks.sliding_window_view(page[..., 0], (16, 16))
        corners = np.argwhere((windows == cell[:16, :16, 0]).all(axis=(2, 3)))
        (place,) = [p for p in corners.tolist() if np.array_equal(page[p[0] :, p[1] :][:256, :256], cell)]
        places.append(tuple(place))
    (top_left, top_right, bottom_left, bottom_right) = places
    assert top_left[0] == top_right[0] < bottom_left[0] == bottom_right[0]
    assert top_left[1] == bottom_left[1] < top_right[1] == bottom_right[1]
    code, _, err = run("--out", "x.png", "--from", "sheets/plot.png", controlled=False, quick=[])
    assert (code, "is the sheet of a sweep" in err) == (3, True)


def test_what_is_there_is_skipped_and_the_sheet_is_made_of_all(run):
    assert run(*TWO, "--out", "grid")[0] == 0
    sheet = Path("grid/sweep.png").read_bytes()
    lost = Path("grid/strength=1_control-end=1.png")
    before, stamp = lost.read_bytes(), Path("grid/strength=0.5_control-end=1.png").stat().st_mtime_ns
    lost.unlink()
    assert run(*TWO, "--out", "grid")[:2] == (0, [str(lost), "grid/sweep.png"])
    assert (lost.read_bytes(), Path("grid/sweep.png").read_bytes()) == (before, sheet)
    assert Path("grid/strength=0.5_control-end=1.png").stat().st_mtime_ns == stamp
    more = ["--sweep", "strength=0.5,1,2", "--sweep", "control-end=0.5,1", "--out", "grid"]
    code, out, _ = run(*more)
    assert (code, len(out)) == (0, 3), "further values are added"
    assert len(run(*TWO, "--out", "grid", "--overwrite")[1]) == 5


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--seed", "3"], "strength=0.5.png: was sampled with another seed"),
        (["--negative", "x"], "was sampled with another negative"),
        (["--prompt", "b"], "was sampled with another prompt"),
        (["--control-end", "0.5"], "was sampled with another condition or control"),
    ],
)
def test_images_of_another_sweep_are_no_part_of_it(run, words, message):
    assert run("--sweep", "strength=0.5,1", "--out", "grid")[0] == 0
    quick = QUICK[:-2] if "--prompt" in words else QUICK
    code, out, err = run("--sweep", "strength=0.5,2", "--out", "grid", *words, quick=quick)
    assert (code, out) == (3, [])
    assert message in err
    assert not Path("grid/strength=2.png").exists()


SWEPT = ["--sweep", "scale=1,2", "--out", "grid"]


@pytest.mark.parametrize(
    ("first", "second", "message"),
    [
        (["--cond", "a/x.png"], ["--cond", "b/x.png"], "another condition or control"),
        (["--cond", "a/x.png"], ["--cond", "a/x.png", "--invert"], "another condition or control"),
        (["--cond", "a/x.png"], ["--cond", "a/x.png", "--detect", "canny"], "another condition or control"),
        (["--image", "a/x.png"], ["--image", "b/x.png"], "another start image or mask"),
        (["--image", "a/x.png"], ["--image", "a/x.png", "--mask", "b/x.png"], "another start image or mask"),
    ],
)
def test_images_of_another_image_of_the_same_name_are_no_part_of_it(run, first, second, message):
    for folder, image in (("a", images.read("canny.png")), ("b", images.read("canny.png")[::-1])):
        Path(folder).mkdir()
        images.write(f"{folder}/x.png", image)
    control = ["--control", "run"] if "--cond" in first else []
    assert run(*first, *control, *SWEPT, controlled=False)[0] == 0
    code, out, err = run(*second, *control, *SWEPT, controlled=False)
    assert (code, out) == (3, [])
    assert f"was sampled with {message}" in err
    shutil.copytree("a", "c")
    again = [word.replace("a/", "c/") for word in first]
    assert run(*again, *control, *SWEPT, controlled=False) == (0, ["grid/sweep.png"], ""), "the same one, moved"


def test_masks_are_known_again(run):
    mask = np.zeros((64, 64, 3), np.uint8)
    mask[:32] = 255
    images.write("mask.png", mask)
    start = ["--image", "canny.png", "--mask", "mask.png", "--inpaint-control", "run", *SWEPT]
    assert run(*start, controlled=False)[0] == 0
    assert run(*start, controlled=False) == (0, ["grid/sweep.png"], "")
    images.write("mask.png", mask[::-1])
    code, _, err = run(*start, controlled=False)
    assert (code, "was sampled with another start image or mask" in err) == (3, True)


def test_other_files_are_not_replaced(run):
    before = Path("canny.png").read_bytes()
    shutil.copy("canny.png", "mine.png")
    code, _, err = run("--sweep", "scale=1,2", "--out", "mine.png")
    assert (code, "is no sheet of scale" in err) == (3, True)
    assert run("--sweep", "scale=1,2", "--out", "canny.png", "--overwrite")[0] == 2, "its own condition"
    assert Path("canny.png").read_bytes() == before
    assert run("--sweep", "scale=1,2", "--out", "grid")[0] == 0
    code, _, err = run("--sweep", "eta=0,1", "--out", "grid")
    assert (code, "is no sheet of eta" in err) == (3, True)


def test_a_grid_for_each_prompt_and_seed(run):
    words = ["--prompt", "a tree", "--count", "2", "--seed", "5", "--sweep", "scale=1,9", "--out", "grids"]
    code, out, err = run(*words)
    assert code == 0, err
    names = [f"prompt{k}-seed{s}" for k in (1, 2) for s in (5, 6)]
    assert {*out} == {f"grids/{n}/scale={v}.png" for n in names for v in (1, 9)} | {
        f"grids/sweep-{n}.png" for n in names
    }
    made = json.loads(images.read_info("grids/prompt2-seed6/scale=9.png")["cn.sample"])
    assert (made["prompt"], made["seed"], made["scale"]) == ("a tree", 6, 9.0)
    code, _, err = run(*words[:-1], "one.png")
    assert (code, "is one file for 4 grids" in err) == (2, True)


def test_cells_that_can_share_a_batch_do_and_networks_are_loaded_once(run, monkeypatch):
    loaded, batched = [], []
    control, launch = pipelines.open_control, batches.launch
    monkeypatch.setattr(pipelines, "open_control", lambda *args: loaded.append(args) or control(*args))
    monkeypatch.setattr(
        batches, "launch", lambda base, requests, *rest: batched.append(len(requests)) or launch(base, requests, *rest)
    )
    words = ["--sweep", "strength=0.5,1", "--sweep", "seed=0..3", "--batch-size", "4"]
    code, out, _ = run(*words, "--json", "--out", "grid")
    assert (code, batched, len(loaded)) == (0, [4, 4], 1)
    assert json.loads(out[1])["sweep"] == {"strength": 0.5, "seed": 1}, "in the order of the batches"
    assert json.loads(out[-1])["sweep"] == {}


def test_prompts_and_conditions_as_axes(run):
    images.write("other.png", 255 - images.read("canny.png"))
    words = ["--sweep", 'prompt="a house, red",a tree', "--sweep", "cond=canny.png,other.png", "--control", "run"]
    code, out, err = run(*words, "--strength", "0.5", "--out", "grid", controlled=False, quick=QUICK[:-2])
    assert code == 0, err
    made = json.loads(images.read_info(out[0])["cn.sample"])
    assert made["prompt"] == "a house, red"
    records = [json.loads(images.read_info(path)["cn.sample"])["conditions"][0] for path in out[:-1]]
    assert {r["name"] for r in records} == {"canny.png", "other.png"}
    assert {r["strength"] for r in records} == {0.5}, "options of the command hold for all"


def test_bases_and_controls_as_axes(run, monkeypatch):
    """Each base is loaded once, and a control that was trained with a base of its own brings it."""
    write_control(Path("own/control.safetensors"), Path("base.safetensors"))
    shutil.copy("base.safetensors", "own/base.safetensors")
    bases = []
    original = pipelines.open_sampling_base
    monkeypatch.setattr(pipelines, "open_sampling_base", lambda *args: bases.append(args[0].base) or original(*args))
    words = ["sample", "--cond", "canny.png", *QUICK, "--quiet", "--out"]
    shutil.copy("base.safetensors", "second.safetensors")
    two = ["--sweep", "base=base.safetensors,second.safetensors", "--control", "run", "--sweep", "seed=0,1"]
    assert cn(*words, "bases", *two).returncode == 0
    assert bases == ["base.safetensors", "second.safetensors"]
    done = cn(*words, "controls", "--sweep", "control=own,run", "--from", "bases/base=base_seed=0.png")
    assert done.returncode == 0, done.stderr
    stored = [json.loads(images.read_info(f"controls/control={c}.png")["cn.sample"])["base"] for c in ("own", "run")]
    assert stored == ["own/base.safetensors", "base.safetensors"]


def test_a_recipe_can_be_swept(run):
    assert run("--seed", "4", "--out", "one.png")[0] == 0
    done = cn("sample", "--from", "one.png", "--sweep", "scale=5,9", "--out", "grid", "--quiet")
    assert done.returncode == 0, done.stderr
    assert Path("grid/scale=9.png").read_bytes() == Path("one.png").read_bytes()


@pytest.mark.parametrize("at_once", [1, 16])
def test_a_folder_of_conditions(run, monkeypatch, at_once):
    monkeypatch.setattr(sweep_job, "AT_ONCE", at_once)
    Path("maps/below").mkdir(parents=True)
    shutil.copy("canny.png", "maps/below/a.png")
    shutil.copy("canny.png", "maps/b.png")
    Path("maps/c.png").write_bytes(b"no image")
    words = ["--cond", "maps", "-r", "--control", "run", "--sweep", "strength=0.5,1", "--out", "grids"]
    code, out, err = run(*words, controlled=False)
    assert code == 5
    assert "not sampled: maps/c.png" in err
    assert {*out} == {
        *(f"grids/{n}/strength={v}.png" for n in ("below/a", "b") for v in (0.5, 1)),
        "grids/below/sweep-a.png",
        "grids/sweep-b.png",
    }
    assert Path("grids/b/strength=1.png").is_file()
    Path("maps/c.png").unlink()
    code, out, err = run(*words, controlled=False)
    assert (code, err) == (0, "")
    assert out == ["grids/sweep-b.png", "grids/below/sweep-a.png"]


def test_each_condition_has_a_sheet_of_its_own(run):
    Path("maps/a").mkdir(parents=True)
    for name in ("a/b", "a-b", "a"):
        shutil.copy("canny.png", f"maps/{name}.png")
    words = ["--cond", "maps", "-r", "--control", "run", "--sweep", "strength=1", "--out", "grids"]
    code, out, err = run(*words, controlled=False)
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
def test_why_no_condition_of_a_folder_can_be_sampled(run, words, code, message):
    write_maps("maps", a=None, b=None)
    # The first size is given again by some.
    quick = ["--steps", "2", "--prompt", "x"]
    found, out, err = run("--cond", "maps", *words, "--sweep", "eta=0,1", "--out", "g", controlled=False, quick=quick)
    assert (found, out) == (code, [])
    assert message in err.splitlines()[-1]


def test_a_condition_that_does_not_fit_leaves_the_others_alone(run):
    """It is the first, since it stands for the others before anything is loaded."""
    write_maps("mix", b="canny", c="canny")
    write_condition(Path("mix/a.png"), height=64, width=128)
    Path("grids/c").mkdir(parents=True)
    shutil.copy("canny.png", "grids/c/strength=1.png")
    words = ["--cond", "mix", "--control", "run", "--sweep", "strength=1,2", "--out", "grids"]
    code, out, err = run(*words, controlled=False)
    assert code == 5
    assert out == ["grids/b/strength=1.png", "grids/b/strength=2.png", "grids/sweep-b.png"]
    notes = [line for line in err.splitlines() if "not sampled: " in line]
    assert ["mix/a.png: a condition of 128×64" in notes[1], "grids/c/strength=1.png" in notes[0]] == [True, True]
    assert "2 of 3 conditions were not sampled" in err


def test_photographs_of_a_finished_sweep_are_not_detected_again(run, monkeypatch):
    from cn.sample import request

    found = []
    original = request.detected
    monkeypatch.setattr(request, "detected", lambda *args: found.append(args) or original(*args))
    write_maps("photos", a=None, b=None)
    shutil.copy("canny.png", "photos/b.png")
    images.write("photos/c.png", np.zeros((64, 64, 3), np.uint8))
    for cond in (["--cond", "photos", "--out", "many"], ["--cond", "canny.png", "--out", "one"]):
        words = [*cond, "--control", "run", "--detect", "canny", "--sweep", "strength=0.5,1"]
        code, out, err = run(*words, controlled=False)
        assert (code, len(found)) == ((0, 1) if "one" in cond else (5, 3)), err
        assert ("photos/c.png: --detect canny: nothing was found" in err) == (code == 5)
        Path("photos/c.png").unlink(missing_ok=True)
        found.clear()
        assert run(*words, controlled=False) == (0, [path for path in out if "sweep" in path], "")
        assert found == []


def test_what_is_there_is_read_once(run, monkeypatch):
    from cn.sample import folder, png_metadata

    write_maps("maps", a="canny", b="canny")
    words = ["--cond", "maps", "--control", "run", "--sweep", "strength=0.5,1", "--sweep", "sampler=ddim,euler"]
    assert run(*words, "--out", "grids", controlled=False)[0] == 0
    for name in ("ddim", "euler"):
        Path(f"grids/a/strength=1_sampler={name}.png").unlink()
    read, listed = [], []
    from_file, results = png_metadata.from_file, folder.FolderJob.results
    monkeypatch.setattr(png_metadata, "from_file", lambda path: read.append(path) or from_file(path))
    monkeypatch.setattr(folder.FolderJob, "results", lambda job: listed.append(job) or results(job))
    assert run(*words, "--out", "grids", controlled=False)[0] == 0
    assert (len(read), len({*read}), len(listed)) == (6, 6, 1)


def test_photographs_are_detected_once(run, monkeypatch):
    from cn.sample import request

    found = []
    original = request.detected
    monkeypatch.setattr(request, "detected", lambda *args: found.append(args) or original(*args))
    code, _, err = run("--detect", "canny", "--sweep", "strength=0.5,1", "--sweep", "seed=1..2", "--out", "grid")
    assert code == 0, err
    assert len(found) == 1


def test_weights_that_have_changed_are_named(run):
    assert run("--sweep", "strength=0.5,1", "--out", "grid")[0] == 0
    Path("grid/strength=1.png").unlink()
    path = Path("run/control.safetensors")
    path.write_bytes(path.read_bytes()[:-4] + b"\0\0\0\0")
    code, _, err = run("--sweep", "strength=0.5,1", "--out", "grid")
    assert code == 0
    assert "grid/strength=0.5.png was sampled with other weights" in err


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["--sweep", "strength=1,x"], 2, "--sweep strength=x: --strength must be a number"),
        (
            ["--sweep", "control-start=0,1"],
            2,
            "--sweep control-start=1: --control-start 1 must be below --control-end 1",
        ),
        (["--sweep", "scale=1", "--sweep", "eta=0", "--sweep", "seed=1"], 2, "at most twice"),
        (["--sweep", "scale=1", "--sweep", "scale=2"], 2, "--sweep scale is given twice"),
        (["--sweep", "seed=0..99", "--sweep", "steps=1..99"], 2, "a grid of 9900 images is too large"),
        (["--strength", "1", "--sweep", "strength=1,2"], 2, "--strength and --sweep strength both say it"),
        (["--sweep", "cond=canny.png"], 2, "--cond and --sweep cond both say it"),
        (["--sweep", "prompt=a,b"], 2, "--prompt and --sweep prompt both say it"),
        (["--sweep", "resolution=96,128"], 2, "--size and --sweep resolution both say it"),
        (["--sweep", "seed=1,2", "--count", "2"], 2, "--sweep seed takes no --count"),
        (["--sweep", "lora-weight=1,2"], 2, "is about LoRA files"),
        (["--sweep", "denoise=0.5,1"], 2, "--denoise is about an image to start from"),
        (["--sweep", "scale=1,2", "--grid"], 2, "--sweep takes no --grid"),
        (
            ["--image", "canny.png", "--mask", "canny.png", "--inpaint-control", "run", "--sweep", "control=run"],
            2,
            "--control and --sweep control both say it",
        ),
        (
            ["--image", "canny.png", "--mask", "canny.png", "--inpaint-control", "run", "--sweep", "cond=a.png"],
            2,
            "--sweep takes no --inpaint-control beside cond or control",
        ),
        (["--sweep", "scale=1,2", "--out", "-"], 2, "--out must be a folder, or a PNG"),
        (["--sweep", "scale=1,2", "--out", "x.jpg"], 3, "the sheet of a sweep is a PNG"),
        (["--sweep", "vae=missing.safetensors"], 4, "missing.safetensors"),
        (["--sweep", "lora=missing.safetensors,"], 4, "no such LoRA"),
    ],
)
def test_refused_before_anything_is_computed(run, monkeypatch, words, code, message):
    monkeypatch.setattr(pipelines.SamplingPipeline, "open", lambda *args, **kwargs: pytest.fail("networks are loaded"))
    found, out, err = run(*words)
    assert (found, out) == (code, [])
    assert message in err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--prompts", "one.txt", "--sweep", "prompt=a,b"], "--prompts and --sweep prompt both say it"),
        (["--prompt-mode", "none", "--sweep", "prompt=a,b"], "--prompt-mode none and --sweep prompt both say it"),
        (["--prompt-mode", "default", "--sweep", "prompt=a,b"], "--prompt-mode default and --sweep prompt both"),
        (["--resolution", "96", "--sweep", "size=64x64,96x96"], "--resolution and --sweep size both say it"),
        (["--data", "set", "--sweep", "cond=a.png"], "--data and --sweep cond both say it"),
    ],
)
def test_what_a_sweep_says_is_not_said_twice(run, words, message):
    Path("one.txt").write_text("a tree")
    code, out, err = run(*words, controlled=False, quick=[])
    assert (code, out) == (2, [])
    assert message in err


@pytest.mark.parametrize("option", ["strength=1,2", "control-end=0.5,1", "control=run,other"])
def test_options_of_conditions_need_one(run, option):
    code, out, err = run("--sweep", option, controlled=False)
    assert (code, out) == (2, [])
    assert f"--sweep {option.split('=')[0]} is about condition images: give one with --cond" in err
