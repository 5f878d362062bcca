"""One shard of a build: read its images, make their maps, write them, and last the status of each image.

This function is what every engine runs: threads, processes, other machines. What it writes depends on the plan and the
settings alone, so that it may run twice, anywhere, also at the same time.
"""

import functools
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice

from cn import storage
from cn.data.build import image, maps, plan
from cn.data.build.maps import Item, Made
from cn.data.build.places import Places
from cn.data.build.recipes import Recipe
from cn.data.build.settings import BuildSettings
from cn.data.build.status import ImageStatus, KindResult, Result, to_text
from cn.data.build.writers import FolderWriter, Writer, open_writer
from cn.data.sources.sample import Part, Sample
from cn.errors import CnError, InputError, OutputError, UnreadableError
from cn.parallel import map_threads

_MANY = 8
"""From so many images on, a shard of which none can be read is a fault of the disk or the network."""


_TRANSFERS = 8
"""Threads of a process that reads from object storage or writes there."""


@dataclass(frozen=True)
class ShardJob:
    """What is needed to build any shard of a dataset. Picklable."""

    places: Places
    settings: BuildSettings
    recipes: tuple[Recipe, ...]
    root: str | None = None
    """The source, if it is one folder or file: when it disappears, the build stops."""
    threads: int = 1

    @property
    def transfers(self) -> int:
        """How many threads keep a CPU core busy: several, where each image is waited for."""
        return _TRANSFERS if any(storage.is_url(path) for path in (self.places.out, self.root or "")) else 1

    @property
    def batch_size(self) -> int:
        """How many images detectors get at once."""
        return max([1, *(recipe.detector.batch_size for recipe in self.recipes if recipe.detector is not None)])


@dataclass
class ShardResult:
    """What one shard came to."""

    shard: int
    counts: "Counter[str]" = field(default_factory=Counter)
    """Images by status."""


def build_shard(job: ShardJob, shard: int, on_image: Callable[[ImageStatus], None] | None = None) -> ShardResult:
    """Build a shard. Raises OutputError where nothing can be written, InputError where the source disappeared."""
    batches = _batches(_samples(plan.read_shard(job.places, shard)), job.batch_size)
    statuses: list[ImageStatus] = []
    with open_writer(job.places, job.settings.layout, shard) as writer:
        # Files of a folder are written by the threads that made them; a tar is written in order.
        own = writer if isinstance(writer, FolderWriter) else None
        function = functools.partial(_process, job, own)
        for done in map_threads(function, batches, job.threads, _prepared(job)):
            if done.error is not None:
                raise done.error
            for status, made in done.value or ():
                final = _written(writer, status, made) if made is not None else status
                statuses.append(final)
                if on_image is not None:
                    on_image(final)
        _check_readable(statuses, shard)
    storage.write(job.places.status(shard), to_text(statuses), durable=True)
    return ShardResult(shard, Counter(status.status for status in statuses))


def _prepared(job: ShardJob) -> Callable[[], None] | None:
    """With several threads each network computes in one, as many images at once; see `cn.detect.run.schedule`."""
    if not any(recipe.detector is not None and recipe.detector.network is not None for recipe in job.recipes):
        return None
    import torch

    return functools.partial(torch.set_num_threads, 1)


def _samples(part: Part) -> Iterator[Sample]:
    """The samples of a part; where it cannot be read any further, a last one with that problem."""
    try:
        yield from part.samples()
    except UnreadableError:
        raise
    except InputError as error:
        yield Sample(part.name, None, problem=str(error))


def _batches(samples: Iterator[Sample], size: int) -> Iterator[list[Sample]]:
    while batch := list(islice(samples, size)):
        yield batch


@dataclass(frozen=True)
class _Files:
    """The files of an image that are to be written."""

    image: bytes
    suffix: str
    maps: dict[str, Made]


_Done = tuple[ImageStatus, _Files | None]


def _process(job: ShardJob, writer: Writer | None, samples: Sequence[Sample]) -> list[_Done]:
    """The images of one batch: their statuses, and with `writer` None the files that are still to be written."""
    read = [_read(job, sample) for sample in samples]
    items = [item for item in read if isinstance(item, Item)]
    made = {recipe.kind: maps.make(recipe, items, len(job.recipes) == 1) for recipe in job.recipes} if items else {}
    done: list[_Done] = []
    for sample, item in zip(samples, read, strict=True):
        if isinstance(item, ImageStatus):
            done.append((item, None))
            continue
        place = items.index(item)
        status, files = _finished(job, sample, item, {kind: results[place] for kind, results in made.items()})
        if files is not None and writer is not None:
            status, files = _written(writer, status, files), None
        done.append((status, files))
    return done


def _written(writer: Writer, status: ImageStatus, files: _Files) -> ImageStatus:
    return writer.write(status, files.image, files.suffix, files.maps)


def _read(job: ShardJob, sample: Sample) -> Item | ImageStatus:
    """The image of a sample, or why there is none."""
    nothing = ImageStatus(sample.name, "broken", extra=sample.extra)
    blob = sample.image
    if sample.problem is not None or blob is None:
        return replace(nothing, reason=sample.problem or "it has no image")
    try:
        # Read once: it may be an object.
        sample = replace(sample, caption=sample.read_caption(), caption_file=None)
        picture = image.read(blob, job.settings)
    except UnreadableError as error:
        if job.root is not None and not storage.exists(job.root):
            raise InputError("the source is not there any more; the build can be continued", path=job.root) from error
        return replace(nothing, status="unreadable", reason=_why(error, sample))
    except CnError as error:
        return replace(nothing, reason=_why(error, sample))
    height, width = picture.array.shape[:2]
    if min(height, width) < job.settings.least_side:
        reason = f"a side is shorter than {job.settings.least_side} pixels (--min-side)"
        return replace(nothing, status="too small", key=picture.key, original_size=(width, height), reason=reason)
    return Item(sample, picture, picture.training)


def _why(error: CnError, sample: Sample) -> str:
    """The message of an error, without the path of the image itself: the status has its name."""
    return error.what if error.path == str(sample.image) else str(error)


def _finished(job: ShardJob, sample: Sample, item: Item, made: dict[str, Made]) -> _Done:
    """The status of an image whose maps were made, and the files to write if it has any."""
    results = {kind: one.result for kind, one in made.items()}
    kept = {kind: one for kind, one in made.items() if _is_kept(job.settings, one.result)}
    height, width = item.picture.array.shape[:2]
    status = ImageStatus(
        sample.name,
        _overall(results, bool(kept)),
        item.picture.key,
        None if kept else _reasons(results),
        item.sample.read_caption(),
        size=(item.training.shape[1], item.training.shape[0]),
        original_size=(width, height),
        kinds=results,
        extra=sample.extra,
    )
    if not kept:
        return status, None
    try:
        data, suffix = image.encode(item.picture, item.training, job.settings)
    except OutputError:
        raise
    except CnError as error:
        return replace(status, status="broken", reason=str(error), kinds={}), None
    return status, _Files(data, suffix, kept)


def _reasons(results: dict[str, KindResult]) -> str | None:
    return "; ".join(dict.fromkeys(result.reason for result in results.values() if result.reason)) or None


def _is_kept(settings: BuildSettings, result: KindResult) -> bool:
    return result.status == "ok" or (result.status == "empty" and settings.on_empty == "keep")


def _overall(results: dict[str, KindResult], kept: bool) -> Result:
    """The status of an image from those of its maps: ok if it has any, else the worst."""
    if kept:
        return "ok"
    order: tuple[Result, ...] = ("failed", "unreadable", "broken", "no map", "empty")
    return next(status for status in order if any(result.status == status for result in results.values()))


def _check_readable(statuses: Sequence[ImageStatus], shard: int) -> None:
    """InputError where not one of many images could be read: nothing of the shard is recorded then."""
    unreadable = [status for status in statuses if status.status == "unreadable"]
    if len(unreadable) >= _MANY and len(unreadable) == len(statuses):
        raise InputError(
            f"none of the {len(statuses)} images of shard {shard} can be read; the first: {unreadable[0].reason}. "
            "Is the source still there? The build can be continued"
        )
