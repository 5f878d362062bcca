"""Making a cache: what is missing of it is encoded, shard by shard; what is known of older files is copied.

The networks compute in fp32, as in training, whatever the precision in which the results are kept: half precision
gives NaN in the autoencoders of some bases.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch
from torch import Tensor

from cn import files
from cn.data.batch import to_images
from cn.data.buckets import bucket_shapes, nearest
from cn.data.image_sizes import read_sizes
from cn.data.pairs import Pairs
from cn.data.prefetch import fetch_ahead, map_ordered
from cn.devices import without_tf32
from cn.errors import InputError
from cn.model.base import Base
from cn.precision import dtype_of
from cn.train.cache import shards
from cn.train.cache.images import CacheImage, Entry, Identity, Loaded, Loader, distinct
from cn.train.cache.key import CacheKey, caches_folder
from cn.train.cache.shards import Shard

LATENTS, TEXT = "latents", "text"
_PROMPTS_AT_ONCE = 16


@dataclass(frozen=True)
class CachePlan:
    """What a cache is to hold, and which files of it are missing."""

    folder: Path
    key: CacheKey
    images: Sequence[CacheImage]
    """Those of one shape follow each other."""
    prompts: Sequence[str]
    latents: Sequence[Shard]
    text: Sequence[Shard]
    channels: int
    """Of latents."""
    factor: int
    """Pixels of an image to one of its latents."""
    text_shape: tuple[int, ...]
    missing: frozenset[Path]

    @property
    def needed(self) -> int:
        """Bytes of the files that are missing."""
        return sum(self._bytes(shard, shape) for shard, shape in self._shaped() if shard.path in self.missing)

    @property
    def total(self) -> int:
        """Bytes of the whole cache."""
        return sum(self._bytes(shard, shape) for shard, shape in self._shaped())

    def latent_shape(self, shard: Shard) -> tuple[int, int, int]:
        """(4, h, w) of the latents in a file."""
        height, width = self.images[shard.start].shape
        return self.channels, height // self.factor, width // self.factor

    def _shaped(self) -> Iterator[tuple[Shard, tuple[int, ...]]]:
        # A row of latents is a mean and a standard deviation.
        yield from ((shard, (2, *self.latent_shape(shard))) for shard in self.latents)
        yield from ((shard, self.text_shape) for shard in self.text)

    def _bytes(self, shard: Shard, shape: tuple[int, ...]) -> int:
        return (shard.stop - shard.start) * row_bytes(shape, self.key)


@dataclass
class Report:
    """What was done: images by what happened to them, and what is wrong with the broken ones."""

    encoded: int = 0
    copied: int = 0
    broken: list[str] = field(default_factory=list)
    prompts: int = 0


def row_bytes(shape: Sequence[int], key: CacheKey) -> int:
    """Bytes of a tensor of this shape in the precision of a cache."""
    return torch.Size(shape).numel() * dtype_of(key.precision).itemsize


def plan_cache(pairs: Pairs, base: Base, key: CacheKey, *, text: bool = True) -> CachePlan:
    """Compare a dataset with its cache. Nothing is written. UsageError for images that are not on this machine."""
    folder = caches_folder(pairs.root) / key.name
    found = _images(pairs, base, key)
    prompts = list(dict.fromkeys(["", *(pairs[index].prompt for index in pairs.usable())])) if text else []
    channels, factor = base.config.vae.latent_channels, base.config.vae.factor
    # No shape has more area than the square.
    latent = (channels, key.size // factor, key.size // factor)
    context = (base.config.text.context_length, base.config.unet.context_dim)
    names = [[image.name, image.size, image.time] for _, image, _ in found]
    shapes = [image.shape for image in found]
    latents = shards.plan(folder, LATENTS, names, row_bytes((2, *latent), key), shapes)
    texts = shards.plan(folder, TEXT, prompts, row_bytes(context, key))
    there = {path for path, _ in shards.intact(_existing(texts), shards.text_entry)}
    # An image that could not be read may be readable now.
    readable = shards.intact(_existing(latents), Entry.of)
    there |= {path for path, entries in readable if not any(entry.problem for entry in entries)}
    missing = frozenset(shard.path for shard in (*latents, *texts)) - there
    return CachePlan(folder, key, found, prompts, latents, texts, channels, factor, context, missing)


def _images(pairs: Pairs, base: Base, key: CacheKey) -> list[CacheImage]:
    """The images of a dataset, each once, with their shapes for a crop; those of one shape follow each other."""
    found = list(distinct(pairs))
    square = (key.size, key.size)
    if key.max_ratio is None:
        return [CacheImage(index, image, square) for index, image in found]
    shapes = bucket_shapes(key.size, base.config.size_multiple, key.max_ratio)
    numbers = nearest(read_sizes(pairs, [index for index, _ in found]), shapes).tolist()
    # One that cannot be read has a row, too.
    shaped = [CacheImage(*item, (*shapes, square)[number]) for item, number in zip(found, numbers, strict=True)]
    return sorted(shaped, key=lambda image: image.shape)


def _existing(wanted: Sequence[Shard]) -> list[Path]:
    return [shard.path for shard in wanted if shard.path.exists()]


def make_cache(
    pairs: Pairs,
    base: Base,
    plan: CachePlan,
    *,
    batch_size: int = 1,
    workers: int = 0,
    advance: Callable[[int], None] = lambda count: None,
) -> Report:
    """Write what is missing, then remove the files that are no longer wanted; `advance` is told of finished images.

    Interrupted or killed, it goes on where it stopped. Raises InputError where the disk has no room, where more than
    half of the images are broken, and where a network gives NaN.
    """
    files.check_space(plan.folder, plan.needed, "what is missing of the cache")
    files.make_folder(plan.folder)
    plan.key.save(plan.folder)
    report = Report()
    _write_latents(pairs, base, plan, report, batch_size, workers, advance)
    _write_text(base, plan, report)
    wanted = {shard.path for shard in (*plan.latents, *plan.text)}
    for kind in (LATENTS, TEXT):
        for path in shards.files(plan.folder, kind):
            if path not in wanted:
                path.unlink()
    shards.forget()
    return report


class _Known:
    """The latents in files that are not wanted as they are, by image and by content."""

    def __init__(self, plan: CachePlan):
        kept = {shard.path for shard in plan.latents} - plan.missing
        self.by_image: dict[Identity, tuple[Path, int, Entry]] = {}
        self.by_content: dict[str, tuple[Path, int, Entry]] = {}
        others = [path for path in shards.files(plan.folder, LATENTS) if path not in kept]
        for path, entries in shards.intact(others, Entry.of):
            for row, entry in enumerate(entries):
                if entry.problem is None:
                    self.by_image[entry.image] = self.by_content[entry.sha256] = path, row, entry


def _write_latents(
    pairs: Pairs,
    base: Base,
    plan: CachePlan,
    report: Report,
    batch_size: int,
    workers: int,
    advance: Callable[[int], None],
) -> None:
    known = _Known(plan)
    todo = [shard for shard in plan.latents if shard.path in plan.missing]
    unread = (item for shard in todo for item in plan.images[shard.start : shard.stop] if item[1] not in known.by_image)
    loader = Loader(pairs, frozenset(known.by_content))
    with closing(fetch_ahead(map_ordered(loader, unread, workers), 2 * max(batch_size, workers))) as loaded:
        for shard in todo:
            rows = _Rows(base, plan, plan.latent_shape(shard), batch_size)
            for _, image, _ in plan.images[shard.start : shard.stop]:
                _add(rows, image, known, loaded, report)
                advance(1)
            rows.write(shard.path)


def _add(rows: "_Rows", image: Identity, known: _Known, loaded: Iterator[Loaded], report: Report) -> None:
    """The next row: copied from where it is known, or encoded."""
    found = known.by_image.get(image)
    if found is None:
        read = next(loaded)
        if read.pixels is not None:
            report.encoded += 1
            rows.encode(read)
            return
        if read.entry.problem is not None:
            report.broken.append(read.entry.problem)
            rows.add(read.entry, {})
            return
        found = known.by_content[read.entry.sha256]
    path, row, entry = found
    report.copied += 1
    rows.add(replace(entry, image=image), shards.read_row(path, row))


class _Rows:
    """The rows of one file of latents, encoded in batches."""

    def __init__(self, base: Base, plan: CachePlan, shape: tuple[int, int, int], batch_size: int):
        self.base, self.batch_size, self.shape = base, batch_size, shape
        self.dtype = dtype_of(plan.key.precision)
        self.entries: list[Entry] = []
        self.values: list[dict[str, Tensor]] = []
        self.waiting: list[tuple[int, Loaded]] = []

    def add(self, entry: Entry, values: dict[str, Tensor]) -> None:
        """A row with these values; of a broken image, zeros."""
        self.entries.append(entry)
        self.values.append(values or {name: torch.zeros(self.shape, dtype=self.dtype) for name in ("mean", "std")})

    def encode(self, image: Loaded) -> None:
        """A row with the latents of an image."""
        self.waiting.append((len(self.entries), image))
        self.add(image.entry, {})
        if len(self.waiting) == self.batch_size:
            self._flush()

    def _flush(self) -> None:
        if not self.waiting:
            return
        pixels = [image.pixels for _, image in self.waiting if image.pixels is not None]
        with torch.no_grad(), without_tf32():
            posterior = self.base.vae.encode(to_images(pixels).to(self.base.device))
        for (row, image), mean, std in zip(self.waiting, posterior.mean, posterior.std, strict=True):
            values = {"mean": mean, "std": std}
            self.values[row] = {
                name: finite(value, self.dtype, image.entry.image.name) for name, value in values.items()
            }
        self.waiting.clear()

    def write(self, path: Path) -> None:
        """Write the file."""
        self._flush()
        tensors = {name: torch.stack([values[name] for values in self.values]) for name in ("mean", "std")}
        shards.write(path, tensors, [entry.record() for entry in self.entries])


def finite(values: Tensor, dtype: torch.dtype, name: str) -> Tensor:
    """Values on the CPU, rounded to `dtype`. InputError, naming what they are of, where they are not finite."""
    if not bool(torch.isfinite(values).all()):
        raise InputError(
            "the base gives numbers for it that are not finite (NaN): is the file of the base damaged?", path=name
        )
    rounded = values.detach().to("cpu", dtype)
    if not bool(torch.isfinite(rounded).all()):
        raise InputError("its numbers are too large for this precision; use --precision fp32", path=name)
    return rounded


def _write_text(base: Base, plan: CachePlan, report: Report) -> None:
    kept = {shard.path for shard in plan.text} - plan.missing
    others = [path for path in shards.files(plan.folder, TEXT) if path not in kept]
    old = shards.intact(others, shards.text_entry)
    known = {prompt: (path, row) for path, prompts in old for row, prompt in enumerate(prompts)}
    dtype = dtype_of(plan.key.precision)
    for shard in plan.text:
        if shard.path not in plan.missing:
            continue
        prompts = plan.prompts[shard.start : shard.stop]
        new = [prompt for prompt in prompts if prompt not in known]
        values: dict[str, Tensor] = {}
        for start in range(0, len(new), _PROMPTS_AT_ONCE):
            batch = new[start : start + _PROMPTS_AT_ONCE]
            with torch.no_grad(), without_tf32():
                encoded = base.text.encode(batch)
            values |= {prompt: finite(row, dtype, f'"{prompt}"') for prompt, row in zip(batch, encoded, strict=True)}
        report.prompts += len(new)
        rows = [values[prompt] if prompt in values else shards.read_row(*known[prompt])["text"] for prompt in prompts]
        shards.write(shard.path, {"text": torch.stack(rows)}, prompts)
