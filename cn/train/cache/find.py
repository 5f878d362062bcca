"""The cache that fits a run, and why another one does not: a stale cache is named and never used."""

from array import array
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from cn.data.folder import FolderDataset
from cn.data.pairs import Pairs
from cn.data.records import ImageFile
from cn.errors import InputError, UsageError
from cn.train.cache import shards
from cn.train.cache.images import MISSING, Entry, content_hash, forget, identify
from cn.train.cache.key import CENTER, CacheKey, bucket_crop, existing
from cn.train.cache.make import LATENTS, TEXT
from cn.train.cache.pairs import CachedPairs
from cn.train.cache.reader import BROKEN, Embeddings, LatentCache
from cn.train.config import TrainConfig
from cn.train.options.data import DEFAULT_MAX_RATIO

MAX_HASHED = 256
"""Images whose time changed are compared by content, if there are not more of them."""


@dataclass(frozen=True)
class Found:
    """The cache of a run, if there is one, and what a person should know of those that are not used."""

    cache: LatentCache | None = None
    warnings: tuple[str, ...] = ()


def find_cache(dataset: FolderDataset, path: str, config: TrainConfig, factor: int) -> Found:
    """The cache of a dataset, which was given as `path`, that gives a run the numbers that it would compute itself.

    `factor` is that of the autoencoder: pixels to one latent. A cache in fp32 does; one in half precision is taken by a
    run in that precision, which rounds its latents anyway.
    """
    caches = existing(dataset.pairs.root)
    wanted = [folder for folder, key in caches.items() if _mismatch(key, config) is None]
    wanted.sort(key=lambda folder: caches[folder].precision != "fp32")
    warnings = list[str]()
    for folder in wanted:
        try:
            return Found(_opened(folder, caches[folder], dataset, factor), tuple(warnings))
        except _StaleError as stale:
            warnings.append(f"{folder}: {stale}; not used, update it with: {_command(path, config, caches[folder])}")
    if not wanted and caches:
        reasons = "; ".join(f"{folder.name} {_mismatch(key, config)}" for folder, key in caches.items())
        make = _command(path, config, CacheKey(config.base_sha256, "", config.size, crop=crop_of(config)))
        warnings.append(f"{next(iter(caches)).parent}: no cache fits this run: {reasons}; make one with: {make}")
    return Found(None, tuple(warnings))


class _StaleError(Exception):
    """Why a cache is out of date."""


def _mismatch(key: CacheKey, config: TrainConfig) -> str | None:
    """Why a cache is not for a run, whatever is in it."""
    if key.base_sha256 != config.base_sha256:
        return "is of another base"
    if key.size != config.size:
        return f"is of {key.size}×{key.size}"
    if key.crop != crop_of(config):
        return "is of centered squares" if key.crop == CENTER else f"is of aspect-ratio buckets ({key.crop})"
    if key.precision not in ("fp32", config.precision):
        return f"is in {key.precision}, and this run computes in {config.precision}"
    return None


def _command(path: str, config: TrainConfig, key: CacheKey) -> str:
    """How to bring a cache up to date."""
    precision = "" if key.precision == "fp32" else f" --precision {key.precision}"
    ratio = "" if config.max_ratio == DEFAULT_MAX_RATIO else f" --max-ratio {config.max_ratio:g}"
    buckets = "" if key.crop == CENTER else f" --buckets{ratio}"
    return f"cn dataset cache {path} --base {config.base} --size {key.size}{precision}{buckets}"


def crop_of(config: TrainConfig) -> str:
    """What a run takes of an image, as keys call it."""
    return bucket_crop(config.max_ratio) if config.buckets else CENTER


def _opened(folder: Path, key: CacheKey, dataset: FolderDataset, factor: int) -> LatentCache:
    """A cache with everything that the pairs need. Raises _StaleError."""
    files, known = list[Path](), dict[str, list[tuple[int, int, Entry]]]()
    for path, entries in shards.intact(shards.files(folder, LATENTS), Entry.of):
        for row, entry in enumerate(entries):
            known.setdefault(entry.image.name, []).append((len(files), row, entry))
        files.append(path)
    places = _places(dataset.pairs, known)
    count = dataset.count
    file_of, row_of, heights, widths = (array("I", bytes(array("I").itemsize * count)) for _ in range(4))
    shapes = [tuple(factor * side for side in shards.row_shape(path, "mean")[1:]) for path in files]
    problems, other = dict[int, str](), list[int]()
    for index, (file, row, entry) in places:
        file_of[index], row_of[index] = file, row
        heights[index], widths[index] = entry.height, entry.width
        if entry.problem is not None:
            problems[index], row_of[index] = entry.problem, BROKEN
        elif shapes[file] != dataset.shape(index):
            other.append(index)
    cached = CachedPairs(dataset, heights, widths, problems, frozenset(other))
    return LatentCache(folder, key, cached, files, file_of, row_of, Embeddings.open(shards.files(folder, TEXT)))


_Place = tuple[int, int, Entry]


def _places(pairs: Pairs, known: dict[str, list[_Place]]) -> Iterator[tuple[int, _Place]]:
    """Where the latents of each pair are. Raises _StaleError where some are missing or of another image."""
    forget()
    found, doubtful, new = list[tuple[int, _Place]](), list[tuple[int, ImageFile, list[_Place]]](), list[str]()
    for index in pairs.usable():
        pair = pairs[index]
        if pair.problem is not None:
            continue
        try:
            image = identify(pair.target, pairs.root)
        except UsageError as error:
            raise _StaleError(error.what) from error
        there = known.get(image.name, [])
        if (same := next((place for place in there if place[2].image == image), None)) is not None:
            found.append((index, same))
        elif there:
            # Of the same size: copied perhaps, which changes the time.
            alike = [place for place in there if place[2].image.size == image.size != MISSING]
            doubtful.append((index, pair.target, alike))
        else:
            new.append(str(pair.target))
    changed = list(_changed(doubtful, lambda index, place: found.append((index, place))))
    if changed or new:
        raise _StaleError(_outdated(changed, new, len(pairs)))
    return iter(found)


def _changed(
    doubtful: list[tuple[int, ImageFile, list[_Place]]], accept: Callable[[int, _Place], None]
) -> Iterator[str]:
    """Those whose contents differ from what was encoded; the others are accepted."""
    hashes: dict[str, str] = {}
    for index, image, alike in doubtful:
        name = str(image)
        if alike and (name in hashes or len(hashes) < MAX_HASHED):
            try:
                hashes[name] = hashes.get(name) or content_hash(image)
            except InputError:
                hashes[name] = "unreadable"
            same = next((place for place in alike if place[2].sha256 == hashes[name]), None)
            if same is not None:
                accept(index, same)
                continue
        yield name


def _outdated(changed: list[str], new: list[str], count: int) -> str:
    words = []
    if changed:
        words.append(
            f"{len(changed):,} of {count:,} images changed or were copied since it was made (first: {changed[0]})"
        )
    if new:
        words.append(f"{len(new):,} of {count:,} images are not in it (first: {new[0]})")
    return ", and ".join(words)
