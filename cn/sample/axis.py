"""One axis of a sweep, as `--sweep OPTION=VALUE,VALUE…` gives it. No torch.

strength=0.5,1,1.5          values
seed=0..3                   0, 1, 2, 3
control-end=0.5..1:0.25     0.5, 0.75, 1
prompt="a cat, sitting",a dog
"""

import csv
import difflib
import hashlib
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path
from typing import Any

from cn import options
from cn.errors import UsageError
from cn.options import Field
from cn.sample.lines import FIELDS, OF_CONDITIONS, SHARED, START
from cn.sample.lora_choice import Lora
from cn.text import shown

LORA_WEIGHT = "lora-weight"
"""The weight of every LoRA of the command."""
NAMES = (*(name for name in FIELDS if name != "count"), LORA_WEIGHT)
"""What can be swept: every option that a line of `--prompts` may say, but `image`, `mask` and `count`; what all lines
have in common; and the weights of LoRA files."""
MAX_VALUES = 1000

_FILES = ("cond", "control", "base", "vae", "lora")
_NUMBER = r"-?(?:\d+(?:\.\d+)?|\.\d+)"
_RANGE = re.compile(rf"({_NUMBER})\.\.({_NUMBER})(?::({_NUMBER}))?")
_SUFFIX = re.compile(r"\.(png|jpe?g|webp|safetensors|ckpt|pth?|bin)(?=:|$)", re.IGNORECASE)
_WORDS = {"true": True, "on": True, "yes": True, "false": False, "off": False, "no": False}
_MAX_NAME = 40


@dataclass(frozen=True)
class Value:
    """One value of an axis: as `lines.applied` takes it, as it was written, and its part of a file name."""

    value: Any
    text: str
    name: str


@dataclass(frozen=True)
class Axis:
    """An option, and its values in order; all are different."""

    option: str
    values: tuple[Value, ...]

    @classmethod
    def parse(cls, text: str) -> "Axis":
        """From OPTION=VALUES: commas between values, as in CSV; FROM..TO[:STEP] for numbers.

        An empty value is the option as if it were not given. Raises UsageError, naming option and value, for what the
        option alone can refuse.
        """
        word, equals, values = text.partition("=")
        option = word.strip().removeprefix("--").replace("_", "-")
        if not equals or not values:
            raise UsageError(
                f"--sweep must be OPTION=VALUE,VALUE…, such as strength=0.5,1,1.5, not {shown(repr(text))}"
            )
        if option == "count":
            raise UsageError("--sweep count: give --count beside --sweep, for a grid each; or sweep seed=0..3")
        if option in START:
            raise UsageError(
                f"--sweep {option} is not possible: each --{option} is a run of its own, or a line of --prompts"
            )
        if option not in NAMES:
            similar = [name for name in NAMES if name.startswith(option)] or difflib.get_close_matches(option, NAMES, 1)
            raise UsageError(f"--sweep: {options.unknown(option, similar[:1])}")
        words = list(_words(option, values))
        if len(words) > MAX_VALUES:
            raise UsageError(f"--sweep {option} has {len(words)} values; give at most {MAX_VALUES}")
        found = [_value(option, one) for one in words]
        for number, one in enumerate(found):
            if one in found[:number]:
                raise UsageError(f"--sweep {option}: {shown(repr(words[number]))} is given twice")
        # A seed that was drawn is called by its number.
        words = [str(value) if option == "seed" else one for one, value in zip(words, found, strict=True)]
        names = _names(option, words)
        return cls(option, tuple(map(Value, found, words, names)))

    @property
    def reads(self) -> bool:
        """Whether its values decide how condition images are read."""
        return self.option in ("cond", "control")

    @property
    def is_of_conditions(self) -> bool:
        """Whether it is an option of each condition."""
        return self.option in OF_CONDITIONS

    @property
    def is_shared(self) -> bool:
        """Whether each of its values needs networks of its own."""
        return self.option in (*SHARED, LORA_WEIGHT)

    def labels(self) -> list[str]:
        """What stands beside its rows or above its columns; files without their folders if that tells them apart."""
        texts = [value.text for value in self.values]
        if self.option in _FILES:
            short = [os.path.basename(text.rstrip(os.sep)) for text in texts]
            texts = short if len({*short}) == len(short) else texts
        return [f"{self.option}: {text or '(none)'}" for text in texts]


def _words(option: str, text: str) -> Iterator[str]:
    """The values as they were written, with ranges spelled out."""
    try:
        rows = list(csv.reader([text], skipinitialspace=True, strict=True))
    except csv.Error:
        raise UsageError(f'--sweep {option}: a "…" is not closed, or text follows it: {shown(text)}') from None
    for word in (word.strip() for row in rows for word in row):
        match = _RANGE.fullmatch(word)
        if match is None or not _is_number(option):
            yield word
            continue
        yield from _range(option, word, *match.groups())


def _range(option: str, word: str, first: str, last: str, step: str | None) -> Iterator[str]:
    """FROM, FROM + STEP … as far as TO, which is among them where the steps lead there. Exact: 0.1..0.3:0.1 has 0.3."""
    low, high = Decimal(first), Decimal(last)
    size = abs(Decimal(step)) if step is not None else Decimal(1)
    if size == 0:
        raise UsageError(f"--sweep {option}={word}: the step of a range is not 0")
    if (count := int(abs(high - low) / size) + 1) > MAX_VALUES:
        raise UsageError(f"--sweep {option}={word} has {count} values; give at most {MAX_VALUES}")
    for number in range(count):
        at = low + (size if high >= low else -size) * number
        yield f"{at.normalize():f}"


def _is_number(option: str) -> bool:
    field = FIELDS.get(option)
    return option == LORA_WEIGHT or (field is not None and field.type in (int, float))


def _value(option: str, word: str) -> Any:
    """What is written, as a JSON line would have it. UsageError where the option cannot be that."""
    field = FIELDS.get(option)
    if option in ("prompt", "cond"):
        if option == "cond" and word in ("", "-"):
            raise UsageError(f"--sweep cond must name files, not {word!r}")
        return word
    try:
        if field is None:
            return _weight(word)
        if not word and field.nullable:
            return None
        if field.element is not None:
            return [word] if word else []
        value = _typed(field, word)
        options.check_value(field, value)
        return value
    except UsageError as error:
        raise UsageError(f"--sweep {option}={shown(word)}: {error.what}") from None


def _typed(field: Field, word: str) -> Any:
    if field.option is not None and field.option.parse is not None:
        return field.option.parse(word)
    if field.type is bool:
        if word.lower() not in _WORDS:
            raise UsageError(f"{field.label} must be true or false")
        return _WORDS[word.lower()]
    if field.type in (int, float):
        try:
            return field.type(word)
        except ValueError:
            kind = "a whole number" if field.type is int else "a number"
            raise UsageError(f"{field.label} must be {kind}; a range is FROM..TO or FROM..TO:STEP") from None
    return word


def _weight(word: str) -> float:
    try:
        return Lora.parse("lora", float(word)).weight
    except (ValueError, UsageError):
        raise UsageError("a weight must be a finite number; a range is FROM..TO or FROM..TO:STEP") from None


def weighted(loras: Sequence[str], weight: float) -> tuple[str, ...]:
    """These LoRA files, all with one weight."""
    return tuple(str(replace(Lora.parse(text), weight=weight)) for text in loras)


def _names(option: str, words: Sequence[str]) -> list[str]:
    """A part of a file name for each value; a hash tells those apart that are the same without it."""
    plain = [_plain(_SUFFIX.sub("", Path(word).name) if option in _FILES else word) for word in words]
    lower = [name.lower() for name in plain]
    return [
        f"{option}={name}"
        if len(name) <= _MAX_NAME and lower.count(name.lower()) == 1
        else f"{option}={name[:_MAX_NAME].rstrip('-.')}-{hashlib.sha256(word.encode()).hexdigest()[:8]}"
        for name, word in zip(plain, words, strict=True)
    ]


def _plain(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9._+-]+", "-", text).strip(".") or "none"
