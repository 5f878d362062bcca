"""A sample as the writers of all layouts take it: with the names that its files have in the form with `prompt.json`.

Other layouts cannot hold every name (a dot in a key splits it) nor tell a missing caption from an empty one. What they
cannot hold goes along with the sample's further keys under `RECORD`, and comes back from there.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import PurePosixPath
from typing import Any

from cn.data.blobs import Blob, File
from cn.data.formats.dataset import OWN_EXTRA, kind_named, relative
from cn.data.sources.sample import UNSTATED, Sample
from cn.errors import InputError
from cn.images.formats import HEIF_SUFFIXES, JXL_SUFFIXES, SUFFIXES
from cn.json_text import parse_json

RECORD = "cn"
"""The further key that holds what a layout cannot: {"image": name, "maps": {KIND: name}, more}."""
EXTRA = "extra"
"""The column of tables that holds all further keys, as JSON text: of any type, and not the same in each row."""
COND = "cond"
"""What a map of a kind that is not stated is called in names and records."""
IMAGE_COLUMN, MAP_COLUMN, TEXT_COLUMN = "image", "conditioning_image", "text"
"""As in the training scripts of diffusers; the map of one of several kinds is `KIND_conditioning_image`."""

_SUFFIXES = frozenset(suffix[1:] for suffix in SUFFIXES | HEIF_SUFFIXES | JXL_SUFFIXES)
_MAGIC = (
    (b"\xff\xd8\xff", "jpg"),
    (b"\x89PNG", "png"),
    (b"GIF8", "gif"),
    (b"BM", "bmp"),
    (b"II*\0", "tif"),
    (b"MM\0*", "tif"),
)
_MAX_KEY, _MAX_PART = 100, 240
"""Characters of a key, and bytes of a part of a name; file systems take 255."""


@dataclass(frozen=True)
class Entry:
    """A sample with the names of its files, "target/day1/a.jpg" and "source/day1/a.png"."""

    image_name: str
    image: Blob
    map_names: Mapping[str, str]
    maps: Mapping[str, Blob]
    caption: str | None
    extra: Mapping[str, Any] = field(default_factory=dict)
    """The further keys of its line: those of all kinds."""
    own_extra: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Further keys that only the line of one kind has."""

    @property
    def blobs(self) -> tuple[Blob, ...]:
        """The image, then the maps by kind."""
        return (self.image, *(self.maps[kind] for kind in sorted(self.maps)))

    def record(self) -> dict[str, Any]:
        """The further keys, and what other layouts cannot hold (`entry` reads it)."""
        names = {kind or COND: name for kind, name in self.map_names.items()}
        held: dict[str, Any] = {"image": self.image_name, "maps": names}
        # Readers may strip captions, join their lines, and take an empty one for none.
        if not self.caption or self.caption != " ".join(self.caption.split()):
            held["caption"] = self.caption
        if self.own_extra:
            held["own"] = {kind or COND: dict(values) for kind, values in self.own_extra.items()}
        if RECORD in self.extra:
            held["kept"] = self.extra[RECORD]
        return {**self.extra, RECORD: held}

    def record_text(self) -> str:
        """`record` as one line of JSON."""
        return json.dumps(self.record(), ensure_ascii=False)


def entry(sample: Sample, root: str) -> Entry:
    """A sample of a dataset or of any other layout, whose files are below `root`. Raises InputError for its problem."""
    if sample.problem is not None or sample.image is None:
        raise InputError(sample.problem or "has no image", path=sample.where or sample.name)
    extra = _unpacked(sample.extra)
    held = extra.get(RECORD)
    if isinstance(held, dict) and isinstance(held.get("image"), str) and isinstance(held.get("maps"), dict):
        return _restored(sample, extra, held)
    own = extra.get(OWN_EXTRA, {})
    extra = {key: value for key, value in extra.items() if key != OWN_EXTRA}
    one = len(sample.maps) == 1 and not own
    maps = {UNSTATED: next(iter(sample.maps.values()))} if one and UNSTATED in sample.maps else dict(sample.maps)
    image_name = _image_name(sample.name, sample.image)
    names = {kind: _map_name(kind, blob, root, image_name) for kind, blob in maps.items()}
    caption = sample.caption if sample.caption_file is None else sample.read_caption()
    return Entry(image_name, sample.image, names, maps, caption, extra, own)


def _restored(sample: Sample, extra: Mapping[str, Any], held: Mapping[str, Any]) -> Entry:
    """An entry that `record` described: under the names that it had."""
    maps = dict(sample.maps)
    names = {_kind(kind): safe(relative(str(name), "")) for kind, name in held["maps"].items()}
    if len(maps) == len(names) == 1:
        # A reader may know better of which kind it is.
        maps = dict(zip(names, maps.values(), strict=True))
    missing = sorted(kind or COND for kind in names if kind not in maps)
    if missing:
        raise InputError(f"its map is missing ({', '.join(missing)})", path=sample.where or sample.name)
    image_name = safe(relative(held["image"], ""))
    names |= {kind: _map_name(kind, blob, "", image_name) for kind, blob in maps.items() if kind not in names}
    own = held.get("own")
    assert sample.image is not None
    return Entry(
        image_name=image_name,
        image=sample.image,
        map_names=names,
        maps=maps,
        caption=held.get("caption", sample.caption),
        extra={k: held["kept"] if k == RECORD else v for k, v in extra.items() if k != RECORD or "kept" in held},
        own_extra={_kind(kind): values for kind, values in own.items()} if isinstance(own, dict) else {},
    )


def _unpacked(extra: Mapping[str, Any]) -> Mapping[str, Any]:
    """Further keys out of the column of a table that holds them all."""
    text = extra.get(EXTRA)
    if isinstance(text, str) and f'"{RECORD}"' in text:
        value = parse_json(text)
        if isinstance(value, dict):
            return value
    return extra


def _kind(name: str) -> str:
    """The kind that a record names."""
    return UNSTATED if name == COND else name


def _image_name(name: str, image: Blob) -> str:
    name = safe(relative(name, ""))
    return with_suffix(name if name.startswith("target/") else f"target/{name}", image)


def _map_name(kind: str, blob: Blob, root: str, image_name: str) -> str:
    """The name of a map: its own where it is a file, else that of the image."""
    folder = f"{kind}/source/" if kind else "source/"
    if isinstance(blob, File):
        name = safe(relative(blob.path, root))
        first, _, rest = name.partition("/")
        if kind and rest and kind_named(first) == kind:
            name = rest
    else:
        name = f"{image_name.removeprefix('target/').rpartition('.')[0]}.{suffix(blob)}"
    return name if name.startswith(folder) else folder + name.removeprefix("source/")


def with_suffix(name: str, blob: Blob) -> str:
    """A name with a suffix that says what the image is, taken from its blob or its bytes where it has none."""
    if PurePosixPath(name).suffix.lower()[1:] in _SUFFIXES:
        return name
    return f"{name}.{suffix(blob)}"


def suffix(blob: Blob, data: bytes | None = None) -> str:
    """The suffix of an image, without the dot, in lower case: that of its name, else by its first bytes."""
    stated = blob.suffix[1:]
    if stated in _SUFFIXES:
        return "jpg" if stated == "jpeg" else stated
    data = blob.read() if data is None else data
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "webp"
    return next((name for magic, name in _MAGIC if data.startswith(magic)), "bin")


def map_column(kind: str) -> str:
    """The column of a table that holds the maps of a kind."""
    return f"{kind}_{MAP_COLUMN}" if kind else MAP_COLUMN


@dataclass
class Keys:
    """Keys of samples in shards: letters, digits, "-" and "_", each used once, also where case does not count.

    The key is the image's name where that is possible ("day1/a b.jpg" → "day1-a-b-5f3a09c1"), so that the same image
    has the same key wherever it lies in the list.
    """

    used: set[str] = field(default_factory=set)

    def key(self, image_name: str) -> str:
        """A key for the next sample."""
        stem = image_name.removeprefix("target/").rpartition(".")[0] or image_name
        plain = re.sub(r"[^A-Za-z0-9_-]+", "-", stem).strip("-_")[:_MAX_KEY]
        # Of folders that only spread the files ("3f/3fa2c07be1d04c55"), the name itself says enough.
        folder, _, last = stem.rpartition("/")
        if folder and re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]*", last) and last.startswith(folder):
            stem = plain = last
        candidate = plain if plain == stem else f"{plain}-{_hash(image_name)}".strip("-")
        number = 1
        while candidate.casefold() in self.used:
            number += 1
            candidate = f"{plain}-{_hash(f'{image_name} {number}')}".strip("-")
        self.used.add(candidate.casefold())
        return candidate


def _hash(text: str) -> str:
    return sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:8]


def safe(name: str) -> str:
    """A relative name that JSON and any file system can hold: no part too long, no bytes that are not UTF-8."""
    return "/".join(map(_safe_part, name.split("/")))


def _safe_part(part: str) -> str:
    clean = part.encode("utf-8", "replace").decode()
    if len(clean.encode()) <= _MAX_PART:
        return clean
    stem, _, ending = clean.rpartition(".")
    ending = f".{ending}" if stem and len(ending) <= 8 else ""
    kept = clean.encode()[: _MAX_PART - 20].decode("utf-8", "ignore")
    return f"{kept}-{_hash(part)}{ending}"
