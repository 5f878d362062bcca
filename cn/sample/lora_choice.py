"""A LoRA as `--lora FILE[:WEIGHT]` names it. Imports nothing heavy."""

import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from cn.errors import UsageError, WeightsError
from cn.options import several
from cn.text import shown

StrPath: TypeAlias = str | os.PathLike[str]


@dataclass(frozen=True)
class Lora:
    """A file or folder, and the factor on what it adds to the base's weights (negative: away from it)."""

    path: str
    weight: float = 1.0

    @classmethod
    def parse(cls, text: str, weight: float = 1.0) -> "Lora":
        """From FILE or FILE:WEIGHT; `weight` is that of a FILE alone.

        A path may hold colons: only a number after the last one is a weight, and what is there as a whole is a path,
        whatever it ends with. Raises UsageError for no path and for a weight that is not finite.
        """
        path, colon, last = text.rpartition(":")
        if not colon or os.path.exists(text):
            path, last = text, ""
        try:
            weight = float(last) if last else weight
        except ValueError:
            path = text
        if not path:
            raise UsageError(f"--lora must be FILE or FILE:WEIGHT, not {shown(repr(text))}")
        if not math.isfinite(weight):
            raise UsageError(f"--lora {shown(path)}: its weight must be a finite number, not {weight}")
        return cls(path, weight)

    def __str__(self) -> str:
        """FILE:WEIGHT, which `parse` reads back."""
        return f"{self.path}:{self.weight:.12g}"

    def find(self) -> Path:
        """Where it is. WeightsError where nothing is there."""
        path = Path(self.path)
        if not path.exists():
            raise WeightsError("no such LoRA; give the path of its file with --lora FILE[:WEIGHT]", path=self.path)
        return path

    @property
    def name(self) -> str:
        """What the metadata of an image calls it."""
        return f"lora {self.path}"


def lora_words(given: StrPath | Sequence[StrPath] | Mapping[str, float] | None) -> tuple[str, ...]:
    """The LoRA files of a function of `cn.api`, as the command line names them: one, several, or file → weight."""
    if isinstance(given, Mapping):
        return tuple(f"{os.fspath(path)}:{weight}" for path, weight in given.items())
    return tuple(os.fspath(one) for one in several(given))
