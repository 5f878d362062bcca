"""Where the files of a shard go: a folder with one file for each image, or a tar in WebDataset's format."""

import contextlib
import io
import json
import tarfile
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import BinaryIO

from cn import storage
from cn.data.build.maps import Made
from cn.data.build.places import Places
from cn.data.build.status import ImageStatus, KindResult

SINGLE_MAP = "cond"
"""What a map's suffix begins with where a shard has maps of one kind."""


class Writer(ABC):
    """Takes the images of one shard in order."""

    @abstractmethod
    def write(self, status: ImageStatus, image: bytes, suffix: str, maps: Mapping[str, Made]) -> ImageStatus:
        """Write an image and its maps; the status with the names that they got. Raises OutputError."""


class FolderWriter(Writer):
    """One file for each image and map, named by their content: two shards that hold the same image write it alike.

    May be called by several threads.
    """

    def __init__(self, places: Places):
        self.places = places

    def write(self, status: ImageStatus, image: bytes, suffix: str, maps: Mapping[str, Made]) -> ImageStatus:
        assert status.key is not None
        kinds = dict(status.kinds)
        for kind, made in maps.items():
            assert made.data is not None
            name = f"{status.key}-{made.result.map_key}" if made.result.map_key else status.key
            relative = self.places.source(kind, name, made.suffix)
            storage.write(self.places.path(relative), made.data)
            kinds[kind] = replace(kinds[kind], file=relative)
        target = self.places.target(status.key, suffix)
        storage.write(self.places.path(target), image)
        return replace(status, target=target, kinds=kinds)


class TarWriter(Writer):
    """The members KEY.jpg, KEY.cond.png (with several kinds KEY.canny.png …), KEY.txt and KEY.json of each image.

    By tarfile, with the same headers always; the package webdataset writes the time of day into them.
    """

    def __init__(self, file: BinaryIO, places: Places, shard: int):
        self.tar = tarfile.TarFile(fileobj=file, mode="w", format=tarfile.PAX_FORMAT)
        self.places = places
        self.shard = shard
        self.names: set[str] = set()

    def write(self, status: ImageStatus, image: bytes, suffix: str, maps: Mapping[str, Made]) -> ImageStatus:
        assert status.key is not None
        name = self._name(status.key)
        kinds: dict[str, KindResult] = dict(status.kinds)
        self._add(f"{name}{suffix}", image)
        for kind, made in maps.items():
            assert made.data is not None
            word = SINGLE_MAP if len(self.places.kinds) == 1 else kind
            member = f"{name}.{word}{made.suffix}"
            self._add(member, made.data)
            kinds[kind] = replace(kinds[kind], file=f"{self.shard:05d}.tar/{member}")
        written = replace(status, target=f"{self.shard:05d}.tar/{name}{suffix}", kinds=kinds)
        if status.prompt is not None:
            self._add(f"{name}.txt", status.prompt.encode())
        self._add(f"{name}.json", json.dumps(_shard_record(written), ensure_ascii=False).encode())
        return written

    def _name(self, key: str) -> str:
        """The name of a sample in this shard; an image that is there already (with another caption) gets a number."""
        name, number = key, 1
        while name in self.names:
            number += 1
            name = f"{key}-{number}"
        self.names.add(name)
        return name

    def _add(self, name: str, data: bytes) -> None:
        info = tarfile.TarInfo(name)
        info.size = len(data)
        self.tar.addfile(info, io.BytesIO(data))

    def close(self) -> None:
        self.tar.close()


def _shard_record(status: ImageStatus) -> dict[str, object]:
    """KEY.json: what img2dataset and others put there, with what is known of the maps."""
    record = {"key": status.key, "name": status.name, "caption": status.prompt}
    width, height = status.size or (None, None)
    original_width, original_height = status.original_size or (None, None)
    sizes = {"width": width, "height": height, "original_width": original_width, "original_height": original_height}
    kinds = {kind: result.record() for kind, result in status.kinds.items() if result.file is not None}
    return {**status.extra, **record, **sizes, "conditions": kinds}


@contextlib.contextmanager
def open_writer(places: Places, layout: str, shard: int) -> Iterator[Writer]:
    """The writer of a shard; a tar appears when the block ends without an exception."""
    if layout == "folder":
        yield FolderWriter(places)
        return
    with storage.open_write(places.tar(shard)) as file:
        writer = TarWriter(file, places, shard)
        yield writer
        writer.close()
