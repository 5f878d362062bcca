"""`cn sample --prompt-syntax` and `--prompts` through the command line."""

import json
from pathlib import Path

import numpy as np

from cn import images
from tests.helpers.sampling import CONTROLLED


def test_weighted_and_long_prompts(sample):
    """The image differs from the plain one's, the warning names the option, and --from restores the syntax."""
    prompt = "a (house:1.5) BREAK " + "word " * 80
    words = [*CONTROLLED, "-p", prompt, "--negative", "(blur:1.2)", "--steps", "1"]
    code, _, err = sample(*words, "--prompt-syntax", "a1111", "--out", "out/a.png", quick=False)
    assert code == 0
    assert "warning" not in err
    code, _, err = sample(*words, "--out", "out/plain.png", quick=False)
    assert code == 0
    assert err.count("--prompt-syntax a1111") == 3
    assert images.read("out/a.png").tolist() != images.read("out/plain.png").tolist()
    assert sample("--from", "out/a.png", "--out", "out/b.png", base=None, quick=False)[0] == 0
    assert Path("out/a.png").read_bytes() == Path("out/b.png").read_bytes()


def test_a_file_of_prompts_with_options(sample):
    """Each image is that of its own options, and --from makes it again."""
    Path("lines.jsonl").write_text(
        '{"prompt": "a tree", "seed": 4, "count": 2, "scale": 3}\n# no prompt\na house\n'
        '{"prompt": "a cat", "cond": "openpose.png", "control": "run", "strength": 0.5, "size": "128x128"}\n'
    )
    words = ["--base", "base.safetensors", "--steps", "2", *CONTROLLED, "--prompts", "lines.jsonl"]
    code, out, err = sample(*words, "--grid", "--out", "out", base=None, quick=False)
    assert code == 0
    made = ["canny-prompt1-seed4", "canny-prompt1-seed5", "canny-prompt2-seed0", "openpose-prompt3-seed0"]
    assert out.splitlines() == [f"out/{name}.png" for name in [*made, "canny-seed4-grid"]]
    for words in (
        "4 of 64×64, 2 steps of ddim, guidance 3\n",
        "128×128, 2 steps of ddim, guidance 9, seeds 0, 4 to 5\n",
    ):
        assert words in err
    again = ["--from", "out/openpose-prompt3-seed0.png", "--out", "out/again.png"]
    assert sample(*again, base=None, quick=False)[0] == 0
    assert Path("out/again.png").read_bytes() == Path("out/openpose-prompt3-seed0.png").read_bytes()
    single = [*CONTROLLED, "-p", "a tree", "--seed", "5", "--scale", "3", "--steps", "2", "--out", "out/single.png"]
    assert sample(*single, quick=False)[0] == 0
    assert Path("out/single.png").read_bytes() == Path("out/canny-prompt1-seed5.png").read_bytes()
    assert images.read("out/canny-seed4-grid.png").shape[1] > 3 * 64


def test_lines_that_fit_the_condition_in_their_own_way(sample):
    Path("lines").write_text('{"fit": "crop"}\n{"fit": "pad"}\n{"fit": "crop"}\n')
    words = [*CONTROLLED, "--prompts", "lines", "--size", "128x64", "--steps", "1", "--out", "out"]
    assert sample(*words, quick=False)[0] == 0
    crop, pad, again = (images.read(f"out/canny-prompt{k}-seed0.png") for k in (1, 2, 3))
    assert np.array_equal(crop, again)
    assert not np.array_equal(crop, pad)


def test_photographs_with_lines(sample):
    """Detected once, for all lines; each line has its own strength."""
    Path("lines").write_text('{"strength": 0}\n{"strength": 1}\n')
    photo = ["--cond", "plain.png", "--detect", "canny", "--control", "run", "--prompts", "lines", "--steps", "1"]
    assert sample(*photo, "--out", "out", quick=False)[0] == 0
    made = [Path(f"out/canny-prompt{k}-seed0.png").read_bytes() for k in (1, 2)]
    assert made[0] != made[1]
    Path("lines").write_text('{"cond": "canny.png", "control": "run"}\n')
    assert "--detect is for the --cond of the command" in sample(*photo, "--out", "out2", quick=False)[2]


def test_prompts_that_are_given_twice(sample):
    for words in (["--prompts", "x", "-p", "a"], ["--prompts", "x", "--prompt-mode", "none"]):
        code, _, err = sample(*words, quick=False)
        assert code == 2
        assert "--prompts takes no --prompt" in err
    assert "standard input is read once" in sample("--prompts", "-", "--cond", "-", quick=False)[2]
    code, _, err = sample("--prompts", "missing.txt", quick=False)
    assert (code, "missing.txt" in err) == (3, True)


def test_lines_are_sampled_together_where_they_can_be(sample):
    """Prompts of other lengths and options in between; the images are those of one at a time, up to rounding."""
    lines = [
        {"prompt": "a house", "seed": 1},
        {"prompt": "a (tree:1.5)", "seed": 2, "prompt_syntax": "a1111"},
        {"prompt": "a cat " * 60, "seed": 3, "prompt_syntax": "a1111"},
        {"prompt": "a dog", "seed": 4, "scale": 3},
        {"prompt": "a dog", "seed": 5, "scale": 3},
    ]
    Path("lines").write_text("\n".join(map(json.dumps, lines)))
    words = [*CONTROLLED, "--prompts", "lines", "--steps", "2"]
    assert sample(*words, "--batch-size", "4", "--out", "many", quick=False)[0] == 0
    assert sample(*words, "--batch-size", "1", "--out", "single", quick=False)[0] == 0
    names = sorted(path.name for path in Path("many").iterdir())
    assert len(names) == 5
    for name in names:
        many, single = (images.read(f"{folder}/{name}").astype(int) for folder in ("many", "single"))
        assert np.abs(many - single).max() <= 1
