"""kohya's layouts: folders called `10_name class` with a number of repeats, and the metadata of its fine-tuning."""

import posixpath
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from cn import errors, storage
from cn.data.sources.captions import CaptionNames
from cn.data.sources.columns import Columns
from cn.data.sources.folder import FolderEntries, describe
from cn.data.sources.lines import JsonItems
from cn.data.sources.listed import ListedPart
from cn.data.sources.listing import Listing, list_source
from cn.data.sources.maps import map_folders
from cn.data.sources.request import Found, Request, counted
from cn.data.sources.rows import Reader, RowEntries
from cn.errors import InputError
from cn.images.formats import SUFFIXES
from cn.json_text import parse_json

LAYOUT = "kohya"

_REPEATS = re.compile(r"(\d+)_(.+)", re.DOTALL)
_METADATA = re.compile(rb'\A(\xef\xbb\xbf)?\s*\{\s*"(\\.|[^"\\])*"\s*:\s*\{')
_KEYS = (b'"caption"', b'"tags"', b'"train_resolution"')
_FILE, _CAPTION = "file_name", "caption"


def recognize(listing: Listing, request: Request) -> Found | None:
    """Folders with repeats, or a JSON file of captions and tags by image."""
    return _metadata(listing, request) or (_repeats(listing, request) if listing.whole else None)


def facts(key: str) -> tuple[str | None, Mapping[str, Any]]:
    """What the folder `10_name class` says of an image: the words that are its caption without a file, the repeats."""
    folder = _folder(key)
    if folder is None or (match := _REPEATS.fullmatch(folder)) is None:
        return None, {}
    return match[2], {"repeats": int(match[1])}


def _repeats(listing: Listing, request: Request) -> Found | None:
    every = listing.with_suffix(SUFFIXES)
    images, maps = map_folders(listing, every, request)
    folders = Counter(name for name in map(_folder, images) if name is not None)
    if not folders or 2 * folders.total() < len(images):
        return None
    entries = FolderEntries(listing.root, images, CaptionNames(listing.captions(images)), maps, facts)
    found = describe(entries, False, LAYOUT)
    words = ", ".join(f'"{name}" {number:,}' for name, number in sorted(folders.items())[:5])
    more = f" and {len(folders) - 5} more" if len(folders) > 5 else ""
    found.about = f"kohya's folders with repeats ({words}{more}): {found.about}"
    if maps is not None:
        found.about += f", {maps.words}"
        found.used |= maps.keys
        found.warnings += maps.warnings
    if missing := sum(entries.captions.of(key) is None for key in images if _folder(key) is not None):
        without = f"{counted(missing, 'image')} without a text file"
        found.warnings.append(f"{without}: the name of the folder is the caption, as for kohya's trainer")
    return found


def _folder(key: str) -> str | None:
    """The folder with repeats that an image is in."""
    return next((part for part in key.split("/")[:-1] if _REPEATS.fullmatch(part)), None)


def _metadata(listing: Listing, request: Request) -> Found | None:
    files = [key for key in listing.with_suffix((".json",)) if "/" not in key and _looks_like(listing.path(key))]
    for key in files:
        path = listing.path(key)
        with errors.about(path):
            values = parse_json(storage.read_bytes(path))
        if not isinstance(values, dict) or not any(_is_record(value) for value in values.values()):
            continue
        root = request.images or listing.root
        there = listing if listing.whole else list_source(replace(request, src=root or "."))
        images = there.with_suffix(SUFFIXES)
        stems = {posixpath.splitext(image)[0]: image for image in images}
        rows = JsonItems([(f"{path}, {name}", _row(name, value, stems)) for name, value in values.items()])
        maps = map_folders(there, images, request)[1]
        reader = Reader(Columns(_FILE, _CAPTION), root, maps=maps)
        entries = RowEntries(rows, reader, key)
        survey = entries.survey
        about = f"kohya's metadata {key} with {counted(survey.rows, 'image')}{survey.text()}"
        used = {key} | survey.used(listing)
        warnings = survey.warnings(key) + (maps.warnings if maps is not None else [])
        return Found("kohya", about, [ListedPart(key, entries)], used, warnings)
    return None


def _looks_like(path: str) -> bool:
    """Whether a file begins as such metadata does; large files of other tools are not read whole to find out."""
    try:
        with storage.open_read(path) as file:
            start = file.read(65536)
    except InputError:
        return False
    return _METADATA.match(start) is not None and any(key in start for key in _KEYS)


def _is_record(value: Any) -> bool:
    return isinstance(value, dict) and bool({"caption", "tags", "train_resolution"} & set(value))


def _row(name: str, value: Any, stems: Mapping[str, str]) -> Any:
    """A row with the image's path, and kohya's caption: that of the image, then its tags."""
    if not isinstance(value, dict):
        return value
    # Without --full_path, kohya's keys are names without suffix.
    known = posixpath.splitext(name)[1].lower() in SUFFIXES
    words = [text for text in (value.get("caption"), value.get("tags")) if isinstance(text, str) and text.strip()]
    rest = {key: each for key, each in value.items() if key not in ("caption", "tags")}
    return rest | {_FILE: name if known else stems.get(name, name), _CAPTION: ", ".join(words)}
