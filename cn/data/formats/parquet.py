"""Parquet as the library `datasets` writes it: image bytes in the table, `data/train-00000-of-00003.parquet`.

Columns as in the training scripts of diffusers: `image`, `conditioning_image` (with several kinds
`KIND_conditioning_image`), `text`, and `extra`: all further keys as JSON text.
"""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cn import storage
from cn.data.formats.entry import EXTRA, IMAGE_COLUMN, TEXT_COLUMN, map_column
from cn.data.formats.writer import Packed, Shard
from cn.errors import UsageError

if TYPE_CHECKING:
    import pyarrow as pa

ROWS = 100
"""Rows of a row group: what a reader that shows a few rows has to load (the Hugging Face hub's number)."""
_GROUP_BYTES = 256 << 20


@dataclass(frozen=True)
class ParquetWriter:
    """One file for each shard; `kinds` are those of all maps."""

    out: str
    kinds: tuple[str, ...]

    def write(self, number: int, of: int, samples: Iterator[Packed]) -> Shard:
        import pyarrow.parquet as pq

        name = f"data/train-{number:05d}-of-{of:05d}.parquet"
        schema = self._schema()
        # Images do not get smaller by compression; captions and keys do.
        small = [TEXT_COLUMN, EXTRA]
        compression = {path: "snappy" if path in small else "none" for path in (*small, *self._leaves())}
        count = 0
        with (
            storage.open_write(storage.join(self.out, name)) as file,
            pq.ParquetWriter(file, schema, compression=compression, use_dictionary=False) as writer,
        ):
            for rows in _groups(map(self._row, samples)):
                writer.write_table(_table(rows, schema))
                count += len(rows)
        size = storage.size(storage.join(self.out, name))
        return {"files": [name], "samples": count, "bytes": size}

    def written(self, shard: Shard) -> bool:
        return all(storage.exists(storage.join(self.out, name)) for name in shard["files"])

    def resume(self, shard: Shard) -> None:
        """Files do not depend on each other."""

    def finish(self, shards: Iterable[Shard]) -> None:
        """Nothing joins them."""

    @property
    def _columns(self) -> dict[str, str]:
        """Name of the column of each kind's map."""
        return {kind: map_column(kind) for kind in self.kinds}

    def _leaves(self) -> list[str]:
        return [f"{column}.{part}" for column in (IMAGE_COLUMN, *self._columns.values()) for part in ("bytes", "path")]

    def _schema(self) -> "pa.Schema":
        """Columns with the note by which `datasets` knows which of them are images."""
        import pyarrow as pa

        image = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
        images = [IMAGE_COLUMN, *self._columns.values()]
        texts = [TEXT_COLUMN, EXTRA]
        features = {name: {"_type": "Image"} for name in images}
        features |= {name: {"dtype": "string", "_type": "Value"} for name in texts}
        note = json.dumps({"info": {"features": features}})
        columns = [pa.field(name, image) for name in images] + [pa.field(name, pa.string()) for name in texts]
        return pa.schema(columns, metadata={"huggingface": note})

    def _row(self, sample: Packed) -> dict[str, Any]:
        entry = sample.entry
        row: dict[str, Any] = dict.fromkeys(self._columns.values())
        row[IMAGE_COLUMN] = {"bytes": sample.image, "path": entry.image_name}
        for kind, data in sample.maps.items():
            row[self._columns[kind]] = {"bytes": data, "path": entry.map_names[kind]}
        return {**row, TEXT_COLUMN: entry.caption, EXTRA: entry.record_text()}


def _groups(rows: Iterator[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    """Rows of a group, at most `ROWS`, and fewer where their images are large."""
    group: list[dict[str, Any]] = []
    size = 0
    for row in rows:
        group.append(row)
        size += sum(len(cell["bytes"]) for cell in row.values() if isinstance(cell, dict))
        if len(group) == ROWS or size >= _GROUP_BYTES:
            yield group
            group, size = [], 0
    if group:
        yield group


def _table(rows: list[dict[str, Any]], schema: "pa.Schema") -> "pa.Table":
    import pyarrow as pa

    return pa.Table.from_pylist(rows, schema=schema)


def check_installed() -> None:
    """Raises UsageError without pyarrow."""
    try:
        import pyarrow.parquet  # noqa: F401
    except ImportError:
        raise UsageError('parquet needs pyarrow: pip install "controlnet-cn[parquet]"') from None
