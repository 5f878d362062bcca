"""Key maps as templates: what a format calls each of our parameters, and the check that nothing is left over.

A rule such as `encoder.blocks.{n}.res.{res}` → `input_blocks.{n}.0.{res}` stands for every residual block of the
encoder: `{n}` is a number, `{res}` a name that the vocabulary of that title translates, and `.weight` or `.bias` follow
unchanged. Only this direction is written down; the inverse is derived from the names that a network really has.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

Shape = tuple[int, ...]
Rules = Mapping[str, str | tuple[str, ...]]

_FIELD = re.compile(r"\{(\w+)\}")
_PATTERNS = {"n": r"\d+", "k": r"\d+", "i": r"\d+", "p": "[qkv]", "kind": "weight|bias", "side": "in|out"}
_PATTERNS |= {"coder": "encoder|decoder"}
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

    `words` are the vocabularies of the fields that stand for names; `places` compute further fields from `{n}`, by the
    first part of our name ("encoder", "decoder", …).
    """

    rules: Rules
    words: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    places: Mapping[str, Callable[[int], Mapping[str, int]]] = field(default_factory=dict)

    @cached_property
    def _rules(self) -> list[tuple[re.Pattern[str], tuple[str, ...]]]:
        return _compile(self.rules, _TAIL)

    @cached_property
    def _words(self) -> dict[str, list[tuple[re.Pattern[str], tuple[str, ...]]]]:
        return {title: _compile(words, "") for title, words in self.words.items()}

    def translate(self, name: str) -> tuple[str, ...]:
        """Their name for our parameter; several where they keep it in pieces (to be joined along dimension 0).

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
                found |= {title: self._word(title, match[title]) for title in self.words if title in found}
            except KeyError:
                continue
            return tuple(target.format(**found) + str(tail) for target in targets)
        raise KeyError(name)

    def _word(self, title: str, text: str) -> str:
        for pattern, (target,) in self._words[title]:
            if match := pattern.fullmatch(text):
                return target.format(**match.groupdict())
        raise KeyError(text)

    def names(self, ours: Iterable[str]) -> dict[str, tuple[str, ...]]:
        """Our names → theirs; ValueError if two of ours would share one of theirs."""
        found = {name: self.translate(name) for name in ours}
        theirs = [name for pieces in found.values() for name in pieces]
        if len(set(theirs)) != len(theirs):
            raise ValueError("the key map gives one name to two parameters")
        return found


@dataclass(frozen=True)
class Mismatch:
    """Why tensors and a network do not belong together; all tensors are called by the file's names."""

    missing: Sequence[str] = ()
    unexpected: Sequence[str] = ()
    shapes: Sequence[str] = ()
    """ "NAME is 320×4 and should be 320×8"."""

    def __bool__(self) -> bool:
        return bool(self.missing or self.unexpected or self.shapes)

    def __str__(self) -> str:
        return "; ".join(_some(words, names) for words, names in self._lists() if names)

    def _lists(self) -> Iterator[tuple[str, Sequence[str]]]:
        yield "it lacks", self.missing
        yield "nothing takes", self.unexpected
        yield "of another shape:", self.shapes


def _some(words: str, names: Sequence[str], count: int = 3) -> str:
    more = f" and {len(names) - count} more" if len(names) > count else ""
    return f"{words} {', '.join(names[:count])}{more}"


def match(names: Mapping[str, tuple[str, ...]], wanted: Mapping[str, Shape], given: Mapping[str, Shape]) -> Mismatch:
    """Whether the tensors `given` (their names) fill a network of parameters `wanted` (ours) exactly."""
    pieces = {theirs for ours in wanted for theirs in names[ours]}
    shapes = []
    for ours, shape in wanted.items():
        found = [given[theirs] for theirs in names[ours] if theirs in given]
        if len(found) == len(names[ours]) and not _fits(found, shape):
            told = " + ".join(_dimensions(s) for s in found)
            shapes.append(f"{names[ours][0]} is {told} and should be {_dimensions(shape)}")
    return Mismatch(sorted(pieces - set(given)), sorted(set(given) - pieces), shapes)


def _fits(pieces: Sequence[Shape], shape: Shape) -> bool:
    """A 1×1 convolution and a linear layer are the same numbers; so they are the same shape here."""
    if any(len(piece) == 0 for piece in pieces):
        return list(pieces) == [shape]
    joined = (sum(piece[0] for piece in pieces), *pieces[0][1:])
    same = all(piece[1:] == pieces[0][1:] for piece in pieces)
    return same and _squeezed(joined) == _squeezed(shape)


def _squeezed(shape: Shape) -> Shape:
    return shape[:2] if shape[2:] == (1, 1) else shape


def _dimensions(shape: Shape) -> str:
    return "×".join(map(str, shape)) or "a single number"
