"""WebDataset shards: `00000.tar` with `KEY.jpg KEY.cond.png KEY.txt KEY.json` for each sample, in a row.

With several kinds, the maps are `KEY.canny.png KEY.depth.png`. Written by the standard library's tarfile, as the
library webdataset's writer stores owners and times, so that the same samples would not give the same bytes.
"""

import io
import tarfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from cn import storage
from cn.data.blobs import Content
from cn.data.formats.entry import COND, suffix
from cn.data.formats.writer import Packed, Shard


@dataclass(frozen=True)
class WebDatasetWriter:
    """One tar for each shard."""

    out: str

    def write(self, number: int, of: int, samples: Iterator[Packed]) -> Shard:
        name = f"{number:05d}.tar"
        count = 0
        with (
            storage.open_write(storage.join(self.out, name)) as file,
            tarfile.open(fileobj=file, mode="w", format=tarfile.PAX_FORMAT) as tar,
        ):
            for sample in samples:
                count += 1
                for ending, data in members(sample):
                    tar.addfile(_header(f"{sample.key}.{ending}", len(data)), io.BytesIO(data))
            size = file.tell()
        return {"files": [name], "samples": count, "bytes": size}

    def written(self, shard: Shard) -> bool:
        return all(storage.exists(storage.join(self.out, name)) for name in shard["files"])

    def resume(self, shard: Shard) -> None:
        """Shards do not depend on each other."""

    def finish(self, shards: Iterable[Shard]) -> None:
        """Nothing joins them."""


def members(sample: Packed) -> Iterator[tuple[str, bytes]]:
    """Suffix and contents of the files of a sample, in the order in which readers group them.

    Every sample has a text, if only an empty one: readers infer from the first samples which files there are.
    """
    entry = sample.entry
    yield suffix(Content(entry.image_name, sample.image), sample.image), sample.image
    for kind in sorted(sample.maps):
        data = sample.maps[kind]
        yield f"{kind or COND}.{suffix(Content(entry.map_names[kind], data), data)}", data
    yield "txt", (entry.caption or "").encode()
    yield "json", entry.record_text().encode()


def _header(name: str, size: int) -> tarfile.TarInfo:
    """That of a plain file without owner and time: a TarInfo's defaults."""
    header = tarfile.TarInfo(name)
    header.size = size
    return header
