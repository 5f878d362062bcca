"""Whatever a person calls a dataset, as samples: with `prompt.json` and all its kinds, or any other layout."""

import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from cn import storage
from cn.data.formats.dataset import description, is_dataset, kind_named, open_dataset
from cn.data.sources.open import open_source
from cn.data.sources.sample import UNSTATED, Sample


@dataclass(frozen=True)
class Opened:
    """Samples that can be read again and again, in a fixed order; their files are named relative to `root`."""

    root: str
    about: str
    """What it was recognized as, in words."""
    samples: Callable[[], Iterator[Sample]]
    description: Mapping[str, Any] | None
    """Its `dataset.json`."""
    warnings: tuple[str, ...] = ()
    left_out: str = ""
    """What lies there and is not used, in words."""
    file: str = ""
    """The one file that all samples are read from (a list, a table, a tar); "" for what is a folder of its own."""

    @property
    def place(self) -> str:
        """What messages call it, and what nothing may be written into."""
        return self.file or self.root

    @cached_property
    def kind(self) -> str:
        """The kind of maps that do not state theirs: that of a dataset of one kind; "" if it is not known."""
        kinds = (self.description or {}).get("kinds")
        if isinstance(kinds, list) and len(kinds) == 1 and isinstance(kinds[0], str):
            return kinds[0]
        # Lines that cn writes say it, too.
        first = next(self.samples(), None)
        stated = first.extra.get("kind") if first is not None and UNSTATED in first.maps else None
        return stated if isinstance(stated, str) and kind_named(stated) == stated else UNSTATED


def open_any(path: str) -> Opened:
    """A dataset, or images with captions and maps in any layout. Raises InputError for anything else."""
    if is_dataset(path) or not (storage.is_url(path) or os.path.exists(path)):
        dataset = open_dataset(path)
        kinds = f" of {len(dataset.kinds)} kinds" if len(dataset.kinds) > 1 else ""
        about = f"a dataset with prompt.json{kinds}"
        return Opened(dataset.root, about, dataset.samples, dataset.description)
    source = open_source(path)
    is_folder = storage.is_folder(path)
    root = path if is_folder else (path.rpartition("/")[0] if storage.is_url(path) else str(Path(path).parent))
    return Opened(
        root=root,
        about=source.about,
        samples=source.samples,
        description=description(root),
        warnings=source.warnings,
        left_out=source.left_out.text(),
        file="" if is_folder else path,
    )
