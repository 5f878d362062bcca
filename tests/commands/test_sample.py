"""`cn sample` through the command line, on a tiny random base: what it writes."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from cn import images
from cn.checkpoints.write.native import save_base, save_control
from cn.model.controlnet import ControlNet
from cn.sample.png_metadata import TEXT_KEY
from tests.helpers.layouts import convert
from tests.helpers.model_helpers import TINY, TINY_V, fill, tiny_base
from tests.helpers.sampling import CONTROLLED, write_condition, write_control


def test_images_do_not_depend_on_their_batch_and_can_be_reproduced(sample):
    code, out, err = sample(*CONTROLLED, "--count", "3", "--seed", "5", "--out", "out", "--eta", "1")
    assert code == 0
    assert out.splitlines() == [f"out/canny-seed{s}.png" for s in (5, 6, 7)]
    for words in (
        "Sampling",
        "run, strength 1, follows canny.png",
        "3 of 64×64, 2 steps of ddim, guidance 9, eta 1, seeds 5 to 7",
        "a house",
    ):
        assert words in err
    assert sample(*CONTROLLED, "--seed", "7", "--out", "out/single.png", "--eta", "1")[0] == 0
    made = Path("out/canny-seed7.png").read_bytes()
    assert Path("out/single.png").read_bytes() == made
    assert Path("out/canny-seed6.png").read_bytes() != made
    code, out, err = sample("--from", "out/canny-seed7.png", "--out", "out/again.png", base=None, quick=False)
    assert (code, out) == (0, "out/again.png\n")
    assert "warning" not in err
    assert Path("out/again.png").read_bytes() == made


@pytest.mark.parametrize(
    "words", [["euler"], ["euler-a", "--sigmas", "karras"], ["dpm++2m", "--sigmas", "karras"]], ids=str
)
def test_an_image_of_another_sampler_is_reproduced(sample, words):
    code, _, err = sample(*CONTROLLED, "--sampler", *words, "--out", "out/a.png")
    assert code == 0
    assert f"2 steps of {' with '.join([words[0], *words[2:]])}" in err
    assert sample(*CONTROLLED, "--out", "out/ddim.png")[0] == 0
    assert sample("--from", "out/a.png", "--out", "out/b.png", base=None, quick=False)[0] == 0
    assert Path("out/a.png").read_bytes() == Path("out/b.png").read_bytes()
    assert images.read("out/a.png").tolist() != images.read("out/ddim.png").tolist()


def test_an_image_with_a_large_condition_is_reproduced(sample, tmp_path):
    write_condition(tmp_path / "large.png", height=200, width=300)
    assert sample("--cond", "large.png", "--control", "run", "--out", "out/a.png")[0] == 0
    assert images.read("out/a.png").shape == (64, 128, 3)
    assert sample("--from", "out/a.png", "--out", "out/b.png", base=None, quick=False)[0] == 0
    assert Path("out/a.png").read_bytes() == Path("out/b.png").read_bytes()


def test_an_image_is_reproduced_from_weights_that_have_moved(sample, tmp_path):
    """PNG metadata names weights by the paths that were given; --base and --control say where they are now."""
    assert sample(*CONTROLLED, "--out", "out/a.png")[0] == 0
    (tmp_path / "moved").mkdir()
    (tmp_path / "base.safetensors").rename(tmp_path / "moved/b.safetensors")
    shutil.copy(tmp_path / "run/control.safetensors", tmp_path / "moved/c.safetensors")
    again = ["--from", "out/a.png", "--out", "out/b.png"]
    assert sample(*again, base=None, quick=False)[0] == 4
    weights = ["--base", "moved/b.safetensors", "--control", "moved/c.safetensors"]
    code, _, err = sample(*again, *weights, base=None, quick=False)
    assert code == 0
    assert "warning" not in err
    assert images.read("out/a.png").tolist() == images.read("out/b.png").tolist()
    assert sample(*again, *weights, "--control", "x", base=None, quick=False)[0] == 2


@pytest.mark.parametrize("to", ["ldm", "diffusers"])
def test_other_layouts_of_the_weights_sample_the_same_image(sample, tiny_sd_file, tmp_path, to):
    """A base and a control with the released condition encoder, in the layouts of other tools."""
    control = fill(ControlNet(TINY.unet, condition_encoder="released"))
    save_control(tmp_path / "c.safetensors", control, kind="canny", base_sha256="")
    names = {"b": tiny_sd_file, "c": tmp_path / "c.safetensors"}
    ending = ".safetensors" if to == "ldm" else ""
    for name, source in names.items():
        convert(source.resolve(), tmp_path / f"other-{name}{ending}", to)
    cond = ["--cond", "canny.png", "--control"]
    assert sample(*cond, "c.safetensors", "--out", "out/a.png", base=str(tiny_sd_file))[0] == 0
    other = ["--base", f"other-b{ending}", *cond, f"other-c{ending}", "--out", "out/b.png"]
    code, _, err = sample(*other, base=None)
    assert code == 0, err
    assert images.read("out/a.png").tolist() == images.read("out/b.png").tolist()
    metadata = json.loads(images.read_info("out/b.png")[TEXT_KEY])
    assert (metadata["base"], metadata["prediction"]) == (f"other-b{ending}", "eps")


def sampled(sample, *words):
    code, _, err = sample(*words, "--out", "out/x.png", "--overwrite", "--quiet")
    assert (code, err) == (0, "")
    return images.read("out/x.png")


def test_every_option_shows_in_the_image(sample):
    plain = sampled(sample, *CONTROLLED)
    assert np.array_equal(plain, sampled(sample, *CONTROLLED))
    assert np.array_equal(plain, sampled(sample, *CONTROLLED, "--strength", "1", "--control-end", "1"))
    variants = [
        ["--strength", "0.5"],
        ["--control-end", "0.5"],
        ["--control-start", "0.5"],
        ["--guess"],
        ["--scale", "1"],
        ["--eta", "1"],
        ["--seed", "1"],
        ["--negative", "blur"],
        ["--steps", "3"],
        ["--precision", "bf16"],
        ["--precision", "fp16"],
    ]
    variations = [sampled(sample, *CONTROLLED, *words) for words in variants]
    alone = sampled(sample)
    every = [plain, alone, *variations]
    assert len({p.tobytes() for p in every}) == len(every)
    assert np.array_equal(alone, sampled(sample, *CONTROLLED, "--strength", "0"))
    assert sampled(sample, "--size", "128x64").shape == (64, 128, 3)


def test_two_controls_add_up_in_order(sample):
    both = ["--cond", "canny.png", "--cond", "openpose.png", "--control", "run"]
    first = sampled(sample, *CONTROLLED)
    code, _, err = sample(*both, "--strength", "1", "--strength", "0", "--out", "out/two.png", "--quiet")
    assert code == 0
    assert err == "warning: openpose.png is an openpose map, but run follows canny\n"
    assert np.array_equal(images.read("out/two.png"), first)
    sample(*both, "--out", "out/sum.png", "--quiet")
    assert not np.array_equal(images.read("out/sum.png"), first)


def test_an_image_without_kind_takes_that_of_its_control(sample):
    code, _, err = sample("--cond", "plain.png", "--control", "run", "--out", "out/x.png", "-q")
    assert (code, err) == (0, "")
    assert np.array_equal(images.read("out/x.png"), sampled(sample, *CONTROLLED))


def test_several_prompts_json_and_the_sheet(sample):
    code, out, _ = sample(*CONTROLLED, "--prompt", "b 🏠", "--count", "2", "--grid", "--json", "--out", "out")
    assert code == 0
    records = [json.loads(line) for line in out.splitlines()]
    assert [(r["prompt"], r["seed"]) for r in records] == [
        ("a house", 0), ("a house", 1), ("b 🏠", 0), ("b 🏠", 1), (None, None),
    ]  # fmt: skip
    assert [Path(r["path"]).name for r in records][2:] == [
        "canny-prompt2-seed0.png", "canny-prompt2-seed1.png", "canny-seed0-grid.png",
    ]  # fmt: skip
    sheet = images.read(records[-1]["path"])
    assert sheet.shape[0] > 2 * 64
    assert sheet.shape[1] > 3 * 64


@pytest.mark.parametrize(
    ("words", "prompt"),
    [([], "a professional, detailed, high-quality image"), (["--prompt-mode", "none"], ""), (["-p", ""], "")],
)
def test_prompt_modes(sample, words, prompt):
    _, out, _ = sample("--steps", "1", *words, "--json", "--out", "out", quick=False)
    assert json.loads(out)["prompt"] == prompt


def test_warnings_are_shown_even_when_quiet(sample, tmp_path):
    images.write("black.png", np.zeros((64, 64, 3), np.uint8))
    code, _, err = sample("--cond", "black.png", "--control", "run", "-p", "word " * 80, "-q", "--out", "out")
    assert code == 0
    black, tokens = err.splitlines()
    assert black == "warning: black.png: is entirely black: there is nothing to follow"
    assert "has 80 tokens: those beyond 75 are ignored" in tokens
    assert sample("--out", "out/a.bmp", "-q")[2].startswith("warning: out/a.bmp: only PNG, JPEG and WebP carry")


def test_other_weights_than_those_of_the_image_are_a_warning(sample, tiny_base_file, tmp_path):
    assert sample(*CONTROLLED, "--out", "out/a.png")[0] == 0
    (tmp_path / "run").unlink()
    write_control(tmp_path / "run/control.safetensors", tiny_base_file, kind="depth")
    code, _, err = sample("--from", "out/a.png", "--out", "out/b.png", "-q", base=None, quick=False)
    assert code == 0
    assert "out/a.png was sampled with other weights" in err


def test_help(sample):
    code, out, _ = sample("--help", base=None, quick=False)
    assert code == 0
    for option in ("--cond", "--control-start", "--guess", "--prompt-mode", "--from", "--grid", "--precision"):
        assert option in out


def test_karras_levels_of_a_base_that_begins_at_pure_noise(sample, tmp_path):
    save_base(tmp_path / "v.safetensors", tiny_base(TINY_V), half=False)
    words = ["--sampler", "euler", "--sigmas", "karras", "--out", "out/a.png"]
    assert "begins at pure noise" in sample(*words, base="v.safetensors")[2]
    assert "begins at pure noise" not in sample(*words, "--overwrite")[2]
