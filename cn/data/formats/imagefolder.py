"""Hugging Face's imagefolder: `train/metadata.jsonl` with `file_name`, `text` and `conditioning_image_file_name`.

`datasets.load_dataset("imagefolder", data_dir=OUT)` makes images of all columns that end in `_file_name`. The files are
called by their keys, in folders of at most 10,000.
"""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from cn import storage
from cn.data.blobs import Content
from cn.data.formats.entry import EXTRA, IMAGE_COLUMN, TEXT_COLUMN, map_column, suffix
from cn.data.formats.writer import Packed, Shard

SPLIT = "train"
"""The folder of the split: without it, a folder or file with "test" in its name would become another one."""
METADATA = f"{SPLIT}/metadata.jsonl"
SHARD_SIZE = 10_000
"""Files in a folder; the Hugging Face hub takes no more."""


@dataclass(frozen=True)
class ImagefolderWriter:
    """A folder of images, and of maps of each kind, for each shard; one list of all."""

    out: str
    kinds: tuple[str, ...]

    def write(self, number: int, of: int, samples: Iterator[Packed]) -> Shard:
        lines, size = [], 0
        for sample in samples:
            line = self._line(number, sample)
            for column, data in self._files(sample).items():
                storage.write(storage.join(self.out, SPLIT, line[column]), data)
                size += len(data)
            lines.append(line)
        return {"files": [], "samples": len(lines), "bytes": size, "lines": lines}

    def _files(self, sample: Packed) -> dict[str, bytes]:
        """Bytes by column."""
        maps = {_column(kind): data for kind, data in sample.maps.items()}
        return {"file_name": sample.image, **maps}

    def _line(self, number: int, sample: Packed) -> dict[str, Any]:
        """A line of the list. All lines have all columns: `datasets` takes the columns of the first."""
        entry = sample.entry

        def name(folder: str, own_name: str, data: bytes) -> str:
            return f"{folder}/{number:05d}/{sample.key}.{suffix(Content(own_name, data), data)}"

        line: dict[str, Any] = {"file_name": name(IMAGE_COLUMN, entry.image_name, sample.image)}
        for kind in self.kinds:
            data = sample.maps.get(kind)
            line[_column(kind)] = None if data is None else name(map_column(kind), entry.map_names[kind], data)
        return {**line, TEXT_COLUMN: entry.caption, EXTRA: entry.record_text()}

    def written(self, shard: Shard) -> bool:
        columns = ("file_name", *map(_column, self.kinds))
        names = (line[column] for line in shard["lines"] for column in columns if line[column] is not None)
        return all(storage.exists(storage.join(self.out, SPLIT, name)) for name in names)

    def resume(self, shard: Shard) -> None:
        """Shards do not depend on each other."""

    def finish(self, shards: Iterable[Shard]) -> None:
        with storage.open_write(storage.join(self.out, METADATA)) as file:
            for shard in shards:
                for line in shard["lines"]:
                    file.write(json.dumps(line, ensure_ascii=False).encode() + b"\n")


def _column(kind: str) -> str:
    """The column of the names of a kind's maps."""
    return f"{map_column(kind)}_file_name"
