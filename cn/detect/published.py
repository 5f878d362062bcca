"""Published files (`cn.weights.catalog`) joined with the networks that read them (`cn.detect.registry`)."""

import os
from pathlib import Path
from typing import Any

from cn import conditions
from cn.detect import registry
from cn.errors import UsageError
from cn.weights import catalog
from cn.weights.catalog import PublishedFile


def readable(entry: PublishedFile) -> bool:
    """Whether cn has the network of this file; the others are listed only."""
    return registry.published_by(entry.name) is not None or catalog.CAPTIONS in entry.conditions


def role(entry: PublishedFile) -> str:
    """ "detector", or "captioner"."""
    return "captioner" if catalog.CAPTIONS in entry.conditions else "detector"


def kinds(entry: PublishedFile) -> tuple[str, ...]:
    """The conditions that a file serves, its own first; or `catalog.CAPTIONS`."""
    spec = registry.published_by(entry.name)
    return entry.conditions if spec is None else registry.kinds_of(spec.family)


def method(entry: PublishedFile) -> str:
    """The method of its conditions that a file is for."""
    spec = registry.published_by(entry.name)
    return (entry.method or "") if spec is None else spec.method


def of_kind(kind: str, name: str | None = None) -> list[PublishedFile]:
    """The files that serve a condition, or the method of this name, the default first.

    UsageError for an unknown condition, or for one that no file serves.
    """
    kind = kind if kind == catalog.CAPTIONS else conditions.get(kind).kind
    found = [entry for entry in catalog.files() if kind in kinds(entry) and name in (None, method(entry))]
    if not found:
        raise UsageError(f"no published weights serve {kind}" + (f" with the method {name}" if name else ""))
    return found


def locate(name: str, given: str | os.PathLike[str] | None = None) -> Path:
    """`catalog.locate`, whose WeightsError also says what can be done without any weights."""
    options = {kind: registry.without_weights(kind) for kind in kinds(catalog.find(name)) if kind in conditions.KINDS}
    ways = [f"{kind}: {option}" for kind, option in options.items() if option]
    return catalog.locate(name, given, otherwise=f" (without any weights, {'; '.join(ways)})" if ways else "")


def record(entry: PublishedFile) -> dict[str, Any]:
    """What `cn weights list --json` says of a file."""
    path = catalog.find_local(entry)
    return {
        "name": entry.name,
        "role": role(entry),
        "kind": kinds(entry)[0],
        "kinds": list(kinds(entry)),
        "method": method(entry),
        "file": entry.file,
        "about": entry.about,
        "size": entry.size,
        "size_about": entry.size_about,
        "sha256": entry.sha256 if entry.sha256 and len(entry.sha256) == 64 else None,
        "sha256_begins": entry.sha256,
        "md5": entry.md5,
        "license": entry.license,
        "non_commercial": entry.non_commercial,
        "readable": readable(entry),
        "origins": list(entry.origins),
        "path": None if path is None else str(path),
    }
