"""CLIP's tokens are those of open_clip's tokenizer, without importing it."""

import random
import subprocess
import sys

import pytest
from open_clip.tokenizer import SimpleTokenizer

from cn.model.tokens import clip_merges, clip_vocabulary, encode
from tests.golden import cases
from tests.helpers.cli import program_environment

PIECES = (
    *("a", "the", "photograph", " ", "  ", "\t\n", "'s", "'LL", "it’s", "123", "½", "ⅷ", "!", "…", "?!", "_", "-", "&"),
    *(
        "&amp;",
        "&amp;lt;",
        "&#233;",
        "é",
        "e\u0301",
        "Ã©",
        "Å",
        "İ",
        "ß",
        "Σς",
        "ﬁ",
        "日本",
        "한",
        "😀🏽",
        "\u200d",
        "\x00",
    ),
    *("\x85", "\u00a0", "<|endoftext|>", "<", ">", "antidisestablishmentarianism", "x" * 90),
)


@pytest.fixture(scope="module")
def theirs() -> SimpleTokenizer:
    return SimpleTokenizer()


def test_the_vocabulary_is_that_of_open_clip(theirs):
    merges = clip_merges()
    ranked = sorted(theirs.bpe_ranks, key=theirs.bpe_ranks.__getitem__)
    assert merges == [" ".join(pair) for pair in ranked]
    vocabulary = clip_vocabulary(merges)
    assert len(vocabulary) == 49406
    assert {token: i for i, token in enumerate(vocabulary)}.items() <= theirs.encoder.items()


def test_the_tokens_are_those_of_open_clip(theirs):
    draw = random.Random(0)
    made = ["".join(draw.choices(PIECES, k=draw.randrange(1, 20))) for _ in range(2000)]
    for text in (*cases.PROMPTS, *made):
        assert encode(text) == theirs.encode(text), text


def test_end_tokens_cannot_be_written():
    """open_clip takes its own names of start and end in a text for these tokens, and would drop what follows."""
    for name in ("<start_of_text>", "<end_of_text>", "<|endoftext|>"):
        assert max(encode(f"a {name} cat")) < 49406
        assert encode(f"a {name} cat")[-1] == encode("cat")[0]


def test_sampling_and_training_start_without_packages_that_take_seconds():
    slow = ("open_clip", "torchvision", "transformers", "timm", "torch._dynamo", "torch.distributed.tensor")
    script = f"""
import sys, cn.sample.pipeline, cn.train.run
print([name for name in {slow} if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, env=program_environment())
    assert (done.returncode, done.stdout.strip()) == (0, "[]"), done.stderr
