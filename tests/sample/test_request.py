"""What `cn sample` is asked for, checked before any network is loaded: conditions, controls, sizes, paths."""

import json
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from cn import images
from cn.errors import CnError, InputError, UsageError, WeightsError
from cn.options import parse_size
from cn.sample import plan
from cn.sample.fit import fit
from cn.sample.options import MAX_SEED
from cn.sample.output_paths import choose_paths
from cn.sample.request import Condition, SampleRequest, make_conditions, with_detected
from cn.sample.sizes import working_size
from cn.weights import bundled as bundled_files
from tests.helpers.sampling import blocks, write_condition

CONDITION = Condition(blocks(), "c.png", "canny", control="canny")


@pytest.fixture
def bundled(tmp_path, monkeypatch):
    """An installation that has a base, canny and openpose."""
    folder = tmp_path / "bundled"
    folder.mkdir()
    for name, role in (("base", "base"), ("canny", "control"), ("openpose", "control")):
        save_file({"w": np.ones(1, np.float32)}, folder / f"{name}.safetensors", {"cn": json.dumps({"role": role})})
    listed = bundled_files.files(folder)
    monkeypatch.setattr(bundled_files, "files", lambda: listed)
    monkeypatch.chdir(tmp_path)
    return folder


@pytest.mark.parametrize(
    "given",
    [
        {"steps": 0},
        {"steps": 1001},
        {"count": 0},
        {"count": 10**9},
        {"seed": -1},
        {"seed": MAX_SEED},
        {"scale": float("nan")},
        {"scale": float("inf")},
        {"eta": -0.1},
        {"eta": float("nan")},
        {"size": (100, 64)},
        {"size": (64, 56)},
        {"guess": True},
        {"precision": "fp8"},
        {"prediction": "x"},
        {"sampler": "plms"},
        {"sigmas": "karras"},
        {"sampler": "euler", "sigmas": "exponential"},
        {"sampler": "euler-a", "eta": 0.5},
    ],
)
def test_values_out_of_range(given):
    with pytest.raises(UsageError):
        SampleRequest(("x",), **given)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"strength": float("nan")}, "--strength must be a finite number"),
        ({"start": 0.5, "end": 0.5}, "--control-start 0.5 must be below --control-end 0.5"),
        ({"end": float("nan")}, "--control-end must be a finite number"),
        ({"end": 1.5}, "--control-end must be between 0 and 1, not 1.5"),
    ],
)
def test_values_of_a_condition_out_of_range(given, message):
    with pytest.raises(UsageError, match=message):
        replace(CONDITION, **given)


def test_values_at_the_edge_of_their_range():
    edge = SampleRequest(("",), steps=1, scale=0.0, eta=1.0, seed=MAX_SEED - 1, size=(64, 64))
    assert (edge.steps, edge.seed) == (1, MAX_SEED - 1)
    window = replace(CONDITION, start=0.0, end=0.001, strength=-1.0)
    assert SampleRequest(("x",), (window,), steps=1000, guess=True).conditions == (window,)


@pytest.mark.parametrize(("text", "size"), [("512x768", (768, 512)), ("64", (64, 64)), ("96X64", (64, 96))])
def test_sizes_are_width_times_height(text, size):
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "x64", "64x", "axb", "-64x64", "²x64", "64x64x64", "6.4x64", "9" * 30])
def test_texts_that_are_no_size(text):
    with pytest.raises(UsageError, match="WIDTHxHEIGHT"):
        parse_size(text)


@pytest.mark.parametrize(
    ("image", "size"),
    [
        (None, (256, 256)),
        ((256, 256), (256, 256)),
        ((512, 512), (256, 256)),  # too far from the base's own size: scaled
        ((64, 96), (256, 384)),
        ((384, 384), (384, 384)),  # near enough: kept
        ((300, 200), (288, 192)),  # multiples of 32
        ((1, 1), (256, 256)),
    ],
)
def test_working_size_follows_the_condition_near_what_the_base_was_trained_at(image, size):
    assert working_size(image, None, 256, 32) == size


def test_a_size_that_is_asked_for_holds_and_none_is_gigantic():
    assert working_size((512, 512), (64, 128), 256, 32) == (64, 128)
    assert working_size(None, (2048, 2048), 256, 32) == (2048, 2048)
    with pytest.raises(InputError, match="--size"):
        working_size(None, (2048, 2056), 256, 32)
    with pytest.raises(InputError, match="crop"):
        working_size((64, 8000), None, 256, 32)


def test_the_kth_value_belongs_to_the_kth_condition_and_one_serves_all(bundled, tmp_path):
    paths = [str(write_condition(tmp_path / f"{kind}.png", kind)) for kind in ("canny", "openpose")]
    first, second = make_conditions(paths, strength=[0.5, 2.0], start=[0.25], end=[0.5, 0.75])
    assert (first.control, first.kind, first.strength, first.start, first.end) == ("canny", "canny", 0.5, 0.25, 0.5)
    assert (second.control, second.strength, second.start, second.end) == ("openpose", 2.0, 0.25, 0.75)
    assert np.array_equal(first.image, blocks())
    assert [c.control for c in make_conditions(paths, control=["my.safetensors"])] == ["my.safetensors"] * 2
    with pytest.raises(UsageError, match=r"--strength is given 3 times for 2"):
        make_conditions(paths, strength=[1, 2, 3])


def test_which_control_an_image_gets(bundled, tmp_path, monkeypatch):
    plain, normal = (write_condition(tmp_path / f"{k}.png", k) for k in (None, "normal"))
    with pytest.raises(UsageError, match=r"--control.*canny, openpose"):
        make_conditions([str(plain)])
    with pytest.raises(WeightsError, match=r"a control for normal maps.*canny, openpose"):
        make_conditions([str(normal)])
    (given,) = make_conditions([str(plain)], control=["run"])
    assert (given.control, given.kind) == ("run", None)
    (found,) = with_detected(make_conditions([str(plain)], detect="canny"))
    assert (found.control, found.kind) == ("canny", "canny")
    assert set(np.unique(found.image)) == {0, 255}
    assert not np.array_equal(found.image, blocks())
    monkeypatch.setenv("CN_WEIGHTS", str(tmp_path / "none"))
    with pytest.raises(WeightsError, match="cn weights pull dpt-hybrid"):
        with_detected(make_conditions([str(plain)], control=["any"], detect="depth"))


def test_weights_of_a_training_run_are_found_in_its_folder(bundled, tmp_path):
    run = tmp_path / "run"
    run.mkdir()
    (run / "control.safetensors").write_bytes(b"x")
    assert bundled_files.find("run", bundled, role="control") == Path("run/control.safetensors")
    with pytest.raises(WeightsError, match=r"run: this folder has no base\.safetensors"):
        bundled_files.find("run", bundled, role="base")
    (run / "base.safetensors").write_bytes(b"x")
    assert bundled_files.find(run, bundled, role="base") == run / "base.safetensors"
    (tmp_path / "canny").mkdir()
    assert bundled_files.find("canny", bundled, role="control") == bundled / "canny.safetensors"
    with pytest.raises(WeightsError, match="bundled are: canny, openpose;"):
        bundled_files.find("depth", bundled, role="control")


@pytest.mark.parametrize("option", ["control", "strength", "start", "end", "detect"])
def test_options_of_a_condition_need_one(option):
    with pytest.raises(UsageError, match="--cond"):
        make_conditions([], **{option: "canny" if option == "detect" else [1.0]})


def test_one_standard_input():
    with pytest.raises(UsageError, match="only once"):
        make_conditions(["-", "-"])


def test_a_damaged_description_names_the_file(tmp_path):
    images.write(tmp_path / "odd.png", blocks(), {"cn.condition": "{"})
    with pytest.raises(InputError, match=r"odd\.png: "):
        make_conditions([str(tmp_path / "odd.png")])


def test_thin_lines_survive_when_they_get_smaller():
    image = np.zeros((96, 96, 3), np.uint8)
    image[10] = image[:, 41] = 255
    size = (32, 32)
    small = fit(image, "canny", size, size, "x")
    expected = np.zeros((32, 32, 3), np.uint8)
    expected[3] = expected[:, 13] = 255
    assert np.array_equal(small, expected)


def test_labels_keep_their_colors_and_smooth_maps_are_averaged():
    image, size = blocks(80, 80), (64, 64)
    labels, smooth, unknown = (fit(image, kind, size, size, "x") for kind in ("ade20k", "depth", None))
    assert set(np.unique(labels)) == {0, 255}
    assert len(np.unique(smooth)) > 2
    assert np.array_equal(smooth, unknown)


def test_a_condition_is_not_stretched():
    own_size = (256, 256)
    with pytest.raises(InputError, match=r"c\.png: .*300×200.*256×256"):
        fit(blocks(200, 300), "depth", (256, 256), own_size=(192, 288), name="c.png")
    with pytest.raises(InputError, match="64×128"):
        fit(blocks(512, 512), "canny", (128, 64), own_size, "c.png")
    assert fit(blocks(64, 96), "depth", (64, 128), own_size=(64, 128), name="c.png").shape == (64, 128, 3)
    assert fit(blocks(61, 67), "depth", (64, 64), own_size, "c.png").shape == (64, 64, 3)


def test_names_of_the_images(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    request = SampleRequest(
        ("a", "b"), (CONDITION, replace(CONDITION, kind=None, control="runs/mine")), count=2, seed=4
    )
    paths = choose_paths([request], "out", grid=True)
    assert paths.images == tuple(f"out/canny-mine-prompt{k}-seed{s}.png" for k in (1, 2) for s in (4, 5))
    assert paths.sheet == Path("out/canny-mine-seed4-grid.png")
    one = SampleRequest(("a",))
    assert choose_paths([one], None).images == ("samples/base-seed0.png",)
    Path("samples/base-seed0.png").write_text("kept")
    assert choose_paths([one], None).images == ("samples/base-seed0-2.png",)
    assert choose_paths([one], "a.b/").images == ("a.b/base-seed0.png",)
    assert choose_paths([one], "x.jpg", grid=True).sheet == Path("x-grid.png")
    assert "x.bmp" in choose_paths([one], "x.bmp").warnings()[0]
    assert choose_paths([one], "x.jpg").warnings() == []
    assert choose_paths([one], "-").warnings() == []


def test_an_image_cannot_name_a_file_outside_the_folder(tmp_path):
    request = SampleRequest(("a",), (replace(CONDITION, kind="../../etc/x", control="my.safetensors"),))
    assert choose_paths([request], str(tmp_path)).images == (str(tmp_path / "my-seed0.png"),)


@pytest.mark.parametrize(
    ("out", "count", "grid", "error"),
    [
        ("", 1, False, UsageError),
        ("a.png", 2, False, UsageError),
        ("-", 2, False, UsageError),
        ("-", 1, True, UsageError),
        ("a.txt", 1, False, InputError),
        ("taken.png", 1, False, InputError),
        ("taken.png/below", 1, False, InputError),
    ],
)
def test_output_paths_that_are_refused(tmp_path, monkeypatch, out, count, grid, error):
    monkeypatch.chdir(tmp_path)
    Path("taken.png").write_text("kept")
    with pytest.raises(error):
        choose_paths([SampleRequest(("a",), count=count)], out, grid=grid)
    assert Path("taken.png").read_text() == "kept"
    assert choose_paths([SampleRequest(("a",))], "taken.png", overwrite=True).images == ("taken.png",)


def test_a_folder_that_may_not_be_written_and_the_condition_itself(tmp_path, monkeypatch):
    path = write_condition(tmp_path / "c.png")
    request = SampleRequest(("a",), (replace(CONDITION, name=str(path)),))
    with pytest.raises(UsageError, match="own condition"):
        choose_paths([request], str(path), overwrite=True)
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    with pytest.raises(CnError, match="not writable"):
        choose_paths([request], str(tmp_path / "out"))


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ([(0, 1)], "seed 0"),
        ([(3, 1), (3, 1)], "seed 3"),
        ([(5, 3)], "seeds 5 to 7"),
        ([(7, 2), (0, 2), (1, 3)], "seeds 0 to 3, 7 to 8"),
        ([(0, 1), (5, 1)], "seeds 0, 5"),
        ([(0, 2), (2, 1)], "seeds 0 to 2"),
        ([(10 * i, 1) for i in range(20)], "seeds " + ", ".join(str(10 * i) for i in range(12)) + ", …"),
    ],
)
def test_seeds_in_the_plan(given, text):
    requests = [SampleRequest(prompts=("x",), seed=seed, count=count) for seed, count in given]
    assert plan._seeds(requests) == text
