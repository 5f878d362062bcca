"""A folder of images, its sub-folders too, with captions in text files beside them or without."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from cn.data.blobs import Blob, File
from cn.data.sources.captions import CaptionNames
from cn.data.sources.listed import Entries, ListedPart
from cn.data.sources.listing import Listing, located, suffix
from cn.data.sources.maps import map_folders
from cn.data.sources.request import Found, Request, counted
from cn.data.sources.sample import Sample
from cn.data.sources.videos import video_parts, words
from cn.images.formats import SUFFIXES, VIDEO_SUFFIXES

Maps = Callable[[str], Mapping[str, Blob]]
"""The condition maps of an image, by its key."""
Facts = Callable[[str], tuple[str | None, Mapping[str, Any]]]
"""What an image's path says of it: the caption where no text file has one, and the rest."""


class FolderEntries(Entries):
    """Images by their keys in a folder; all else is made from the key when it is asked for."""

    def __init__(
        self,
        root: str,
        keys: Sequence[str],
        captions: CaptionNames,
        maps: Maps | None = None,
        facts: Facts | None = None,
    ):
        self.root, self.keys, self.captions, self.maps, self.facts = root, keys, captions, maps, facts

    def __len__(self) -> int:
        return len(self.keys)

    def between(self, start: int, stop: int) -> Iterator[Sample]:
        for number in range(start, stop):
            yield self._sample(self.keys[number])

    def _sample(self, key: str) -> Sample:
        text = self.captions.of(key)
        caption, extra = (None, {}) if self.facts is None else self.facts(key)
        return Sample(
            printable(key),
            File(located(self.root, key)),
            caption if text is None else None,
            None if text is None else File(located(self.root, text)),
            {} if self.maps is None else self.maps(key),
            extra,
        )


def printable(key: str) -> str:
    """A name as text that can be written anywhere: bytes that are not UTF-8 become "\\xe9"."""
    try:
        key.encode()
    except UnicodeEncodeError:
        return key.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    return key


def recognize(listing: Listing, request: Request) -> Found | None:
    """Images with sidecars, or without; videos in the folder are parts of their own."""
    every = listing.with_suffix(SUFFIXES)
    if not every:
        return None
    images, maps = map_folders(listing, every, request)
    captions = CaptionNames(listing.captions(images))
    entries = FolderEntries(listing.root, images, captions, maps)
    found = describe(entries, listing.whole)
    if maps is not None:
        found.about += f", {maps.words}"
        found.used |= maps.keys
        found.warnings += maps.warnings
    if videos := listing.with_suffix(VIDEO_SUFFIXES):
        found.parts = [*found.parts, *video_parts([(key, listing.path(key)) for key in videos], request)]
        found.about += f"; and {words(len(videos), request)}"
        found.used |= set(videos)
    return found


def describe(entries: FolderEntries, whole: bool, layout: str = "folder") -> Found:
    """What a list of images is, and which files it uses."""
    used: set[str] = set(entries.keys)
    suffixes: Counter[str] = Counter()
    for key in entries.keys:
        if text := entries.captions.of(key):
            used.add(text)
            suffixes[suffix(text)] += 1
    number = len(entries)
    about = f"{'a folder of ' if whole else ''}{counted(number, 'image')}"
    if suffixes:
        with_captions = suffixes.total()
        share = "all" if with_captions == number > 1 else f"{with_captions:,}"
        about += f", {share} with captions ({', '.join(sorted(suffixes))})"
    else:
        about += ", without captions"
    return Found(layout, about, [ListedPart(layout, entries)], used)
