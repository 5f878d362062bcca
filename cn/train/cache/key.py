"""What a cache was made with, which is its name, and the caches that a dataset has."""

import json
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from cn import storage
from cn.data.pairs import CACHE
from cn.errors import InputError, UsageError
from cn.files import reason, write_atomic
from cn.json_text import parse_json
from cn.precision import Precision

DESCRIPTION = "cache.json"
FORMAT = 2
CENTER = "center"
"""The largest centered square, which is what `cn train` takes of an image without `--buckets`."""


@dataclass(frozen=True)
class CacheKey:
    """What the numbers depend on besides the images and captions: the base, the size, and how they are rounded."""

    base_sha256: str
    base: str
    """The configuration of the base, such as sd15: for people."""
    size: int
    precision: Precision = "fp32"
    crop: str = CENTER
    """Which part of an image is encoded: `CENTER`, or what `bucket_crop` gives."""
    format: int = FORMAT

    @property
    def name(self) -> str:
        """The name of the cache's folder: "sd15-6ce0161689b3-512-fp32", or "…-fp32-buckets-2"."""
        crop = "" if self.crop == CENTER else f"-{self.crop}"
        return f"{self.base}-{self.base_sha256[:12]}-{self.size}-{self.precision}{crop}"

    @property
    def max_ratio(self) -> float | None:
        """Of buckets, the largest ratio of two sides; None for centered squares. Raises InputError for other crops."""
        if self.crop == CENTER:
            return None
        try:
            return float(self.crop.removeprefix("buckets-"))
        except ValueError:
            raise InputError(f"is of an unknown crop, {self.crop!r}") from None

    def save(self, folder: Path) -> None:
        """Write FOLDER/cache.json."""
        write_atomic(folder / DESCRIPTION, (json.dumps(asdict(self), indent=1) + "\n").encode())

    @classmethod
    def load(cls, folder: Path) -> "CacheKey | None":
        """What the cache in a folder was made with; None where it is no cache, or one of another format."""
        try:
            record = parse_json((folder / DESCRIPTION).read_bytes())
            return cls(**record) if record["format"] == FORMAT else None
        except (OSError, InputError, TypeError, KeyError):
            return None


def bucket_crop(max_ratio: float) -> str:
    """The crop of aspect-ratio buckets whose sides differ by up to this factor: "buckets-2"."""
    return f"buckets-{max_ratio:g}"


def caches_folder(root: str) -> Path:
    """Where the caches of a dataset are. UsageError for one in object storage."""
    if storage.is_url(root):
        raise UsageError(f"{root}: a cache lies beside its dataset, on this machine; copy the dataset first")
    return Path(root) / CACHE


def existing(root: str) -> dict[Path, CacheKey]:
    """The caches of a dataset by their folders, in the order of the names."""
    if storage.is_url(root):
        return {}
    try:
        folders = sorted(path for path in caches_folder(root).iterdir() if path.is_dir())
    except OSError:
        return {}
    return {folder: key for folder in folders if (key := CacheKey.load(folder)) is not None}


def remove(root: str, wanted: Mapping[str, Any]) -> list[tuple[Path, int]]:
    """Remove the caches of a dataset whose key has these values; the folders, and how many bytes each had."""
    removed = []
    for folder, key in existing(root).items():
        if all(getattr(key, name) == value for name, value in wanted.items()):
            size = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
            try:
                # What says that it is a cache goes first: half a cache is none.
                (folder / DESCRIPTION).unlink()
                shutil.rmtree(folder)
            except OSError as error:
                raise InputError(f"cannot be removed: {reason(error)}", path=folder) from error
            removed.append((folder, size))
    parent = caches_folder(root)
    if removed and not any(parent.iterdir()):
        parent.rmdir()
    return removed
