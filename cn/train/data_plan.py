"""The data of a run in words, for its plan."""

from collections import Counter

import numpy as np

from cn.data.buckets import Shape
from cn.data.examples import Source
from cn.data.folder import FolderDataset
from cn.data.mixture import datasets
from cn.train.cache.several import Caches
from cn.train.config import TrainConfig


def data_rows(config: TrainConfig, source: Source, broken: int, cache: Caches | None) -> dict[str, str | None]:
    """Name → value rows: what a run is trained on, and where its latents come from."""
    return {
        "data": _data(config, source, broken),
        "shapes": _shapes(source) if config.buckets else None,
        "mirrored": "half of the images, chosen anew each time (--flip)" if config.flip else None,
        "latents": None if cache is None else _latents(config, cache),
    }


def _data(config: TrainConfig, source: Source, broken: int) -> str:
    size = f"{config.size}×{config.size}"
    parts = datasets(source)
    if not parts:
        which = f"{config.scenes:,} scenes" if config.scenes else "a new scene every time"
        return f"{config.cond} of the built-in scenes, {size}, {which}"
    listed = [f"{path}, {_pairs(part)}" for path, part in zip(config.data, parts, strict=True)]
    known = f" ({broken:,} known to be broken: skipped)" if broken else ""
    total = f": {_seen(parts):,} images in an epoch" if len(parts) > 1 else ""
    return f"{config.cond} from {'; '.join(listed)}{known}, {size}{total}"


def _pairs(part: FolderDataset) -> str:
    times = np.asarray(part.times())
    if times.min() == times.max():
        return f"{part.count:,} pairs" + (f" × {times[0]}" if times[0] > 1 else "")
    return f"{part.count:,} pairs, {int(times.sum()):,} with the repeats of their folders"


def _shapes(source: Source) -> str:
    counts = Counter[Shape]()
    for part in datasets(source):
        assert part.buckets is not None
        numbers = Counter(part.buckets.of)
        counts.update({shape: numbers[number] for number, shape in enumerate(part.buckets.shapes) if numbers[number]})
    listed = [f"{width}×{height} {count:,} pairs" for (height, width), count in sorted(counts.items())[::-1]]
    return f"{len(listed)} shape{'s' * (len(listed) > 1)} (--buckets): {', '.join(listed)}"


def _seen(parts: tuple[FolderDataset, ...]) -> int:
    return sum(int(np.asarray(part.times(), np.int64).sum()) for part in parts)


def _latents(config: TrainConfig, cache: Caches) -> str:
    folders = ", ".join(str(each.folder) for each in cache.used)
    if cache.complete and not config.flip:
        return f"read from {folders}: images are not decoded, nor encoded"
    without = [f"those of {path}" for path, each in zip(config.data, cache.caches, strict=True) if each is None]
    if other := sum(len(each.pairs.other_shape) for each in cache.used):
        without.append(f"{other:,} of rare shapes")
    mirrored = ["mirrored images"] if config.flip else []
    return f"read from {folders}; {', '.join([*mirrored, *without])} are encoded"
