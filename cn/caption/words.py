"""Captions as text: tidying what a network wrote, and telling loops ("a cat a cat a cat")."""

import re

_BEFORE_MARK = re.compile(r"\s+([.,;:!?)\]}%])")
_AFTER_BRACKET = re.compile(r"([(\[{])\s+")
_APOSTROPHE = re.compile(r"(\w)(?:\s+['\u2019]\s*|['\u2019]\s+)(s|t|re|ve|ll|d|m)\b")
_SPECIAL = re.compile(r"<(?:start|end)_of_text>|\[(?:CLS|SEP|PAD|UNK|MASK|DEC|ENC)\]")
_LOOPS = 3
"""So many times the same words in a row are a loop."""


def tidy(text: str) -> str:
    """One line without the spaces that tokens leave, without special tokens, and without a final period.

    BLIP's captions have none; without it, words that are added after a caption join it.
    """
    text = _SPECIAL.sub(" ", text).replace("\ufffd", "")
    text = "".join(c if c.isprintable() else " " for c in text)
    text = _APOSTROPHE.sub(r"\1'\2", " ".join(text.split()))
    text = _AFTER_BRACKET.sub(r"\1", _BEFORE_MARK.sub(r"\1", text))
    return text if text.endswith("..") else text.removesuffix(".").rstrip()


def is_loop(text: str) -> bool:
    """Whether one to four words come three times in a row."""
    words = text.lower().split()
    for size in range(1, 5):
        for start in range(len(words) - _LOOPS * size + 1):
            if words[start : start + size] * _LOOPS == words[start : start + _LOOPS * size]:
                return True
    return False
