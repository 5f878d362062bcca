"""What is in a tar, remembered: reading the headers of a million members takes minutes, and they rarely change.

Kept in the user's cache (`cn/pairs` in `XDG_CACHE_HOME`), by the path, size and time of the tar.
"""

import contextlib
import hashlib
import os
from pathlib import Path

from cn.data.pair_rows import PartRows
from cn.data.sources import kohya
from cn.data.sources.parquet import TablePart
from cn.data.sources.sample import Part, Sample
from cn.data.sources.shards import ShardPart
from cn.errors import InputError, OutputError
from cn.files import make_folder, stamp, user_cache, write_atomic

_VERSION = 1
MIN_SAMPLES = 100
"""Of a tar that is remembered: smaller ones are read as fast."""


def rows_of(part: Part, home: str) -> PartRows:
    """The samples of a part, from the index where its tar did not change; `home` is the folder of other files.

    A part that is damaged has one sample more, with that problem. Raises InputError for one whose images cannot be read
    in any order.
    """
    tar = _tar(part)
    file = None if tar is None else _index_file(tar, getattr(part, "kind", ""))
    if tar is not None and file is not None:
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            return PartRows.from_bytes(file.read_bytes(), tar, None)
    rows = PartRows(tar or home)
    try:
        for sample in part.samples():
            rows.add(sample, sample.extra["repeats"] if part.name == kohya.LAYOUT and sample.extra else 1)
    except InputError as error:
        rows.add(Sample(part.name, None, problem=str(error)))
    if rows.needs_part:
        if not isinstance(part, TablePart):
            raise InputError(
                "is compressed, or not on this machine, so that its images cannot be read in any order; "
                "copy it and decompress it, or make a folder of it with: cn dataset unpack",
                path=getattr(part, "path", part.name),
            )
        rows.part = part
    elif tar is not None and file is not None and len(rows) >= MIN_SAMPLES and rows.is_of_one_file():
        # Without a cache that can be written, the tar is read again next time.
        with contextlib.suppress(OutputError):
            write_atomic(make_folder(file.parent) / file.name, rows.to_bytes(), durable=False)
    return rows


def _tar(part: Part) -> str | None:
    """The tar that a part is, where it is a file of this machine."""
    return part.path if isinstance(part, ShardPart) and os.path.isfile(part.path) else None


def _index_file(tar: str, kind: str) -> Path | None:
    """Where the index of a tar is kept, for as long as the tar does not change."""
    state = stamp(tar)
    name = f"{_VERSION}:{os.path.realpath(tar)}:{kind}:{state}"
    return user_cache() / "pairs" / hashlib.sha256(os.fsencode(name)).hexdigest()[:32] if state else None
