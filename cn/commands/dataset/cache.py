"""`cn dataset cache`: latents of images and embeddings of captions, encoded once for many trainings."""

import time
from typing import Annotated, Any

import typer

from cn import console
from cn.commands.options import Device, Json, Quiet, Workers
from cn.options import COMPUTE_PANEL
from cn.precision import Precision
from cn.train.options.data import DEFAULT_MAX_RATIO

MAX_SHOWN = 10
"""Broken images that are shown one by one."""


def cache(
    path: Annotated[str, typer.Argument(metavar="SET", help="A dataset in any layout.")],
    base: Annotated[
        str | None, typer.Option("--base", metavar="NAME|PATH", help="The base model. Default: the bundled one.")
    ] = None,
    size: Annotated[
        int | None,
        typer.Option(
            "--size", metavar="PIXELS", min=1, help="As for cn train. Default: the size that the base was trained at."
        ),
    ] = None,
    buckets: Annotated[
        bool,
        typer.Option("--buckets", help="For cn train --buckets: images in their own aspect ratios, not as squares."),
    ] = False,
    max_ratio: Annotated[
        float, typer.Option("--max-ratio", metavar="RATIO", min=1, help="As for cn train; with --buckets.")
    ] = DEFAULT_MAX_RATIO,
    cond: Annotated[
        str | None,
        typer.Option("--cond", metavar="KIND", help="Of a dataset with maps of several kinds: whose images."),
    ] = None,
    text: Annotated[
        bool, typer.Option("--text/--no-text", help="Embeddings of the captions, too; they take the most space.")
    ] = True,
    remove: Annotated[
        bool,
        typer.Option("--remove", help="Remove all caches, or only those of --base, --size, --precision, --buckets."),
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show the plan and stop.")] = False,
    precision: Annotated[
        Precision | None,
        typer.Option(
            "--precision",
            help="Precision of the stored numbers; the networks compute in fp32, as in training. Half precision takes "
            "half the space, and only a training in that precision uses it. Default: fp32.",
            rich_help_panel=COMPUTE_PANEL,
            show_default=False,
        ),
    ] = None,
    batch_size: Annotated[
        int | None,
        typer.Option(
            "--batch-size",
            metavar="N",
            min=1,
            help="Images that are encoded together. Default: 8 on a GPU, else 1.",
            rich_help_panel=COMPUTE_PANEL,
        ),
    ] = None,
    device: Device = "auto",
    workers: Workers = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Encode a dataset's images and captions once: cn train then reads them and loads no encoder.

    The result is SET/cache/KEY, which cn train finds by itself. Run it again after the dataset changed: only what
    changed is encoded. After an interrupt, the same command continues where it stopped.
    """
    from cn.data.pairs import open_pairs
    from cn.train.cache.key import CENTER, bucket_crop
    from cn.weights.bundled import BASE_NAME, find

    if remove:
        crop = bucket_crop(max_ratio) if buckets else None
        _remove(path, {"base": base, "size": size, "precision": precision, "crop": crop}, json, quiet)
        return
    pairs = open_pairs(path, cond)
    file = find(base or BASE_NAME, role="base")
    from cn.parallel import available_cpus
    from cn.train.cache.job import open_job

    crop = bucket_crop(max_ratio) if buckets else CENTER
    job = open_job(pairs, file, size=size, precision=precision or "fp32", device=device, text=text, crop=crop)
    console.plan(f"Encoding {path}", job.plan_rows(), quiet=quiet)
    if dry_run:
        return
    began = time.perf_counter()
    with console.progress(job.missing, "encoding", unit="image", quiet=quiet) as advance:
        report = job.run(batch_size=batch_size, workers=workers or available_cpus(), advance=advance)
    seconds = time.perf_counter() - began
    for problem in report.broken[:MAX_SHOWN]:
        console.warn(f"cannot be read, and cn train skips it: {problem}")
    if more := report.broken[MAX_SHOWN:]:
        console.warn(f"{len(more):,} more images cannot be read")
    rate = report.encoded / max(seconds, 1e-9)
    if report.encoded:
        console.status(f"{report.encoded:,} images encoded, {rate:.1f} a second", quiet=quiet)
    record = {
        "path": str(job.plan.folder),
        "images": len(job.plan.images),
        "encoded": report.encoded,
        "broken": len(report.broken),
        "prompts": len(job.plan.prompts),
        "bytes": job.plan.total,
        "images_per_second": round(rate, 2),
    }
    console.emit(record, json)


def _remove(path: str, given: dict[str, Any], json: bool, quiet: bool) -> None:
    from cn.data.pairs import dataset_folder
    from cn.train.cache.key import remove
    from cn.units import bytes_text
    from cn.weights.bundled import find

    wanted = {name: value for name, value in given.items() if value is not None}
    if name := wanted.pop("base", None):
        from cn.train.cache.job import base_hash

        wanted["base_sha256"] = base_hash(find(name, role="base"))
    removed = remove(dataset_folder(path), wanted)
    for folder, size in removed:
        console.status(f"{folder}: {bytes_text(size)} removed", quiet=quiet)
        console.emit({"path": str(folder), "bytes": size} if json else folder, json)
    if not removed:
        console.status(f"{path} has no such cache", quiet=quiet)
