"""`cn sample` through the command line, on a tiny random base: what it writes, and how it fails."""

import contextlib
import io
import json
import shutil
import signal
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from cn import app, images
from cn.checkpoints.write.native import save_base, save_control
from cn.model.controlnet import ControlNet
from cn.sample import pipeline as core
from cn.sample.png_metadata import TEXT_KEY
from tests.helpers.cli import cn_bytes, start_cn
from tests.helpers.layouts import convert
from tests.helpers.model_helpers import TINY, TINY_V, fill, tiny_base
from tests.helpers.sampling import write_condition, write_control

QUICK = ["--steps", "2", "--prompt", "a house"]


@pytest.fixture(scope="module")
def room(tmp_path_factory, tiny_base_file):
    """A folder with conditions, a training run's folder, and files of wrong kinds (shared: write elsewhere)."""
    room = tmp_path_factory.mktemp("room")
    write_control(room / "run/control.safetensors", tiny_base_file)
    other = room / "other-base.safetensors"
    save_base(other, tiny_base(TINY_V), tokens=[0, 1, 2, 49406, 49407])
    write_control(room / "other.safetensors", other, TINY_V, "depth")
    (room / "cut.safetensors").write_bytes((room / "run/control.safetensors").read_bytes()[:-50])
    write_condition(room / "canny.png")
    write_condition(room / "openpose.png", "openpose", seed=1)
    write_condition(room / "plain.png", None)
    write_condition(room / "wide.png", height=64, width=8000)
    (room / "text.png").write_text("words")
    (room / "cut.png").write_bytes((room / "canny.png").read_bytes()[:-60])
    (room / "empty").mkdir()
    return room


@pytest.fixture
def sample(room, tiny_base_file, tmp_path, monkeypatch, capsys):
    """Runs `cn sample` in the room; gives exit code, stdout and stderr. Outputs belong below "out"."""
    monkeypatch.chdir(tmp_path)
    for path in room.iterdir():
        (tmp_path / path.name).symlink_to(path)
    (tmp_path / "base.safetensors").symlink_to(tiny_base_file)

    def run(*words, base="base.safetensors", quick=True):
        capsys.readouterr()
        code = app.run(["sample", *(["--base", base] if base else []), *(QUICK if quick else []), *words])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run


CONTROLLED = ["--cond", "canny.png", "--control", "run"]


def test_images_do_not_depend_on_their_batch_and_can_be_made_again(sample):
    code, out, err = sample(*CONTROLLED, "--count", "3", "--seed", "5", "--out", "out", "--eta", "1")
    assert code == 0
    assert out.splitlines() == [f"out/canny-seed{s}.png" for s in (5, 6, 7)]
    for words in (
        "Sampling",
        "run, strength 1, follows canny.png",
        "3 of 64×64, 2 steps, guidance 9, eta 1, seeds 5 to 7",
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
def test_other_layouts_of_the_weights_sample_the_same_image(sample, tmp_path, to):
    """A base and a control with the released condition encoder, in the layouts of other tools."""
    control = fill(ControlNet(TINY.unet, condition_encoder="released"))
    save_control(tmp_path / "c.safetensors", control, kind="canny", base_sha256="")
    names = {"b": tmp_path / "base.safetensors", "c": tmp_path / "c.safetensors"}
    ending = ".safetensors" if to == "ldm" else ""
    for name, source in names.items():
        convert(source.resolve(), tmp_path / f"other-{name}{ending}", to)
    cond = ["--cond", "canny.png", "--control"]
    assert sample(*cond, "c.safetensors", "--out", "out/a.png")[0] == 0
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
    assert black == "warning: black.png is entirely black: there is nothing to follow"
    assert "has 80 tokens: those beyond 75 are ignored" in tokens
    assert sample("--out", "out/a.jpg", "-q")[2].startswith("warning: out/a.jpg: only a PNG carries")


def test_other_weights_than_those_of_the_image_are_a_warning(sample, tiny_base_file, tmp_path):
    assert sample(*CONTROLLED, "--out", "out/a.png")[0] == 0
    (tmp_path / "run").unlink()
    write_control(tmp_path / "run/control.safetensors", tiny_base_file, kind="depth")
    code, _, err = sample("--from", "out/a.png", "--out", "out/b.png", "-q", base=None, quick=False)
    assert code == 0
    assert "out/a.png was sampled with other weights" in err


FAILURES = [
    (["--cond", "missing.png"], 3, "missing.png: no such file"),
    (["--cond", "text.png", "--control", "run"], 3, "text.png: not an image but text"),
    (["--cond", "cut.png", "--control", "run"], 3, "cut.png: the image is broken or cut off"),
    (["--cond", "empty", "--control", "run"], 3, "empty: is a folder"),
    (["--cond", "plain.png"], 2, "--control"),
    (["--cond", "canny.png", "--control", "nowhere"], 4, "nowhere"),
    (["--cond", "canny.png", "--control", "no/where.safetensors"], 4, "no/where.safetensors: no such weights file"),
    (["--cond", "canny.png", "--control", "empty"], 4, "empty: is an empty folder"),
    (["--cond", "canny.png", "--control", "cut.safetensors"], 3, "cut.safetensors: cut off"),
    (["--cond", "canny.png", "--control", "text.png"], 3, "text.png: is no file of weights"),
    (["--cond", "canny.png", "--control", "base.safetensors"], 4, "a control was expected here, but this is a base"),
    (["--cond", "canny.png", "--control", "other.safetensors"], 4, "other.safetensors: this control was made for an"),
    (["--base", "other.safetensors"], 4, "a base was expected here, but this is a control"),
    (["--base", "run"], 4, "run: this folder has no base.safetensors"),
    ([*CONTROLLED, "--size", "128x64"], 3, "canny.png: a condition of 64×64 pixels does not fit"),
    (["--cond", "wide.png", "--control", "run"], 3, "too large"),
    (["--size", "100"], 2, "--size 100x100"),
    (["--steps", "1001"], 2, "--steps must be between 1 and 1000"),
    (["--steps", "many"], 2, "--steps"),
    (["--count", "0"], 2, "--count"),
    (["--seed", str(2**64)], 2, "--seed"),
    (["--eta", "2"], 2, "--eta"),
    (["--strength", "2"], 2, "--cond"),
    (["--guess"], 2, "--guess"),
    (["--prompt-mode", "none"], 2, "takes no --prompt"),
    (["--prompt-mode", "auto"], 2, "not one of 'user', 'none', 'default'"),
    (["--device", "abacus"], 2, "--device"),
    (["--precision", "fp8"], 2, "--precision"),
    (["--out", "text.png"], 3, "text.png: exists already"),
    (["--out", "out/x.gif"], 3, "out/x.gif: cannot write .gif images"),
    (["--out", "text.png/x.png"], 3, "text.png: is a file, but a folder is needed"),
    (["surplus"], 2, "surplus"),
]


@pytest.mark.parametrize(("words", "code", "message"), FAILURES, ids=[" ".join(words) for words, _, _ in FAILURES])
def test_failures_are_one_line_and_leave_nothing(sample, words, code, message):
    found, out, err = sample(*words, "--quiet", *([] if "--out" in words else ["--out", "out/x.png"]))
    assert (found, out) == (code, "")
    assert err.startswith("cn: ")
    assert err.count("\n") == 1
    assert message in err
    assert "internal error" not in err
    assert list(Path("out").rglob("*")) == []


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["canny.png"], 3, "has no sampling metadata"),
        (["text.png"], 3, "not an image but text"),
        (["missing.png"], 3, "no such file"),
        (["canny.png", "--steps", "3", "-p", "x"], 2, "it takes no --prompt, --steps"),
        (["canny.png", "--cond", "canny.png"], 2, "it takes no --cond"),
    ],
)
def test_from_an_image_that_cannot_be_reproduced(sample, words, code, message):
    found, out, err = sample("--from", *words, base=None, quick=False)
    assert (found, out, err.count("\n")) == (code, "", 1)
    assert message in err


def test_too_little_memory_is_no_internal_error(sample, monkeypatch):
    def fail(*_, **__):
        raise RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 1")
        yield

    monkeypatch.setattr(core, "generate", fail)
    code, _, err = sample("--quiet", "--out", "out/x.png")
    assert code == 3
    assert err == "cn: cpu has too little memory for images of 64×64; give a smaller --size\n"


def test_an_image_that_cannot_be_written_leaves_the_earlier_ones(sample, monkeypatch):
    """The folder disappears after the first of three images, as with a disk that is taken out."""
    original = core.generate

    def generate(*args, **kwargs):
        for number, image in enumerate(original(*args, **kwargs)):
            if number == 1:
                Path("out").rename("kept")
            yield image

    monkeypatch.setattr(core, "generate", generate)
    code, out, err = sample("--count", "3", "--out", "out", "--quiet")
    assert (code, out) == (3, "out/base-seed0.png\n")
    assert err == "cn: out/base-seed1.png: cannot be written: No such file or directory\n"
    assert [p.name for p in Path("kept").iterdir()] == ["base-seed0.png"]
    assert images.is_whole_png("kept/base-seed0.png")


def test_pipes(room, tiny_base_file, tmp_path):
    """Condition in, image out."""
    words = ["sample", "--base", tiny_base_file, *QUICK, "--control", room / "run", "--quiet"]
    done = cn_bytes(*words, "--cond", "-", "--out", "-", stdin=(room / "canny.png").read_bytes(), cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, b"")
    image = images.decode(done.stdout, "stdout")
    assert image.shape == (64, 64, 3)
    assert list(tmp_path.iterdir()) == []


def test_reproducing_an_image_from_standard_input(sample, monkeypatch):
    assert sample(*CONTROLLED, "--out", "out/a.png")[0] == 0
    made = Path("out/a.png").read_bytes()
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(made)))
    assert sample("--from", "-", "--out", "out/b.png", base=None, quick=False)[0] == 0
    assert Path("out/b.png").read_bytes() == made


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
@pytest.mark.parametrize("out", ["-", "out/x.png"])
def test_a_full_standard_output_is_one_line(sample, monkeypatch, capsys, out):
    full = open("/dev/full", "w")  # noqa: SIM115
    with monkeypatch.context() as patch:
        patch.setattr("sys.stdout", full)
        code = app.run(["sample", "--base", "base.safetensors", *QUICK, "--quiet", "--out", out])
    with contextlib.suppress(OSError):
        full.close()
    assert code == 3
    assert capsys.readouterr().err == "cn: standard output: cannot be written: No space left on device\n"
    assert out == "-" or images.is_whole_png(out)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_stop_keeps_the_finished_images(tiny_base_file, tmp_path, number, code):
    words = ["sample", "--base", tiny_base_file, "--steps", "20", "--count", "2000", "--quiet", "--out", "out"]
    process = start_cn(*words, cwd=tmp_path)
    assert process.stdout is not None
    first = process.stdout.readline().decode().strip()
    time.sleep(0.3)
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    assert process.returncode == code
    assert err.decode().count("\n") == 1
    assert "what was finished is kept" in err.decode()
    names = {first, *out.decode().split()}
    assert {f"out/{p.name}" for p in (tmp_path / "out").iterdir()} >= names
    assert len(names) < 2000
    for path in (tmp_path / "out").iterdir():
        assert TEXT_KEY in images.read_info(path)
        assert images.read(path).shape == (64, 64, 3)


def test_an_absent_device(sample, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert sample("--device", "cuda", "-q") == (2, "", "cn: --device cuda: this machine has no cuda device\n")


def test_help(sample):
    code, out, _ = sample("--help", base=None, quick=False)
    assert code == 0
    for option in ("--cond", "--control-start", "--guess", "--prompt-mode", "--from", "--grid", "--precision"):
        assert option in out
