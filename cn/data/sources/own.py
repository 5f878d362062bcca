"""What `cn` writes beside the images of a dataset."""

from cn import storage
from cn.conditions import KINDS
from cn.data.sources.listing import Listing
from cn.data.sources.sample import UNSTATED
from cn.errors import InputError
from cn.json_text import parse_json

DESCRIPTION = "dataset.json"
_MANIFEST = "manifest.json"
_BUILT = (DESCRIPTION, _MANIFEST, "stats.json", "build/")
_ADDED = ("cache/", "lint/")
"""What `cn dataset cache` and `lint` write into a dataset of anybody's."""


def own_files(listing: Listing) -> set[str]:
    """The keys of what cn wrote beside the images: neither images nor left out."""
    built = any(name in listing.keys for name in (DESCRIPTION, _MANIFEST))
    names = (*_BUILT, *_ADDED) if built else _ADDED
    return {key for key in listing.keys if key.startswith(names)}


def single_kind(listing: Listing) -> str:
    """The kind of a dataset of one kind, as its dataset.json states it; UNSTATED where there is none."""
    if DESCRIPTION not in listing.keys:
        return UNSTATED
    try:
        record = parse_json(storage.read_bytes(listing.path(DESCRIPTION)))
    except InputError:
        return UNSTATED
    kinds = record.get("kinds") if isinstance(record, dict) else None
    return kinds[0] if isinstance(kinds, list) and len(kinds) == 1 and kinds[0] in KINDS else UNSTATED
