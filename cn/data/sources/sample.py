"""What people's images and datasets are read as, whatever their layout: samples, in parts that can be read alone."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

from cn import errors
from cn.data.blobs import Blob, File
from cn.detect.run.left_out import LeftOut
from cn.json_text import decode_text

UNSTATED = ""
"""The kind of a condition map whose source does not say what it is."""


@dataclass(frozen=True)
class Sample:
    """One image of a source, not yet read."""

    name: str
    """Its name in the source, for statuses and messages, unique there: "day1/a.jpg", "00003.tar/000000123"."""
    image: Blob | None
    """None only where there is a problem."""
    caption: str | None = None
    """None where the source has none for it, or where it is in `caption_file`."""
    caption_file: File | None = None
    """The text file that holds the caption, not yet read: `read_caption`."""
    maps: Mapping[str, Blob] = field(default_factory=dict)
    """Condition maps that the source has, by kind (`UNSTATED`: of a kind that it does not state)."""
    extra: Mapping[str, Any] = field(default_factory=dict)
    """What else the source says of it, as JSON values."""
    where: str = ""
    """The line that it comes from, "FILE:LINE", where a file lists the images."""
    problem: str | None = None
    """Why it cannot be used."""

    def read_caption(self) -> str | None:
        """The caption, in one line, without spaces at its ends; None if there is none. InputError: not UTF-8 text."""
        text = self.caption
        if self.caption_file is not None:
            with errors.about(self.caption_file.path):
                text = decode_text(self.caption_file.read())
        return " ".join(text.split()) or None if text is not None else None


class Part(ABC):
    """A piece of a source that can be read alone: a list of files, one tar, one table, one video.

    Parts are small frozen dataclasses that can be pickled, and written as JSON (`cn.data.sources.parts`).
    """

    type: ClassVar[str]
    """What it is called in JSON."""
    name: str
    """Its name in messages."""

    @property
    @abstractmethod
    def count(self) -> int | None:
        """How many samples it has; None where that is known only once it was read."""

    @abstractmethod
    def samples(self, start: int = 0, stop: int | None = None) -> Iterator[Sample]:
        """The samples from number `start` up to, without, number `stop`, in a fixed order.

        Raises InputError where the part as a whole cannot be read, also after some of its samples.
        """

    @abstractmethod
    def record(self, start: int, stop: int | None) -> dict[str, Any]:
        """This part with only these samples, as JSON values; the inverse is `cn.data.sources.parts.from_record`."""


@dataclass(frozen=True)
class Source:
    """What SRC is."""

    layout: str
    """The name of the layout: "folder", "prompt.json", "imagefolder", "parquet", "webdataset" …"""
    about: str
    """What it was recognized as, in words: "a folder of 20 images, 18 of them with captions (.txt)"."""
    parts: Sequence[Part]
    left_out: LeftOut = field(default_factory=LeftOut)
    """What lies there and is not used."""
    warnings: tuple[str, ...] = ()

    @property
    def count(self) -> int | None:
        """How many samples it has, if that is known."""
        counts = [part.count for part in self.parts]
        return None if None in counts else sum(count for count in counts if count is not None)

    def samples(self) -> Iterator[Sample]:
        """All samples, in order."""
        for part in self.parts:
            yield from part.samples()
