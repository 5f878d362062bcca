"""What has changed in a source since a build read it, as far as the times of files on this machine say it."""

import os
import time
from collections.abc import Iterator

from cn import storage
from cn.data.blobs import File
from cn.data.build import plan
from cn.data.build.places import Places
from cn.data.sources.listed import ListedPart
from cn.data.sources.sample import Part
from cn.errors import MissingError


def is_changed(places: Places, shard: int) -> bool:
    """Whether a shard is done, and a file that it was made of was written later."""
    if storage.is_url(places.out):
        return False
    path = places.status(shard)
    try:
        built = os.stat(path).st_mtime_ns
    except FileNotFoundError:
        return False
    # A repaired file may be older than the broken one, but it came later. A change of permissions looks the same,
    # which should not cost a whole dataset.
    arrived = b'"status": "broken"' in storage.read_bytes(path)
    now = time.time_ns()
    # Cameras with a wrong clock write files of the future, which would be new forever.
    return any(built < _time(file, arrived) <= now for file in _files(plan.read_shard(places, shard)))


def has_duplicates(places: Places, shard: int) -> bool:
    """Whether an image of a shard that is done was found elsewhere, too."""
    try:
        return b'"status": "duplicate"' in storage.read_bytes(places.status(shard))
    except MissingError:
        return False


def _files(part: Part) -> Iterator[str]:
    """The files of a part."""
    if not isinstance(part, ListedPart):
        yield getattr(part, "path", "")
        return
    for sample in part.samples():
        for blob in (sample.image, sample.caption_file, *sample.maps.values()):
            if isinstance(blob, File):
                yield blob.path


def _time(path: str, arrived: bool) -> int:
    """When a file was written, or with `arrived` when it came to its place; 0 for one that is elsewhere or gone."""
    if storage.is_url(path):
        return 0
    try:
        found = os.stat(path)
    except (OSError, ValueError):
        return 0
    return max(found.st_mtime_ns, found.st_ctime_ns if arrived else 0)
