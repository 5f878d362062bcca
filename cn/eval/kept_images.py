"""The sampled images of an evaluation, kept as PNGs, so that one that was stopped goes on where it was.

OUT/samples/NAME-HASH/000012.png is image 12 of one control; its text says of which protocol and weights, so that images
of another evaluation are never taken for it. Batches are always the same ones, and a batch of which an image is missing
is sampled whole: an image's last bits may depend on the batch that it was in.
"""

import contextlib
import json
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cn import images
from cn.errors import InputError
from cn.files import make_folder

SAMPLES = "samples"
TEXT_KEY = "cn.eval"

_FOLDER, _IMAGE = re.compile(r".+-[0-9a-f]{8}"), re.compile(r"\d{6,}\.png")

Image = NDArray[np.uint8]


@dataclass(frozen=True)
class KeptImages:
    """The images of one control (or of none, or reconstructions), `count` of `size` × `size` pixels."""

    folder: Path
    identity: str
    """Hash of all that decides the images."""
    count: int
    size: int

    def path(self, number: int) -> Path:
        return self.folder / f"{number:06d}.png"

    def missing(self, batch_size: int) -> list[range]:
        """The batches that are still to be made."""
        batches = [range(first, min(first + batch_size, self.count)) for first in range(0, self.count, batch_size)]
        return [batch for batch in batches if not all(self._is_there(number) for number in batch)]

    def __getitem__(self, number: int) -> Image:
        """InputError for one that is missing or was changed meanwhile."""
        image = images.read(self.path(number))
        if image.shape[:2] != (self.size, self.size):
            raise InputError("was changed while it was in use; start again", path=self.path(number))
        return image

    def make(self, batches: Sequence[range], sample: Callable[[range], Iterable[Image]]) -> Iterator[int]:
        """Make these batches; yields the number of images each time some are written."""
        if batches:
            make_folder(self.folder)
        for batch in batches:
            for number, image in zip(batch, list(sample(batch)), strict=True):
                images.write(self.path(number), image, {TEXT_KEY: self._text(number)})
            yield len(batch)

    def _text(self, number: int) -> str:
        return json.dumps({"identity": self.identity, "image": number}, sort_keys=True)

    def _is_there(self, number: int) -> bool:
        path = self.path(number)
        if not images.is_complete_png(path):
            return False
        try:
            return images.read_info(path).get(TEXT_KEY) == self._text(number)
        except InputError:
            return False


def remove_kept(out: Path) -> None:
    """Remove the images of all evaluations in a folder, and nothing else."""
    for folder in (out / SAMPLES).glob("*"):
        if _FOLDER.fullmatch(folder.name) and folder.is_dir():
            for path in folder.iterdir():
                if _IMAGE.fullmatch(path.name):
                    path.unlink()
            with contextlib.suppress(OSError):
                # It stays where it holds something else.
                folder.rmdir()


def folder_name(name: str, identity: str) -> str:
    """A folder for what is called `name`, which may be a path."""
    return f"{re.sub(r'[^A-Za-z0-9._-]+', '-', name).strip('-.')[-40:] or 'control'}-{identity[:8]}"
