"""`cn dataset build` and `cn dataset merge`: people's images to a dataset with condition maps."""

import contextlib
import functools
import os
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from cn import console
from cn.commands.dataset.merge import Done, finish_dataset
from cn.commands.options import OUTPUT_PANEL, Json, Quiet, Workers, with_options
from cn.data.build.settings import BuildSettings
from cn.errors import OutputError, UsageError
from cn.options import COMPUTE_PANEL

if TYPE_CHECKING:
    from cn.data.build.run import Build, Engine
    from cn.data.sources.sample import Source

SOURCE_PANEL = "The source"
Src = Annotated[
    str,
    typer.Argument(
        metavar="SRC",
        help="A folder of images, with captions in .txt files or without; prompt.json; metadata.jsonl or .csv; "
        "parquet; WebDataset shards; a list; videos; a pattern; a URL (s3://…); or - for paths on standard input.",
    ),
]


@with_options
def build(
    src: Src,
    out: Annotated[str, typer.Argument(metavar="OUT", help="The dataset's folder, or a URL (s3://…).")],
    settings: BuildSettings,
    column: Annotated[
        list[str] | None,
        typer.Option(
            "--column",
            metavar="WHAT=NAME",
            help="What a column of a list or table is called: image=img, caption=text_en, condition=edges.",
            rich_help_panel=SOURCE_PANEL,
        ),
    ] = None,
    images: Annotated[
        str | None,
        typer.Option(
            "--images",
            metavar="FOLDER",
            help="What paths in a list are relative to. Default: the folder of the list.",
            rich_help_panel=SOURCE_PANEL,
        ),
    ] = None,
    conditions: Annotated[
        str | None,
        typer.Option(
            "--conditions",
            metavar="FOLDER",
            help="A folder of finished condition maps with the names of the images.",
            rich_help_panel=SOURCE_PANEL,
        ),
    ] = None,
    source_layout: Annotated[
        str | None,
        typer.Option(
            "--layout", metavar="NAME", help="What SRC is, if it is recognized wrongly.", rich_help_panel=SOURCE_PANEL
        ),
    ] = None,
    fps: Annotated[
        float | None,
        typer.Option(
            "--fps", metavar="X", help="Of videos: frames per second. Default: 1.", rich_help_panel=SOURCE_PANEL
        ),
    ] = None,
    frames: Annotated[
        str | None,
        typer.Option("--frames", metavar="N:M", help="Of videos: frames N to M only.", rich_help_panel=SOURCE_PANEL),
    ] = None,
    shard: Annotated[
        str,
        typer.Option(
            "--shard",
            metavar="I/N",
            help="Build only part I (from 0) of N, for array jobs that share OUT; then cn dataset merge OUT. "
            "Default: all.",
            show_default=False,
            rich_help_panel=COMPUTE_PANEL,
        ),
    ] = "0/1",
    engine: Annotated[
        Literal["local", "ray"],
        typer.Option("--engine", help="local, or ray: the workers of a Ray cluster.", rich_help_panel=COMPUTE_PANEL),
    ] = "local",
    workers: Workers = None,
    overwrite: Annotated[
        bool,
        typer.Option(
            "--overwrite", help="Remove the dataset that is in OUT and start again.", rich_help_panel=OUTPUT_PANEL
        ),
    ] = False,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Build a dataset for training from your own images: condition maps, captions and images of one size.

    The maps are made as for the paper's datasets: random Canny thresholds, scribbles with random augmentations, people
    with 30 % of their keypoints at least. Killed or extended, the same command continues. What became of each image is
    in OUT/build/status, the numbers in OUT/stats.json.
    """
    from cn.data.build.run import Shares

    shares = Shares.parse(shard)
    columns = dict(_assigned(word) for word in column or ())

    def open_source() -> "Source":
        from cn.commands.detect.standard_input import stdin_paths
        from cn.data.sources.open import open_source as opened
        from cn.images.formats import SUFFIXES

        found = opened(
            # A later run may start in another folder.
            src if src == "-" or "://" in src else os.path.abspath(src),
            results=(out,),
            columns=columns,
            images=images,
            layout=source_layout,
            conditions=conditions,
            fps=fps,
            frames=frames,
            stdin_paths=stdin_paths(src, SUFFIXES),
        )
        _report_source(found, quiet)
        return found

    from cn import storage
    from cn.data.build import run

    src, out = storage.from_user(src), storage.from_user(out)
    # The GPUs of a cluster are elsewhere.
    elsewhere = engine == "ray" and settings.device.startswith("cuda")
    here = replace(settings, device="cpu") if elsewhere else settings
    chosen = _engine(engine, elsewhere)
    prepared = run.prepare(open_source, None if src == "-" else src, out, here, shares, overwrite=overwrite)
    if prepared.gone:
        text = "not in the source any more; what was made of them stays (--overwrite builds without them)"
        console.status(f"{prepared.gone:,} of the images before are {text}", quiet=quiet)
    _plan(prepared, quiet)
    done = _run(prepared, chosen, workers, quiet)
    if shares.count > 1:
        console.status(f"part {shard} is done; when all are: cn dataset merge {out}", quiet=quiet)
        record = {"path": out, "shard": shard, "images": done.images, "seconds": round(done.seconds, 3)}
        console.emit(record if json else out, json)
        return
    finish_dataset(prepared.places, prepared.planned, done, json, quiet)


def _assigned(word: str) -> tuple[str, str]:
    name, sign, value = word.partition("=")
    if not (name and sign and value):
        raise UsageError(f"--column is WHAT=NAME, not {word!r}")
    return name, value


def _report_source(source: "Source", quiet: bool) -> None:
    for warning in (*source.warnings, *source.left_out.warnings()):
        console.warn(warning)
    console.status(f"source: {source.about}", quiet=quiet)
    if text := source.left_out.text():
        console.status(text, quiet=quiet)


def _plan(prepared: "Build", quiet: bool) -> None:
    settings = prepared.settings
    crops = {"center": "square from the middle", "random": "square at random", "buckets": "aspect ratio buckets"}
    rows: dict[str, object] = {recipe.kind: recipe.about() for recipe in prepared.job.recipes}
    rows["images"] = f"{settings.resolution} pixels, {crops.get(settings.crop, 'short side, not cropped')}"
    rows["left out"] = f"a side shorter than {settings.least_side} pixels" + (
        ", maps that show nothing" if settings.on_empty == "drop" else ""
    )
    rows["shards"] = f"{prepared.planned.shards:,}"
    console.plan(f"Building {prepared.places.out}", rows, quiet=quiet)


def _engine(name: str, gpu: bool) -> "Engine":
    from cn.data.build.run import run_local

    if name == "ray":
        from cn.data.build import ray_engine
        from cn.ray_cluster import connection

        connection.check()
        return functools.partial(ray_engine.run_ray, gpu=gpu)
    return run_local


def _run(prepared: "Build", engine: "Engine", workers: int | None, quiet: bool) -> Done:
    """Build what is missing."""
    from cn.data.build import run

    done, start = Done(), time.perf_counter()
    with run.lock(prepared):
        changed, shards = prepared.changed(), prepared.shards
        pending = sorted({*prepared.pending(), *changed})
        if changed:
            text = "were made of files that have changed since, and are built again"
            console.status(f"{len(changed)} of {len(shards)} shards {text}", quiet=quiet)
        if len(pending) < len(shards):
            console.status(f"{len(shards) - len(pending)} of {len(shards)} shards are done already", quiet=quiet)
        total = prepared.planned.images
        if total is not None:
            total = round(total * len(pending) / max(1, prepared.planned.shards))
        with console.progress(total, "building", unit="image", quiet=quiet) as bar:

            def advance(images: int, failed: int) -> None:
                done.images += images
                done.failed += failed
                bar(images, failed=done.failed)

            results = engine(prepared.job, pending, workers, advance)
            try:
                with contextlib.closing(results) as running:  # type: ignore[type-var]
                    for _ in running:
                        pass
            except OutputError as error:
                error.what += "; what is done is kept: when this is solved, the same command continues"
                raise
        done.seconds = time.perf_counter() - start
        run.log_run(prepared, done.images, done.seconds)
    return done
