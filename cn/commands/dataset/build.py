"""`cn dataset build` and `cn dataset merge`: people's images to a dataset with condition maps."""

import contextlib
import functools
import os
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from cn import console
from cn.commands.options import OUTPUT_PANEL, Json, Quiet, Workers, with_options
from cn.data.build.settings import BuildSettings
from cn.errors import InputError, OutputError, PartialError, UsageError
from cn.options import COMPUTE_PANEL

if TYPE_CHECKING:
    from cn.data.build.places import Places
    from cn.data.build.plan import Plan
    from cn.data.build.run import Build, Engine
    from cn.data.build.statistics import Statistics
    from cn.data.sources.sample import Source

SOURCE_PANEL = "The source"
MAX_NAMED = 20
"""So many images that could not be used are named on the terminal; the statuses have all."""

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
            help="Build only part I (from 0) of N, for array jobs that share OUT; then cn dataset merge OUT.",
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
            src,
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
    from cn.data.build.remove import remove_dataset

    src, out = storage.from_user(src), storage.from_user(out)
    if overwrite:
        remove_dataset(out)
    # The GPUs of a cluster may be elsewhere.
    elsewhere = engine == "ray" and settings.device.startswith("cuda")
    here = replace(settings, device="cpu") if elsewhere else settings
    prepared = run.prepare(open_source, None if src == "-" else src, out, here, shares)
    _plan(prepared, quiet)
    seconds = _run(prepared, _engine(engine, elsewhere), workers, quiet)
    if shares.count > 1:
        console.status(f"part {shard} is done; when all are: cn dataset merge {out}", quiet=quiet)
        console.emit({"path": out, "shard": shard, "seconds": round(seconds, 3)} if json else out, json)
        return
    _finish(prepared.places, prepared.planned, seconds, json, quiet)


def merge(
    parts: Annotated[
        list[str],
        typer.Argument(
            metavar="[PART…] OUT",
            help="The dataset whose parts were built into OUT (cn dataset build --shard), or datasets, or parts of "
            "one, in folders of their own, which are put together in OUT.",
        ),
    ],
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Finish a dataset that was built in parts, or put datasets of the same settings together.

    Duplicates are found across all parts; each image keeps its name.
    """
    from cn import storage
    from cn.data.build import merging

    *others, out = map(storage.from_user, parts)
    places, planned = merging.merged(others, out)
    _finish(places, planned, None, json, quiet)


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
        from cn.data.build.ray_engine import run_ray

        return functools.partial(run_ray, gpu=gpu)
    return run_local


def _run(prepared: "Build", engine: "Engine", workers: int | None, quiet: bool) -> float:
    """Build what is missing; the seconds that it took."""
    from cn.data.build import run

    start = time.perf_counter()
    total = prepared.planned.images
    failed = 0
    with run.lock(prepared):
        pending = prepared.pending()
        if done := len(prepared.shards) - len(pending):
            console.status(f"{done} of {len(prepared.shards)} shards are done already", quiet=quiet)
        if total is not None:
            total = round(total * len(pending) / max(1, prepared.planned.shards))
        with console.progress(total, "building", unit="image", quiet=quiet) as bar:

            def advance(images: int, more_failed: int) -> None:
                nonlocal failed
                failed += more_failed
                bar(images, failed=failed)

            results = engine(prepared.job, pending, workers, advance)
            try:
                with contextlib.closing(results) as running:  # type: ignore[type-var]
                    for _ in running:
                        pass
            except OutputError as error:
                error.what += "; what is done is kept: when this is solved, the same command continues"
                raise
    return time.perf_counter() - start


def _finish(places: "Places", planned: "Plan", seconds: float | None, json: bool, quiet: bool) -> None:
    """Write the lists and the statistics, show them, and fail with the right exit code."""
    from cn.data.build import finish

    statistics = finish.finish(places, planned)
    out = places.out
    rate = None if not seconds else statistics.images / seconds
    console.plan(f"{out}: {statistics.images:,} images", _table(statistics, rate), quiet=quiet)
    for text, count in statistics.warnings.most_common(MAX_NAMED):
        console.warn(f"{text} ({count} images)" if count > 1 else text)
    failures = list(finish.failures(places, planned, MAX_NAMED + 1))
    for status in failures[:MAX_NAMED]:
        console.error(f"{status.name}: {status.reason or status.status}")
    record = {"path": out, **statistics.record()} | ({} if seconds is None else {"seconds": round(seconds, 3)})
    if sum(statistics.pairs.values()) == 0:
        raise InputError("not one pair came of these images; the statuses say why", path=os.path.join(out, "build"))
    console.emit(record if json else out, json)
    if failures:
        count = finish.count_failures(statistics)
        more = f"; {count - MAX_NAMED} more are in {out}/build/status" if count > MAX_NAMED else ""
        raise PartialError(f"{count} of {statistics.images} images could not be used{more}")


def _table(statistics: "Statistics", rate: float | None) -> dict[str, object]:
    """What a person wants to see of the statistics."""
    from cn.data.build.statistics import percentiles

    kinds = {
        kind: f"{statistics.pairs_of(kind):,} pairs"
        + (f", {statistics.empty_share(kind):.1%} of the maps were empty" if statistics.empty_share(kind) else "")
        for kind in statistics.kinds
    }
    left_out = {status: count for status, count in statistics.statuses.items() if status != "ok"}
    words, sides = percentiles(statistics.words), percentiles(statistics.short_sides)
    sizes = [f"{width}×{height} ({count:,})" for (width, height), count in statistics.sizes.most_common(5)]
    more = len(statistics.sizes) - 5
    return {
        **kinds,
        "left out": ", ".join(f"{count:,} {status}" for status, count in left_out.items()) or None,
        "sizes": ", ".join(sizes) + (f" and {more} more" if more > 0 else "") if sizes else None,
        "originals": f"short side {sides['p0']}–{sides['p100']}, half up to {sides['p50']} pixels" if sides else None,
        "enlarged": f"{statistics.enlarged:,} images are larger than their original" if statistics.enlarged else None,
        "captions": f"{words['p0']}–{words['p100']} words, half up to {words['p50']}" if words else None,
        "no caption": f"{statistics.uncaptioned:,} (cn dataset caption)" if statistics.uncaptioned else None,
        "rate": None if rate is None else f"{rate:.1f} images a second",
    }
