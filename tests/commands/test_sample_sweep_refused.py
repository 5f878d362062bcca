"""`cn sample --sweep`: what is refused, and what is not."""

from pathlib import Path

import pytest

from cn.sample import pipeline as pipelines


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
def test_refused_before_anything_is_computed(sweep, monkeypatch, words, code, message):
    monkeypatch.setattr(pipelines.SamplingPipeline, "open", lambda *args, **kwargs: pytest.fail("networks are loaded"))
    found, out, err = sweep(*words)
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
def test_what_a_sweep_says_is_not_said_twice(sweep, words, message):
    Path("one.txt").write_text("a tree")
    code, out, err = sweep(*words, controlled=False, quick=[])
    assert (code, out) == (2, [])
    assert message in err


@pytest.mark.parametrize("option", ["strength=1,2", "control-end=0.5,1", "control=run,other"])
def test_options_of_conditions_need_one(sweep, option):
    code, out, err = sweep("--sweep", option, controlled=False)
    assert (code, out) == (2, [])
    assert f"--sweep {option.split('=')[0]} is about condition images: give one with --cond" in err


@pytest.mark.parametrize(
    ("words", "cells"),
    [
        (["--steps", "1", "--sweep", "denoise=1"], ["denoise=1"]),
        (["--denoise", "0.04", "--sweep", "steps=25,30"], ["steps=25", "steps=30"]),
        (
            ["--steps", "2", "--sigmas", "karras", "--sweep", "sampler=euler,dpm++2m"],
            ["sampler=euler", "sampler=dpm++2m"],
        ),
    ],
)
def test_defaults_that_no_cell_has_are_not_refused(sweep, words, cells):
    """0.75 of 1 step is none, nor is 0.04 of 20; and ddim has no karras sigmas."""
    start = ["--image", "canny.png", "--size", "64x64", "--prompt", "a house", "--out", "grid"]
    code, out, err = sweep(*start, *words, controlled=False, quick=[])
    assert (code, out) == (0, [*(f"grid/{cell}.png" for cell in cells), "grid/sweep.png"]), err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--sigmas", "karras", "--sweep", "sampler=euler,ddim"], "--sweep sampler=ddim: --sigmas"),
        (
            ["--image", "canny.png", "--steps", "1", "--sweep", "denoise=1,0.5"],
            "--sweep denoise=0.5: --denoise 0.5 of 1",
        ),
    ],
)
def test_the_values_of_a_cell_that_do_not_go_together_are_named(sweep, words, message):
    code, _, err = sweep(*words, quick=[])
    assert (code, message in err) == (2, True), err
