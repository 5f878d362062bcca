"""`cn sample --prompt-syntax` and `--prompts` through the command line."""

from pathlib import Path

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
