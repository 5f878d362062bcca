"""CLIP's tokenizer: a text → the numbers of its tokens. It reads open_clip's data file and loads neither that package,
which takes seconds, nor torch.

Byte pairs as in `simple_tokenizer.py` of https://github.com/openai/CLIP.
"""

import gzip
import html
import importlib.util
from collections.abc import Sequence
from functools import cache, lru_cache
from itertools import islice, pairwise
from pathlib import Path

import ftfy
import regex

from cn.model.config import VOCABULARY_SIZE

_WORD = regex.compile(r"'s|'t|'re|'ve|'m|'ll|'d|\p{L}+|\p{N}|[^\s\p{L}\p{N}]+", regex.IGNORECASE)
MAX_TOKENS = 75
"""Of a prompt, or a chunk of one, without the start and end tokens (CLIP's context has 77)."""
_END = "</w>"
"""What the last part of a word ends with."""


def encode(text: str) -> list[int]:
    """The tokens of a text, without start and end. Spaces and capitals make no difference."""
    clean = html.unescape(html.unescape(ftfy.fix_text(text)))
    words = _WORD.findall(" ".join(clean.split()).lower())
    return [number for word in words for number in _word(word)]


def token_count(text: str) -> int:
    """The number of tokens of a text without start and end; of a prompt, those beyond 75 are ignored."""
    return len(encode(text))


def clip_merges() -> list[str]:
    """CLIP's 48,894 merges ("i n")."""
    package = importlib.util.find_spec("open_clip")
    assert package is not None
    assert package.origin is not None
    with gzip.open(Path(package.origin).with_name("bpe_simple_vocab_16e6.txt.gz"), "rt", encoding="utf-8") as file:
        return [line.rstrip("\n") for line in islice(file, 1, VOCABULARY_SIZE - 2 * 256 - 2 + 1)]


def clip_vocabulary(merges: Sequence[str]) -> list[str]:
    """The tokens 0 … 49405: 256 bytes as characters, the same at the end of a word, then the merges."""
    characters = list(_characters().values())
    return [*characters, *(f"{c}{_END}" for c in characters), *("".join(merge.split()) for merge in merges)]


@cache
def _characters() -> dict[int, str]:
    """Bytes as characters: one that is printable stands for itself; the others are mapped to U+0100 and above."""
    printable = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    others = [byte for byte in range(256) if byte not in printable]
    return {byte: chr(byte) for byte in printable} | {byte: chr(256 + i) for i, byte in enumerate(others)}


@cache
def _tables() -> tuple[dict[str, int], dict[tuple[str, ...], int]]:
    """The number of each token, and the rank of each pair: the lowest is merged first."""
    merges = clip_merges()
    numbers = {token: number for number, token in enumerate(clip_vocabulary(merges))}
    return numbers, {tuple(merge.split()): rank for rank, merge in enumerate(merges)}


@lru_cache(maxsize=1 << 16)
def _word(word: str) -> tuple[int, ...]:
    """The tokens of one word: its characters, merged pair by pair."""
    numbers, ranks = _tables()
    parts = [_characters()[byte] for byte in word.encode()]
    parts[-1] += _END
    while len(parts) > 1:
        best = min(pairwise(parts), key=lambda pair: ranks.get(pair, len(ranks)))
        if best not in ranks:
            break
        merged, at = [], 0
        while at < len(parts):
            both = tuple(parts[at : at + 2]) == best
            merged.append("".join(best) if both else parts[at])
            at += 2 if both else 1
        parts = merged
    return tuple(numbers[part] for part in parts)
