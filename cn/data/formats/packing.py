"""Packing a dataset: from the samples of any layout to the files of another one, shard by shard.

Images and maps are never decoded: their bytes are written as they are. Killed at any moment and run again, a pack goes
on with the shard at hand, and gives the same bytes as one that was never interrupted.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

from cn import errors, storage
from cn.data.blobs import Blob, File
from cn.data.formats.dataset import DESCRIPTION
from cn.data.formats.entry import Entry
from cn.data.formats.folder import FolderWriter, Names, case_sensitive
from cn.data.formats.imagefolder import SHARD_SIZE, ImagefolderWriter
from cn.data.formats.layouts import PROMPT_JSON, Layout
from cn.data.formats.parquet import ParquetWriter, check_installed
from cn.data.formats.plan import LeftOutSamples, Plan, Samples, make_plan
from cn.data.formats.webdataset import WebDatasetWriter
from cn.data.formats.writer import Packed, Shard, Writer
from cn.errors import InputError, OutputError
from cn.files import check_space
from cn.json_text import parse_json

PACKED = "manifest.json"
"""What a finished pack holds: layout, samples, shards."""
PARTS = ".cn-pack"
"""The folder with what was done so far; it goes when all is done."""
_STATE = "state.json"
_KEPT = ("files", "samples", "bytes", "left_out")
_SHARD_SIZE: Mapping[Layout, int] = {
    "webdataset": 1000,
    "imagefolder": SHARD_SIZE,
    "parquet": 1 << 40,
    "prompt.json": 1000,
}
_FILE_BYTES = 500 << 20
"""Of images in a parquet file, as the Hugging Face hub has them."""
_SAMPLE_BYTES = 4096
"""What a sample takes besides its images: headers, rounding, caption, keys."""


@dataclass(frozen=True)
class Pack:
    """What a pack did: `written` and `skipped` are shards, now and in earlier runs."""

    path: str
    layout: str
    samples: int
    bytes: int
    files: tuple[str, ...]
    written: int
    skipped: int
    left_out: LeftOutSamples


@dataclass(frozen=True)
class Packing:
    """A pack that can be run: `plan` into the folder or URL `out`."""

    plan: Plan
    layout: Layout
    out: str
    description: Mapping[str, Any] | None
    """The `dataset.json` that goes along."""
    link: bool = False
    """Whether files of this machine are linked, not copied; only for `prompt.json`."""
    places: Sequence[int] | None = None
    """For each sample its place in the lists, where that is not the order of the samples; only for `prompt.json`."""
    note: Mapping[str, Any] = field(default_factory=dict)
    """What the manifest says of it besides."""

    @property
    def state(self) -> dict[str, Any]:
        """By which a run recognizes what an earlier one began."""
        return {"format": 1, "layout": self.layout, **self.note, "digest": self.plan.digest}

    def writer(self) -> Writer:
        """A writer that has written nothing yet."""
        if self.layout == "webdataset":
            return WebDatasetWriter(self.out)
        if self.layout == "parquet":
            return ParquetWriter(self.out, self.plan.kinds)
        if self.layout == "imagefolder":
            return ImagefolderWriter(self.out, self.plan.kinds)
        return FolderWriter(self.out, self.plan.kinds, Names(case_sensitive(self.out)), self.places)


def prepare(
    samples: Samples,
    root: str,
    out: str,
    layout: Layout,
    *,
    shard_size: int | None = None,
    max_bytes: int | None = None,
    description: Mapping[str, Any] | None = None,
    source: str | None = None,
    link: bool = False,
    places: Sequence[int] | None = None,
    note: Mapping[str, Any] | None = None,
) -> Packing:
    """Look at all samples and at `out`, before anything is written; `out` may not be in `source` (default: `root`).

    Raises UsageError without the library that the layout needs; InputError where nothing can be written, where `out`
    holds something else, and where its disk is too small.
    """
    if layout == "parquet":
        check_installed()
    check_place(source or root, out)
    plan = make_plan(
        samples,
        root,
        shard_size=shard_size or _SHARD_SIZE[layout],
        max_bytes=_FILE_BYTES if layout == "parquet" and max_bytes is None else max_bytes,
        need_maps=layout == PROMPT_JSON,
    )
    packing = Packing(plan, layout, out, description, link and not storage.is_url(out), places, note or {})
    missing = [shard for number, shard in enumerate(plan.shards) if number not in _begun(packing)]
    if not storage.is_url(out):
        images = 0 if link else sum(plan.bytes_of(*shard) for shard in missing)
        check_space(out, images + _SAMPLE_BYTES * sum(stop - start for start, stop in missing), "the result")
    return packing


def check_place(root: str, out: str) -> None:
    """Raises InputError for an output that is the dataset itself, or within it."""
    if storage.is_url(root) or storage.is_url(out):
        inside = f"{out.rstrip('/')}/".startswith(f"{root.rstrip('/')}/")
    else:
        inside = Path(out).resolve().is_relative_to(Path(root).resolve())
    if inside:
        raise InputError("is within the dataset that is read; choose a folder beside it", path=out)


def _begun(packing: Packing) -> dict[int, Shard]:
    """The shards that an earlier run wrote and that are still there; InputError where `out` holds anything else."""
    out, state = packing.out, packing.state
    if not storage.is_url(out) and Path(out).exists() and not Path(out).is_dir():
        raise InputError("is a file, but a folder is needed there", path=out)
    for file in (storage.join(out, PACKED), storage.join(out, PARTS, _STATE)):
        if (found := _json(file)) is not None:
            if {key: found.get(key) for key in state} != state:
                what = "holds another dataset, or an earlier state of this one"
                raise InputError(f"{what}; remove it, or choose another folder", path=out)
            break
    else:
        if storage.files_below(out):
            raise InputError("is not empty; choose another folder", path=out)
        return {}
    if file.endswith(PACKED):
        return {number: {} for number in range(len(packing.plan.shards))}
    shards = {number: _json(_part(out, number)) for number in range(len(packing.plan.shards))}
    writer = packing.writer()
    return {number: shard for number, shard in shards.items() if shard is not None and writer.written(shard)}


def _part(out: str, number: int) -> str:
    return storage.join(out, PARTS, f"{number:05d}.json")


def _json(file: str) -> Any:
    """The contents of one of our files, None if there is none."""
    if not storage.exists(file):
        return None
    with errors.about(file):
        return parse_json(storage.read_bytes(file))


def run(packing: Packing, advance: Callable[[], None] = lambda: None) -> Pack:
    """Write what is missing; `advance` is called for each sample, also for those of an earlier run."""
    out, plan = packing.out, packing.plan
    begun = _begun(packing)
    finished = storage.exists(storage.join(out, PACKED))
    if finished:
        return _result(packing, skipped=len(begun))
    writer = packing.writer()
    storage.write(storage.join(out, PARTS, _STATE), json.dumps(packing.state).encode())
    entries = iter(plan.entries())
    for number, (start, stop) in enumerate(plan.shards):
        of_shard = islice(entries, sum(size >= 0 for size in plan.sizes[start:stop]))
        if number in begun:
            writer.resume(begun[number])
            for _ in of_shard:
                advance()
            continue
        reading = _Reading(of_shard, advance, packing.link)
        shard = writer.write(number, len(plan.shards), iter(reading))
        record = {**shard, "left_out": reading.left_out.reasons}
        storage.write(_part(out, number), json.dumps(record).encode())
    _finish(packing, writer)
    return _result(packing, skipped=len(begun))


@dataclass
class _Reading:
    """The samples of a shard with their bytes; those that cannot be read are left out."""

    entries: Iterator[tuple[int, Entry, str]]
    advance: Callable[[], None]
    link: bool
    left_out: LeftOutSamples = field(default_factory=LeftOutSamples)

    def __iter__(self) -> Iterator[Packed]:
        for number, entry, key in self.entries:
            try:
                maps = {kind: self._read(blob) for kind, blob in entry.maps.items()}
                yield Packed(number, entry, key, self._read(entry.image), maps, self.link)
            except InputError as error:
                if isinstance(error, OutputError):
                    raise
                self.left_out.add(error, entry.image_name)
            self.advance()

    def _read(self, blob: Blob) -> bytes:
        return b"" if self.link and isinstance(blob, File) and not storage.is_url(blob.path) else blob.read()


def _finish(packing: Packing, writer: Writer) -> None:
    """Join the shards, say what they are, and remove what a run that goes on would need."""
    out, count = packing.out, len(packing.plan.shards)
    writer.finish(_Shards(out, count))
    if packing.description is not None:
        text = json.dumps(packing.description, indent=1, ensure_ascii=False)
        storage.write(storage.join(out, DESCRIPTION), f"{text}\n".encode())
    shards = [{k: v for k, v in shard.items() if k in _KEPT} for shard in _Shards(out, count)]
    totals = {"samples": sum(s["samples"] for s in shards), "bytes": sum(s["bytes"] for s in shards)}
    packed = {**packing.state, **totals, "shards": shards}
    storage.write(storage.join(out, PACKED), f"{json.dumps(packed, indent=2, ensure_ascii=False)}\n".encode())
    for name in storage.files_below(storage.join(out, PARTS)):
        storage.remove(storage.join(out, PARTS, name))
    if not storage.is_url(out):
        Path(out, PARTS).rmdir()


@dataclass(frozen=True)
class _Shards:
    """What is remembered of each shard, read from the disk one by one."""

    out: str
    count: int

    def __iter__(self) -> Iterator[Shard]:
        return (_json(_part(self.out, number)) for number in range(self.count))


def _result(packing: Packing, skipped: int) -> Pack:
    packed = _json(storage.join(packing.out, PACKED))
    left_out = LeftOutSamples({what: list(names) for what, names in packing.plan.left_out.reasons.items()})
    for shard in packed["shards"]:
        for what, names in shard["left_out"].items():
            left_out.reasons.setdefault(what, []).extend(names)
    return Pack(
        path=packing.out,
        layout=packing.layout,
        samples=packed["samples"],
        bytes=packed["bytes"],
        files=tuple(name for shard in packed["shards"] for name in shard["files"]),
        written=len(packed["shards"]) - skipped,
        skipped=skipped,
        left_out=left_out,
    )
