"""`cn dataset pack` and `unpack`: datasets in the layouts of other tools, and back."""

from typing import Annotated

import typer

from cn import console
from cn.commands.options import Json, Quiet
from cn.data.formats.layouts import LAYOUTS, PROMPT_JSON, Layout
from cn.errors import PartialError
from cn.units import bytes_text, parse_bytes

_SHARDS_PANEL = "Shards"


def pack(
    dataset: Annotated[
        str,
        typer.Argument(metavar="SET", help="A dataset with prompt.json, or in any other layout.", show_default=False),
    ],
    out: Annotated[str, typer.Argument(metavar="OUT", help="A new folder, or a URL (s3://, gs://, hf://).")],
    to: Annotated[
        Layout, typer.Option("--to", help=f"The layout: {', '.join(LAYOUTS)}.", metavar="LAYOUT", show_default=False)
    ],
    shard_size: Annotated[
        int | None,
        typer.Option(
            "--shard-size",
            metavar="N",
            min=1,
            help="Samples in a shard at most. Default: 1000; parquet: as --max-bytes allows.",
            show_default=False,
            rich_help_panel=_SHARDS_PANEL,
        ),
    ] = None,
    max_bytes: Annotated[
        str | None,
        typer.Option(
            "--max-bytes",
            metavar="SIZE",
            help="Bytes of images in a shard at most, such as 500MB. Default: no limit; parquet: 500MB.",
            show_default=False,
            rich_help_panel=_SHARDS_PANEL,
        ),
    ] = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Write a dataset in another layout; images and maps keep every byte, captions and further keys every word.

    webdataset: OUT/00000.tar and so on, with KEY.jpg, KEY.cond.png (or KEY.canny.png), KEY.txt, KEY.json. imagefolder:
    OUT/train/metadata.jsonl and images. parquet: OUT/data/train-00000-of-00003.parquet with image columns.
    prompt.json: source/, target/ and prompt.json. After an interrupt, the same command continues where it stopped.
    """
    size = None if max_bytes is None else parse_bytes(max_bytes)
    _write(dataset, out, to, json, quiet, shard_size, size)


def unpack(
    source: Annotated[
        str,
        typer.Argument(metavar="SRC", help="WebDataset shards, an imagefolder, parquet files, or any other dataset."),
    ],
    out: Annotated[str, typer.Argument(metavar="OUT", help="A new folder for source/, target/ and prompt.json.")],
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Write a dataset of any layout as a folder with prompt.json, whose files are those that were packed.

    Of what cn packed, files get back their names; others are named as they are there. After an interrupt, the same
    command continues where it stopped.
    """
    _write(source, out, PROMPT_JSON, json, quiet)


def _write(
    source: str,
    out: str,
    layout: Layout,
    json: bool,
    quiet: bool,
    shard_size: int | None = None,
    max_bytes: int | None = None,
) -> None:
    from cn.data.formats import packing
    from cn.data.formats.opened import open_any

    opened = open_any(source)
    console.status(f"{source}: {opened.about}", quiet=quiet)
    for warning in opened.warnings:
        console.warn(warning)
    if opened.left_out:
        console.status(opened.left_out, quiet=quiet)
    work = packing.prepare(
        opened.samples,
        opened.root,
        out,
        layout,
        shard_size=shard_size,
        max_bytes=max_bytes,
        description=opened.description,
        source=opened.place,
    )
    with console.progress(work.plan.count, "packing", unit="sample", quiet=quiet) as advance:
        done = packing.run(work, advance)
    left_out = done.left_out
    for message in left_out.messages():
        console.warn(f"left out: {message}")
    again = f", {done.skipped} of {done.skipped + done.written} shards were there" if done.skipped else ""
    console.status(f"{done.samples} samples, {bytes_text(done.bytes)}{again}", quiet=quiet)
    record = {"path": out, "layout": layout, "samples": done.samples, "bytes": done.bytes, "files": list(done.files)}
    record |= {"shards": done.written + done.skipped, "written": done.written, "skipped": done.skipped}
    console.emit({**record, "left_out": left_out.reasons} if json else out, json)
    if left_out.count:
        raise PartialError(f"{left_out.count} of {len(work.plan.sizes)} samples were left out; all others are in {out}")
