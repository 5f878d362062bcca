"""`cn sample --sweep`: every cell is the image that `cn sample` makes, and the sheet shows all of them."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from cn import images
from cn.sample import batches
from cn.sample import pipeline as pipelines
from tests.helpers.cli import cn
from tests.helpers.sampling import QUICK_SWEEP, write_control

TWO = ["--sweep", "strength=0.5,1", "--sweep", "control-end=0.5,1"]


def test_each_cell_is_the_image_of_its_options(sweep):
    code, out, err = sweep(*TWO, "--out", "grid")
    assert (code, err) == (0, "")
    cells = [f"grid/strength={a}_control-end={b}.png" for b in ("0.5", "1") for a in ("0.5", "1")]
    assert out == [*cells, "grid/sweep.png"]
    assert sweep("--strength", "0.5", "--control-end", "1", "--out", "one.png")[0] == 0
    assert Path(cells[2]).read_bytes() == Path("one.png").read_bytes(), "with the same metadata"
    assert cn("sample", "--from", cells[1], "--out", "again.png", "--quiet").returncode == 0
    assert Path(cells[1]).read_bytes() == Path("again.png").read_bytes()
    assert len({Path(cell).read_bytes() for cell in cells}) == 4


def test_the_sheet_shows_the_cells_and_says_how_it_was_made(sweep):
    assert sweep(*TWO, "--out", "sheets/plot.png")[0] == 0
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
    code, _, err = sweep("--out", "x.png", "--from", "sheets/plot.png", controlled=False, quick=[])
    assert (code, "is the sheet of a sweep" in err) == (3, True)


def test_what_is_there_is_skipped_and_the_sheet_is_made_of_all(sweep):
    assert sweep(*TWO, "--out", "grid")[0] == 0
    sheet = Path("grid/sweep.png").read_bytes()
    lost = Path("grid/strength=1_control-end=1.png")
    before, stamp = lost.read_bytes(), Path("grid/strength=0.5_control-end=1.png").stat().st_mtime_ns
    lost.unlink()
    assert sweep(*TWO, "--out", "grid")[:2] == (0, [str(lost), "grid/sweep.png"])
    assert (lost.read_bytes(), Path("grid/sweep.png").read_bytes()) == (before, sheet)
    assert Path("grid/strength=0.5_control-end=1.png").stat().st_mtime_ns == stamp
    more = ["--sweep", "strength=0.5,1,2", "--sweep", "control-end=0.5,1", "--out", "grid"]
    code, out, _ = sweep(*more)
    assert (code, len(out)) == (0, 3), "further values are added"
    assert len(sweep(*TWO, "--out", "grid", "--overwrite")[1]) == 5


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--seed", "3"], "strength=0.5.png: was sampled with another seed"),
        (["--negative", "x"], "was sampled with another negative"),
        (["--prompt", "b"], "was sampled with another prompt"),
        (["--control-end", "0.5"], "was sampled with another control-end, 1 and not 0.5"),
    ],
)
def test_images_of_another_sweep_are_no_part_of_it(sweep, words, message):
    assert sweep("--sweep", "strength=0.5,1", "--out", "grid")[0] == 0
    quick = QUICK_SWEEP[:-2] if "--prompt" in words else QUICK_SWEEP
    code, out, err = sweep("--sweep", "strength=0.5,2", "--out", "grid", *words, quick=quick)
    assert (code, out) == (3, [])
    assert message in err
    assert not Path("grid/strength=2.png").exists()


SWEPT = ["--sweep", "scale=1,2", "--out", "grid"]


@pytest.mark.parametrize(
    ("first", "second", "message"),
    [
        (["--cond", "a/x.png"], ["--cond", "b/x.png"], "another condition image"),
        (["--cond", "a/x.png"], ["--cond", "a/x.png", "--invert"], "another condition image"),
        (["--cond", "a/x.png"], ["--cond", "a/x.png", "--detect", "canny"], "another condition image"),
        (["--image", "a/x.png"], ["--image", "b/x.png"], "another start image or mask"),
        (["--image", "a/x.png"], ["--image", "a/x.png", "--mask", "b/x.png"], "another start image or mask"),
    ],
)
def test_images_of_another_image_of_the_same_name_are_no_part_of_it(sweep, first, second, message):
    for folder, image in (("a", images.read("canny.png")), ("b", images.read("canny.png")[::-1])):
        Path(folder).mkdir()
        images.write(f"{folder}/x.png", image)
    control = ["--control", "run"] if "--cond" in first else []
    assert sweep(*first, *control, *SWEPT, controlled=False)[0] == 0
    code, out, err = sweep(*second, *control, *SWEPT, controlled=False)
    assert (code, out) == (3, [])
    assert f"was sampled with {message}" in err
    shutil.copytree("a", "c")
    again = [word.replace("a/", "c/") for word in first]
    assert sweep(*again, *control, *SWEPT, controlled=False) == (0, ["grid/sweep.png"], ""), "the same one, moved"


def test_masks_are_known_again(sweep):
    mask = np.zeros((64, 64, 3), np.uint8)
    mask[:32] = 255
    images.write("mask.png", mask)
    start = ["--image", "canny.png", "--mask", "mask.png", "--inpaint-control", "run", *SWEPT]
    assert sweep(*start, controlled=False)[0] == 0
    assert sweep(*start, controlled=False) == (0, ["grid/sweep.png"], "")
    images.write("mask.png", mask[::-1])
    code, _, err = sweep(*start, controlled=False)
    assert (code, "was sampled with another start image or mask" in err) == (3, True)


def test_other_files_are_not_replaced(sweep):
    before = Path("canny.png").read_bytes()
    shutil.copy("canny.png", "mine.png")
    code, _, err = sweep("--sweep", "scale=1,2", "--out", "mine.png")
    assert (code, "is no sheet of scale" in err) == (3, True)
    assert sweep("--sweep", "scale=1,2", "--out", "canny.png", "--overwrite")[0] == 2, "its own condition"
    assert Path("canny.png").read_bytes() == before
    assert sweep("--sweep", "scale=1,2", "--out", "grid")[0] == 0
    code, _, err = sweep("--sweep", "eta=0,1", "--out", "grid")
    assert (code, "is no sheet of eta" in err) == (3, True)


def test_a_grid_for_each_prompt_and_seed(sweep):
    words = ["--prompt", "a tree", "--count", "2", "--seed", "5", "--sweep", "scale=1,9", "--out", "grids"]
    code, out, err = sweep(*words)
    assert code == 0, err
    names = [f"prompt{k}-seed{s}" for k in (1, 2) for s in (5, 6)]
    assert {*out} == {f"grids/{n}/scale={v}.png" for n in names for v in (1, 9)} | {
        f"grids/sweep-{n}.png" for n in names
    }
    made = json.loads(images.read_info("grids/prompt2-seed6/scale=9.png")["cn.sample"])
    assert (made["prompt"], made["seed"], made["scale"]) == ("a tree", 6, 9.0)
    code, _, err = sweep(*words[:-1], "one.png")
    assert (code, "is one file for 4 grids" in err) == (2, True)


def test_cells_that_can_share_a_batch_do_and_networks_are_loaded_once(sweep, monkeypatch):
    loaded, batched = [], []
    control, launch = pipelines.open_control, batches.launch
    monkeypatch.setattr(pipelines, "open_control", lambda *args, **o: loaded.append(args) or control(*args, **o))
    monkeypatch.setattr(
        batches, "launch", lambda base, requests, *rest: batched.append(len(requests)) or launch(base, requests, *rest)
    )
    words = ["--sweep", "strength=0.5,1", "--sweep", "seed=0..3", "--batch-size", "4"]
    code, out, _ = sweep(*words, "--json", "--out", "grid")
    assert (code, batched, len(loaded)) == (0, [4, 4], 1)
    assert json.loads(out[1])["sweep"] == {"strength": 0.5, "seed": 1}, "in the order of the batches"
    assert json.loads(out[-1])["sweep"] == {}


def test_prompts_and_conditions_as_axes(sweep):
    images.write("other.png", 255 - images.read("canny.png"))
    words = ["--sweep", 'prompt="a house, red",a tree', "--sweep", "cond=canny.png,other.png", "--control", "run"]
    code, out, err = sweep(*words, "--strength", "0.5", "--out", "grid", controlled=False, quick=QUICK_SWEEP[:-2])
    assert code == 0, err
    made = json.loads(images.read_info(out[0])["cn.sample"])
    assert made["prompt"] == "a house, red"
    records = [json.loads(images.read_info(path)["cn.sample"])["conditions"][0] for path in out[:-1]]
    assert {r["name"] for r in records} == {"canny.png", "other.png"}
    assert {r["strength"] for r in records} == {0.5}, "options of the command hold for all"


def test_bases_and_controls_as_axes(sweep, monkeypatch):
    """Each base is loaded once, and a control that was trained with a base of its own brings it."""
    write_control(Path("own/control.safetensors"), Path("base.safetensors"))
    shutil.copy("base.safetensors", "own/base.safetensors")
    bases = []
    original = pipelines.open_sampling_base
    monkeypatch.setattr(pipelines, "open_sampling_base", lambda *args: bases.append(args[0].base) or original(*args))
    words = ["sample", "--cond", "canny.png", *QUICK_SWEEP, "--quiet", "--out"]
    shutil.copy("base.safetensors", "second.safetensors")
    two = ["--sweep", "base=base.safetensors,second.safetensors", "--control", "run", "--sweep", "seed=0,1"]
    assert cn(*words, "bases", *two).returncode == 0
    assert bases == ["base.safetensors", "second.safetensors"]
    done = cn(*words, "controls", "--sweep", "control=own,run", "--from", "bases/base=base_seed=0.png")
    assert done.returncode == 0, done.stderr
    stored = [json.loads(images.read_info(f"controls/control={c}.png")["cn.sample"])["base"] for c in ("own", "run")]
    assert stored == ["own/base.safetensors", "base.safetensors"]


def test_a_recipe_can_be_swept(sweep):
    assert sweep("--seed", "4", "--out", "one.png")[0] == 0
    done = cn("sample", "--from", "one.png", "--sweep", "scale=5,9", "--out", "grid", "--quiet")
    assert done.returncode == 0, done.stderr
    assert Path("grid/scale=9.png").read_bytes() == Path("one.png").read_bytes()
