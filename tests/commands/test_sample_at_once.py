"""What `cn sample` can refuse, it refuses before torch, OpenCV and open_clip are loaded; and what it says of inputs."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
from PIL import Image

from cn import images
from tests.helpers.cli import cn_process, program_environment
from tests.helpers.sampling import blocks, write_control

REFUSED = [
    (["--seed", "-2"], 2),
    (["--seed", "any"], 2),
    (["--steps", "0"], 2),
    (["--size", "7x7"], 2),
    (["--guess"], 2),
    (["--device", "abacus"], 2),
    (["--prompt-mode", "none", "--prompt", "x"], 2),
    (["--cond", "missing.png"], 3),
    (["--cond", "plain.png"], 2),
    (["--cond", "cut.png", "--control", "run"], 3),
    (["--cond", "canny.png", "--control", "nowhere"], 4),
    (["--cond", "canny.png", "--control", "missing.safetensors"], 4),
    (["--cond", "canny.png", "--control", "run", "--strength", "1", "--strength", "2"], 2),
    (["--cond", "canny.png", "--control", "run", "--control-start", "0.5", "--control-end", "0.2"], 2),
    (["--cond", "plain.png", "--control", "run", "--detect", "coffee"], 2),
    (["--cond", "plain.png", "--control", "nowhere", "--detect", "canny"], 4),
    (["--base", "missing.safetensors"], 4),
    (["--out", "canny.png"], 3),
    (["--out", "text.png/below/"], 3),
    (["--out", "results.v2"], 3),
    (["--count", "2", "--out", "x.png"], 2),
    (["--from", "missing.png"], 3),
    (["--from", "canny.png"], 3),
    (["--prompt", "-", "--cond", "-"], 2),
]


def test_refused_at_once(sampling_folder):
    script = (
        "import json, sys; from cn import app\n"
        "for words in json.loads(sys.argv[1]):\n"
        "    code = app.run(['sample', *words])\n"
        "    print(json.dumps([code, [name for name in ('torch', 'cv2', 'open_clip') if name in sys.modules]]))\n"
    )
    words = [words for words, _ in REFUSED]
    done = subprocess.run(
        [sys.executable, "-c", script, json.dumps(words)],
        cwd=sampling_folder,
        capture_output=True,
        text=True,
        env=program_environment(),
    )
    assert done.returncode == 0, done.stderr
    found = [json.loads(line) for line in done.stdout.splitlines()]
    assert found == [[code, []] for _, code in REFUSED]
    assert len(done.stderr.splitlines()) == len(REFUSED), "one line each"


def test_prompts_from_standard_input(sampling_folder, tiny_base_file, tmp_path):
    words = ["sample", "--base", tiny_base_file, "--steps", "1", "--prompt", "-", "--quiet", "--out", "out"]
    done = cn_process(*words, stdin="\ufeffa house\r\n\r\na tree\r\n".encode(), cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout.decode().split() == ["out/base-prompt1-seed0.png", "out/base-prompt2-seed0.png"]
    for path, prompt in zip(done.stdout.decode().split(), ("a house", "a tree"), strict=True):
        assert json.loads(images.read_info(tmp_path / path)["cn.sample"])["prompt"] == prompt


def test_a_name_with_a_dot_can_be_a_folder(sample):
    assert sample("--out", "out/results.v2/", "-q")[:2] == (0, "out/results.v2/base-seed0.png\n")
    assert sample("--out", "out/results.v2", "--seed", "1", "-q")[:2] == (0, "out/results.v2/base-seed1.png\n")


def test_the_base_that_was_trained_with_the_control(sample, tiny_base_file, tmp_path):
    """--large-scale writes base.safetensors beside the control: that one is used, unless --base says otherwise."""
    both = tmp_path / "both"
    both.mkdir()
    write_control(both / "control.safetensors", tiny_base_file)
    (both / "base.safetensors").symlink_to(tiny_base_file)
    words = ["--cond", "canny.png", "--control", "both"]
    code, _, err = sample(*words, "--out", "out/a.png", base=None)
    assert code == 0
    assert "both/base.safetensors" in err
    assert "warning" not in err
    assert json.loads(images.read_info("out/a.png")["cn.sample"])["base"] == "both/base.safetensors"
    assert sample(*words, "--out", "out/b.png", "-q")[0] == 0
    assert np.array_equal(images.read("out/a.png"), images.read("out/b.png"))
    assert sample("--from", "out/a.png", "--out", "out/c.png", base=None, quick=False)[0] == 0
    assert Path("out/a.png").read_bytes() == Path("out/c.png").read_bytes()
    both.rename("moved")
    again = ["--from", "out/a.png", "--control", "moved", "--out", "out/d.png", "-q"]
    assert sample(*again, base=None, quick=False) == (0, "out/d.png\n", "")


def test_conditions_that_cannot_be_right(sample):
    drawing = np.full((64, 64), 255, np.uint8)
    drawing[:, 5::16] = 0
    images.write("white.png", drawing)
    words = ["--control", "run", "-q", "--overwrite", "--out", "out/x.png"]
    code, _, err = sample("--cond", "white.png", *words)
    assert code == 0
    assert err == (
        "warning: white.png: is mostly white, but canny maps are white lines, one pixel wide, on black; invert it "
        "(cn sample: --invert)\n"
    )
    inverted = images.read("out/x.png")
    assert sample("--cond", "white.png", "--invert", *words) == (0, "out/x.png\n", "")
    assert not np.array_equal(images.read("out/x.png"), inverted)
    # What is stored is the map as it was used.
    assert sample("--from", "out/x.png", "-q", "--out", "out/y.png", base=None, quick=False) == (0, "out/y.png\n", "")
    assert np.array_equal(images.read("out/x.png"), images.read("out/y.png"))


def test_each_condition_is_checked(sample):
    Image.fromarray(blocks()[..., 0]).save("a.gif", save_all=True, append_images=[Image.new("L", (64, 64))])
    Image.new("RGB", (64, 64), "white").save("white.png")
    code, _, err = sample("--cond", "a.gif", "--cond", "white.png", "--control", "run", "-q", "--out", "out/x.png")
    assert code == 0
    assert err.splitlines() == [
        "warning: a.gif: has 2 frames: only the first is used",
        "warning: white.png: is entirely white: there is nothing to follow (was there an alpha channel?)",
    ]


def test_an_image_of_another_program(sample):
    from PIL import PngImagePlugin

    text = PngImagePlugin.PngInfo()
    text.add_text("parameters", "a house\nSteps: 20, Sampler: Euler a")
    Image.new("RGB", (64, 64)).save("theirs.png", pnginfo=text)
    code, out, err = sample("--from", "theirs.png", base=None, quick=False)
    assert (code, out) == (3, "")
    assert err.startswith("cn: theirs.png: was written by AUTOMATIC1111's web UI or one like it")
