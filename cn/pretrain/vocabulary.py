"""The tokens that the base's text encoder knows: fixed before training, since processes see different scenes."""

import re
from collections.abc import Iterable, Iterator
from functools import cache
from typing import Any

from cn.data.seeds import TRAIN_SEED
from cn.model.config import TextConfig
from cn.model.text import tokenize
from cn.pretrain.pool import CAPTIONS
from cn.scenes import caption, describe, kinds, people_words
from cn.scenes import vocabulary as words

SCENES = 2000
"""Scenes whose captions are read for words that are in no table: the small ones, such as "beside"."""


@cache
def known_tokens(config: TextConfig) -> tuple[int, ...]:
    """The ids of all tokens of captions, sorted, those of start, end and padding included."""
    scenes = (describe(TRAIN_SEED, index) for index in range(SCENES))
    tables = [vars(module) for module in (words, people_words, kinds)]
    texts = [*_texts(tables), *(caption(s, v) for s in scenes for v in range(CAPTIONS))]
    # A token at the end of a word is another one than the same letters before a comma in a longer text.
    parts = {word for text in texts for word in re.findall(r"[\w'-]+|[^\w\s]", re.sub(r"{\w*}", " ", text))}
    ids: set[int] = set()
    ordered = sorted(parts)
    for start in range(0, len(ordered), 20):
        ids.update(tokenize([" ".join(ordered[start : start + 20])], config).flatten().tolist())
    return tuple(sorted(ids))


def unknown_token(vocabulary: Iterable[int]) -> int:
    """The id that stands for every token outside the vocabulary: the smallest one (`save_base` keeps its row)."""
    known = set(vocabulary)
    return next(i for i in range(len(known) + 1) if i not in known)


def _texts(value: Any) -> Iterator[str]:
    """All texts in tables of tables."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for name, inner in value.items():
            if not str(name).startswith("__"):
                yield from _texts(name)
                yield from _texts(inner)
    elif isinstance(value, tuple | list):
        for inner in value:
            yield from _texts(inner)
