"""Recognizing WebDataset shards among the files of a source."""

import itertools
import posixpath
from collections.abc import Sequence

from cn import storage
from cn.data.sources.listing import Listing
from cn.data.sources.own import single_kind
from cn.data.sources.request import Found, Request, counted
from cn.data.sources.shards import IMAGES, ShardPart, split_field, split_name
from cn.data.sources.tar_files import is_compressed, members, streamed
from cn.errors import InputError
from cn.images.formats import SUFFIXES

ENDINGS = (".tar", ".tgz", ".tar.gz", ".tar.bz2", ".tar.xz")
_PEEKED = 100
"""Members of a tar that are looked at."""
_KNOWN = {*IMAGES, "txt", "caption", "text", "json", "cls"}


def recognize(listing: Listing, request: Request) -> Found | None:
    """Tars that were named, or are in a folder and have images in them."""
    tars = [key for key in listing.keys if key.lower().endswith(ENDINGS)]
    if not tars:
        return None
    forced = request.layout is not None or not listing.whole
    if not forced and listing.with_suffix(SUFFIXES) and not all(_is_numbered(key) for key in tars):
        return None
    fields = _fields(listing, tars)
    if not forced and (fields or listing.with_suffix(SUFFIXES)) and not any(name in IMAGES for name in fields):
        return None
    known = [name for name in fields if name in _KNOWN or "." in name]
    about = f"{counted(len(tars), 'WebDataset shard')} ({', '.join(known) or 'unreadable'})"
    if any(f"{_stem(key)}_stats.json" in set(listing.keys) for key in tars[:10]):
        about += ", as img2dataset writes them"
    kind = single_kind(listing)
    parts = [ShardPart(key, listing.path(key), kind) for key in tars]
    warnings = []
    if other := [name for name in fields if name not in known]:
        warnings.append(f"{tars[0]}: members called {', '.join(f'.{name}' for name in other)} are not used")
    used = set(tars)
    return Found("webdataset", about, parts, used, warnings)


def _stem(key: str) -> str:
    return key[: -len(next(ending for ending in ENDINGS if key.lower().endswith(ending)))]


def _is_numbered(key: str) -> bool:
    return posixpath.basename(_stem(key))[-1:].isdigit()


def _fields(listing: Listing, tars: Sequence[str]) -> list[str]:
    """The fields of the first members of the first tar that can be read."""
    for key in tars[:3]:
        found: set[str] = set()
        try:
            with storage.open_read(listing.path(key)) as file:
                start = file.read(8)
                file.seek(0)
                remote = storage.is_url(listing.path(key)) or is_compressed(start)
                for member in itertools.islice(streamed(file) if remote else members(file), _PEEKED):
                    name, rest = split_name(member.name)
                    if rest and not name.endswith("/"):
                        found.add(split_field(rest)[1])
        except InputError:
            # Reading its part says what is wrong with it.
            pass
        if found:
            return sorted(found)
    return []
