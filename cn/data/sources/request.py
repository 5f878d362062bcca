"""What the user says of a source, and what a recognizer of layouts answers. Imports nothing heavy."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from cn.data.sources.sample import Part

CAPTION_SUFFIXES = (".txt", ".caption")
"""Of text files that belong to an image, the first that is there."""


@dataclass(frozen=True)
class Request:
    """The arguments of `cn.data.sources.open.open_source`, which explains them."""

    src: str
    results: Sequence[str] = ()
    recursive: bool = True
    columns: Mapping[str, str] = field(default_factory=dict)
    images: str | None = None
    layout: str | None = None
    conditions: str | None = None
    fps: float | None = None
    frames: str | None = None


@dataclass
class Found:
    """A layout that was recognized."""

    layout: str
    about: str
    parts: Sequence[Part]
    used: set[str] = field(default_factory=set)
    """The keys of the listing that are read or belong to what is read; the others are left out."""
    warnings: list[str] = field(default_factory=list)


def counted(number: int, noun: str, plural: str = "") -> str:
    """ "1 image", "1,234 images"."""
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"
