"""Past releases of the bundled weights, known by the hashes of their files (`releases.toml`). No torch."""

import datetime
import functools
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Release:
    """The weights that came with a version of cn."""

    date: datetime.date
    """When they were made."""
    included: str
    """The version of cn that came with them."""
    files: Mapping[str, str]
    """Bundled name → SHA-256 of its file, hexadecimal."""


@functools.cache
def releases() -> tuple[Release, ...]:
    """All of them, the oldest first."""
    data = tomllib.loads(Path(__file__).with_name("releases.toml").read_text(encoding="utf-8"))
    return tuple(Release(row["date"], row["included"], row["files"]) for row in data["release"])


def find(sha256: str) -> tuple[Release, str] | None:
    """The release that has a file of this hash, and the file's bundled name; None for the hash of another file."""
    for release in releases():
        for name, known in release.files.items():
            if known == sha256:
                return release, name
    return None
