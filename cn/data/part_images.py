"""Images that only their part can give, such as cells of a table: read by number, the last ones kept in memory."""

import threading
from collections import OrderedDict
from dataclasses import dataclass

from cn.data.blobs import Blob, Content
from cn.data.sources.sample import Part, Sample
from cn.errors import InputError

BLOCK = 32
"""Samples that are read together."""
MAX_BYTES = 256 << 20
"""Of the blocks that a process keeps; the last one stays whatever its size."""


@dataclass(frozen=True)
class PartImage(Blob):
    """The image of sample `number` of a part, or its map of a kind."""

    part: Part
    number: int
    kind: str | None
    name: str

    def read(self) -> bytes:
        sample = _blocks.sample(self.part, self.number)
        blob = sample.image if self.kind is None else sample.maps.get(self.kind)
        if blob is None:
            raise InputError(sample.problem or "changed while it was read", path=str(self))
        return blob.read()

    def __str__(self) -> str:
        return self.name


class _Blocks:
    """The blocks that were read last, with the bytes of their images."""

    def __init__(self) -> None:
        self._kept: OrderedDict[tuple[int, int], tuple[Part, list[Sample], int]] = OrderedDict()
        self._lock = threading.Lock()

    def sample(self, part: Part, number: int) -> Sample:
        # By identity, which holds as long as the block keeps the part.
        key = (id(part), number // BLOCK)
        with self._lock:
            if key not in self._kept:
                start = number // BLOCK * BLOCK
                samples = list(part.samples(start, start + BLOCK))
                self._kept[key] = part, samples, sum(map(_size, samples))
                self._shrink()
            self._kept.move_to_end(key)
            samples = self._kept[key][1]
        if number % BLOCK >= len(samples):
            raise InputError("has fewer rows than before: it was changed", path=part.name)
        return samples[number % BLOCK]

    def _shrink(self) -> None:
        while len(self._kept) > 1 and sum(size for _, _, size in self._kept.values()) > MAX_BYTES:
            self._kept.popitem(last=False)


def _size(sample: Sample) -> int:
    return sum(len(blob.data) for blob in (sample.image, *sample.maps.values()) if isinstance(blob, Content))


_blocks = _Blocks()
