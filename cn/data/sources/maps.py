"""Condition maps in a folder of their own, which have the names of the images that they belong to."""

import os
import posixpath
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from cn import conditions, storage
from cn.data.blobs import Blob, File
from cn.data.sources.listing import Listing, list_source, located
from cn.data.sources.request import Request, counted
from cn.data.sources.sample import UNSTATED
from cn.errors import InputError
from cn.images.formats import SUFFIXES

_FOLDERS = re.compile(r"(conditioning|conditions?|controls?|conds?|hints?)([^a-z].*)?", re.IGNORECASE)
_KINDS = {name: spec.kind for spec in conditions.CONDITIONS for name in (spec.kind, *spec.aliases)}


@dataclass
class MapFolder:
    """The maps of one kind, below `root`: by the path within the folder without suffix."""

    root: str
    kind: str
    name: str
    maps: dict[str, str] = field(default_factory=dict)

    def of(self, image: str) -> str | None:
        """The key of an image's map: by its path, or by the end of it where the folders differ."""
        return next((self.maps[name] for name in _ends(image) if name in self.maps), None)


@dataclass
class MapFolders:
    """All maps of a source, as a function of an image's key."""

    folders: list[MapFolder]
    words: str = ""
    """What they are, for `Found.about`."""
    warnings: list[str] = field(default_factory=list)
    keys: set[str] = field(default_factory=set)
    """Maps that are files of the listing."""

    def __call__(self, image: str) -> Mapping[str, Blob]:
        found = ((folder, folder.of(image)) for folder in self.folders)
        return {folder.kind: File(located(folder.root, key)) for folder, key in found if key is not None}


def kind_of(name: str) -> str:
    """The kind that the name of a folder or a column states: "control_canny", "depth"; UNSTATED for any other."""
    words = re.split(r"[^a-z0-9]+", name.lower())
    return next((_KINDS[word] for word in words if word in _KINDS), UNSTATED)


def map_folders(listing: Listing, images: Sequence[str], request: Request) -> tuple[Sequence[str], MapFolders | None]:
    """The images that are no maps, and the maps: of the folder that `request` names, or of those called so."""
    if request.conditions is not None:
        return _beside(listing, images, request, request.conditions)
    candidates: dict[str, MapFolder] = {}
    trainer = any(key.startswith("source/") for key in images) and any(key.startswith("target/") for key in images)
    for key in images:
        if place := "source" if trainer and key.startswith("source/") else _place(key):
            folder = candidates.setdefault(place, MapFolder(listing.root, kind_of(posixpath.basename(place)), place))
            folder.maps[posixpath.splitext(key[len(place) + 1 :])[0]] = key
    if not candidates:
        return images, None
    plain = [key for key in images if not key.startswith(tuple(f"{place}/" for place in candidates))]
    names = {name for key in plain for name in _ends(key)}
    chosen = [each for each in candidates.values() if 2 * sum(name in names for name in each.maps) >= len(each.maps)]
    if not chosen:
        return images, None
    places = tuple(f"{folder.name}/" for folder in chosen)
    rest = [key for key in images if not key.startswith(places)]
    return rest, _described(rest, chosen, {key for folder in chosen for key in folder.maps.values()})


def maps_of(request: Request) -> MapFolders | None:
    """The maps of the folder that `request` names, for images by their paths; None where it names none."""
    return None if request.conditions is None else MapFolders([_named(request, request.conditions)])


def _named(request: Request, path: str) -> MapFolder:
    found = list_source(replace(request, src=path, conditions=None, recursive=True))
    maps = {posixpath.splitext(key)[0]: key for key in found.with_suffix(SUFFIXES)}
    if not maps:
        raise InputError("no images in this folder of condition maps", path=path)
    return MapFolder(found.root, kind_of(os.path.basename(path.rstrip("/"))), path, maps)


def _beside(
    listing: Listing, images: Sequence[str], request: Request, path: str
) -> tuple[Sequence[str], MapFolders | None]:
    folder = _named(request, path)
    inside: set[str] = set()
    if not storage.is_url(path) and not storage.is_url(listing.root or "."):
        below = os.path.relpath(os.path.realpath(path), os.path.realpath(listing.root or ".")).replace(os.sep, "/")
        if not below.startswith(".."):
            inside = {key for key in images if key.startswith(f"{below}/")}
    rest = [key for key in images if key not in inside] if inside else images
    if not any(folder.of(key) for key in rest):
        raise InputError("no condition map here has the name of an image", path=path)
    return rest, _described(rest, [folder], inside)


def _described(images: Sequence[str], folders: list[MapFolder], keys: set[str]) -> MapFolders:
    """The maps in words, and what is odd about them."""
    found = MapFolders([], keys=set())
    words = []
    for folder in folders:
        if any(other.kind == folder.kind for other in found.folders):
            found.warnings.append(f"{folder.name}: a second folder of condition maps of one kind is left out")
            continue
        uses = Counter(key for image in images if (key := folder.of(image)) is not None)
        shared = sum(number > 1 for number in uses.values())
        if shared:
            found.warnings.append(
                f"{folder.name}: {counted(shared, 'condition map')} would belong to several images of the same name in "
                "different folders; give the maps the same folders"
            )
        if unused := len(folder.maps) - len(uses):
            found.warnings.append(
                f"{folder.name}: {counted(unused, 'condition map')} without an image of the same name"
            )
        found.folders.append(folder)
        found.keys |= keys & set(uses)
        kind = f"{folder.kind} maps" if folder.kind else "condition maps"
        words.append(f"{uses.total():,} with {kind} ({folder.name})")
    found.words = ", ".join(words)
    return found


def _place(key: str) -> str | None:
    """The folder of maps that a key is in, by the folder's name."""
    parts = key.split("/")[:-1]
    for number, part in enumerate(parts):
        if _FOLDERS.fullmatch(part) or part.lower() in _KINDS:
            return "/".join(parts[: number + 1])
    return None


def _ends(key: str) -> Iterator[str]:
    """A key without suffix, then without its first folder, and so on."""
    name = posixpath.splitext(key)[0]
    yield name
    while "/" in name:
        name = name.partition("/")[2]
        yield name
