"""What is in a tar, remembered: reading the headers of a million members takes minutes, and they rarely change.

Kept in the user's cache (`cn/pairs` in `XDG_CACHE_HOME`), by the path, size and time of the tar.
"""

import contextlib
import hashlib
import itertools
import os
from pathlib import Path

from cn import storage
from cn.data.blobs import TarMember
from cn.data.pair_rows import PartRows
from cn.data.sources.sample import Part, Sample
from cn.errors import OutputError
from cn.files import make_folder, stamp, user_cache, write_atomic

_VERSION = 1
MIN_SAMPLES = 100
"""Of a tar that is remembered: smaller ones are read as fast."""


def rows_of(part: Part, home: str) -> PartRows:
    """The samples of a part, from the index where its tar did not change; `home` is the folder of other files."""
    known = _tar(part)
    file = None if known is None else _index_file(known)
    if known is not None and file is not None:
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            return PartRows.from_bytes(file.read_bytes(), known, None)
    samples = part.samples()
    first = list(itertools.islice(samples, 1))
    tar = _member_of(first[0]) if first else None
    rows = PartRows(tar or home)
    for sample in itertools.chain(first, samples):
        rows.add(sample)
    if rows.needs_part:
        rows.part = part
    elif tar is not None and len(rows) >= MIN_SAMPLES and rows.is_of_one_file():
        _keep(tar, rows)
    return rows


def _tar(part: Part) -> str | None:
    """The tar that a part is, where it is a file of this machine."""
    path = getattr(part, "path", None)
    return path if isinstance(path, str) and not storage.is_url(path) and os.path.isfile(path) else None


def _member_of(sample: Sample) -> str | None:
    return sample.image.path if isinstance(sample.image, TarMember) else None


def _index_file(tar: str) -> Path | None:
    """Where the index of a tar is kept, for as long as the tar does not change."""
    state = stamp(tar)
    name = f"{_VERSION}:{os.path.realpath(tar)}:{state}"
    return user_cache() / "pairs" / hashlib.sha256(os.fsencode(name)).hexdigest()[:32] if state else None


def _keep(tar: str, rows: PartRows) -> None:
    file = _index_file(tar)
    # Without a cache that can be written, the tar is read again next time.
    if file is not None:
        with contextlib.suppress(OutputError):
            write_atomic(make_folder(file.parent) / file.name, rows.to_bytes(), durable=False)
