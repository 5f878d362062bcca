"""Seeds and the reader of sources of images: lists, tars and tables, as `cn.data.sources.open` recognizes them."""

import gzip
import io
import json
import tarfile
from collections.abc import Mapping
from pathlib import Path

from cn.data.sources.open import open_source
from cn.data.sources.parts import from_record

Seed = Mapping[str, bytes]

IMAGES = {"a.jpg": b"one", "b.png": b"two"}
ROWS = [
    {"file_name": "a.jpg", "text": "a, red", "conditioning_image": "b.png", "n": 1},
    {"file_name": "b.png", "text": "blau"},
]


def _lines(*records: object) -> bytes:
    return b"".join(json.dumps(record).encode() + b"\n" for record in records)


def lists() -> tuple[Seed, ...]:
    """Folders of two images with a file that lists them."""
    pairs = [{"source": "b.png", "target": "a.jpg", "prompt": "x", "kind": "canny"}] * 2
    names = {
        "prompt.json": _lines(*pairs),
        "metadata.jsonl": _lines(*ROWS),
        "metadata.csv": b'\xef\xbb\xbffile_name,text\n"a.jpg","two\nlines, ""quoted"""\nb.png,z\n',
        "mine.tsv": b"path\tcaption\na.jpg\tx\nb.png\ty\n",
        "all.json": json.dumps(ROWS).encode(),
        "captions.txt": b"a.jpg\tone\nb.png, two\n",
        "meta_cap.json": json.dumps({"a": {"caption": "x", "tags": "y"}, "b.png": {"tags": "z"}}).encode(),
    }
    return tuple({name: data, **IMAGES} for name, data in names.items())


def tars() -> tuple[Seed, ...]:
    """A shard, plain and compressed."""
    file = io.BytesIO()
    record = json.dumps({"caption": "x", "status": "success", "url": "u"}).encode()
    members = {"0.jpg": b"x", "0.cond.png": b"y", "0.txt": b"z", "1.json": record, "1.png": b"w"}
    with tarfile.open(fileobj=file, mode="w") as tar:
        for member, data in members.items():
            info = tarfile.TarInfo(member)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return {"00000.tar": file.getvalue()}, {"00000.tar.gz": gzip.compress(file.getvalue(), mtime=0)}


def tables() -> tuple[Seed, ...]:
    """A table with images in it, as Parquet and as Arrow."""
    import pyarrow
    import pyarrow.parquet

    table = pyarrow.table(
        {"image": [{"bytes": b"one", "path": "a.jpg"}, {"bytes": None, "path": "b.jpg"}], "text": ["x", None]}
    )
    parquet, arrow = io.BytesIO(), io.BytesIO()
    pyarrow.parquet.write_table(table, parquet, row_group_size=1)
    with pyarrow.ipc.new_stream(arrow, table.schema) as writer:
        writer.write_table(table)
    return {"a.parquet": parquet.getvalue()}, {"data.arrow": arrow.getvalue()}


def read(folder: Path) -> None:
    """Everything that a source says without its images being decoded, and the same from the records of its parts."""
    source = open_source(str(folder))
    for part in source.parts:
        again = from_record(json.loads(json.dumps(part.record(0, None))))
        for sample, other in zip(part.samples(), again.samples(), strict=True):
            assert sample == other
            assert sample.image is not None or sample.problem is not None
            json.dumps(sample.extra)
            sample.name.encode()
            if sample.problem is None:
                sample.read_caption()
