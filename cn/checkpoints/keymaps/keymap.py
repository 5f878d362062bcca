"""Key maps as templates: the name of each of our parameters in another format, and the check that all tensors match.

A rule such as `encoder.blocks.{n}.res.{res}` → `input_blocks.{n}.0.{res}` covers every residual block of the encoder:
`{n}` is a number, `{res}` a name that the vocabulary "res" translates, and `.weight` or `.bias` follow unchanged. Only
this direction is written down; the inverse is derived from the names of a network's parameters.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from cn.text import first_names

Shape = tuple[int, ...]
Rules = Mapping[str, str | tuple[str, ...]]

_FIELD = re.compile(r"\{(\w+)\}")
_PATTERNS = {"n": r"\d+", "k": r"\d+", "i": r"\d+", "p": "[qkv]", "weight_or_bias": "weight|bias", "side": "in|out"}
_PATTERNS |= {"coder": "encoder|decoder"}
"""What a field of a template stands for; a field that is not listed takes any name.

n: a block or layer; k: a transformer in a block; i: the number of a norm, convolution or linear layer; p: query, key or
value; side: the first or last convolution or projection; coder: a half of the VAE.
"""
_TAIL = r"(?P<tail>(?:\.(?:weight|bias))?)"


def _compile(rules: Rules, tail: str) -> list[tuple[re.Pattern[str], tuple[str, ...]]]:
    def pattern(template: str) -> re.Pattern[str]:
        plain = _FIELD.split(template)
        parts = (
            f"(?P<{part}>{_PATTERNS.get(part, '.+?')})" if i % 2 else re.escape(part) for i, part in enumerate(plain)
        )
        return re.compile("".join(parts) + tail)

    return [(pattern(ours), (theirs,) if isinstance(theirs, str) else theirs) for ours, theirs in rules.items()]


@dataclass(frozen=True)
class Table:
    """The rules of one network in one format, tried in order.

    `words` are the vocabularies of fields that hold names; `places` compute further fields from `{n}`, by the first
    component of our name ("encoder", "decoder", …).
    """

    rules: Rules
    words: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    places: Mapping[str, Callable[[int], Mapping[str, int]]] = field(default_factory=dict)

    @cached_property
    def _rules(self) -> list[tuple[re.Pattern[str], tuple[str, ...]]]:
        return _compile(self.rules, _TAIL)

    @cached_property
    def _words(self) -> dict[str, list[tuple[re.Pattern[str], tuple[str, ...]]]]:
        return {vocabulary: _compile(words, "") for vocabulary, words in self.words.items()}

    def translate(self, name: str) -> tuple[str, ...]:
        """The other format's name of our parameter; several where it is split along dimension 0.

        Raises KeyError for a name that no rule covers.
        """
        for pattern, targets in self._rules:
            if (match := pattern.fullmatch(name)) is None:
                continue
            found: dict[str, object] = dict(match.groupdict())
            tail = found.pop("tail")
            if "n" in found and (place := self.places.get(name.split(".", 1)[0])):
                found |= place(int(match["n"]))
            try:
                found |= {
                    vocabulary: self._word(vocabulary, match[vocabulary])
                    for vocabulary in self.words
                    if vocabulary in found
                }
            except KeyError:
                continue
            return tuple(target.format(**found) + str(tail) for target in targets)
        raise KeyError(name)

    def _word(self, vocabulary: str, text: str) -> str:
        for pattern, (target,) in self._words[vocabulary]:
            if match := pattern.fullmatch(text):
                return target.format(**match.groupdict())
        raise KeyError(text)

    def names(self, ours: Iterable[str]) -> dict[str, tuple[str, ...]]:
        """Our names → theirs; ValueError if two of ours would get the same name."""
        found = {name: self.translate(name) for name in ours}
        theirs = [name for pieces in found.values() for name in pieces]
        if len(set(theirs)) != len(theirs):
            raise ValueError("the key map gives one name to two parameters")
        return found


@dataclass(frozen=True)
class Mismatch:
    """Why tensors do not fit a network; all names are those in the file."""

    missing: Sequence[str] = ()
    unexpected: Sequence[str] = ()
    shapes: Sequence[str] = ()
    """ "NAME is 320×4, should be 320×8"."""

    def __bool__(self) -> bool:
        return bool(self.missing or self.unexpected or self.shapes)

    def __str__(self) -> str:
        lists = {"missing": self.missing, "unexpected": self.unexpected, "wrong shape:": self.shapes}
        return "; ".join(f"{words} {first_names(names)}" for words, names in lists.items() if names)


def match(names: Mapping[str, tuple[str, ...]], wanted: Mapping[str, Shape], given: Mapping[str, Shape]) -> Mismatch:
    """Compare the tensors of a file, `given` (their names), with the parameters of a network, `wanted` (our names)."""
    pieces = {theirs for ours in wanted for theirs in names[ours]}
    shapes = []
    for ours, shape in wanted.items():
        found = [given[theirs] for theirs in names[ours] if theirs in given]
        if len(found) == len(names[ours]) and not _fits(found, shape):
            found_shape = " + ".join(_dimensions(s) for s in found)
            shapes.append(f"{names[ours][0]} is {found_shape}, should be {_dimensions(shape)}")
    return Mismatch(sorted(pieces - set(given)), sorted(set(given) - pieces), shapes)


def _fits(pieces: Sequence[Shape], shape: Shape) -> bool:
    """Whether pieces form a shape; a 1×1 convolution and a linear layer count as the same shape."""
    if any(len(piece) == 0 for piece in pieces):
        return list(pieces) == [shape]
    joined = (sum(piece[0] for piece in pieces), *pieces[0][1:])
    same = all(piece[1:] == pieces[0][1:] for piece in pieces)
    return same and _squeezed(joined) == _squeezed(shape)


def _squeezed(shape: Shape) -> Shape:
    return shape[:2] if shape[2:] == (1, 1) else shape


def _dimensions(shape: Shape) -> str:
    return "×".join(map(str, shape)) or "a scalar"
