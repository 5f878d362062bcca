"""`cn dataset stats`: a dataset in numbers, as a table, as JSON, as plots."""

from typing import Annotated

import typer

from cn import console
from cn.commands.options import OUTPUT_PANEL, Json, Quiet
from cn.errors import PartialError


def stats(
    dataset: Annotated[str, typer.Argument(metavar="SET", help="A dataset with prompt.json, or in any other layout.")],
    plots: Annotated[
        str | None,
        typer.Option("--plots", metavar="OUT.png", help="Write plots, too.", rich_help_panel=OUTPUT_PANEL),
    ] = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Count a dataset: samples, maps and empty ones, sizes, aspect ratios, captions in words and tokens, broken ones.

    Images are read as far as their headers, maps are decoded; `cn dataset lint` looks closer. With broken samples, the
    exit code is 5.
    """
    from cn.data.formats.opened import open_any
    from cn.data.stats import table
    from cn.data.stats.counts import count

    if plots is not None:
        _check_plots(plots)
    opened = open_any(dataset)
    from cn.model.tokens import token_count

    with console.progress(None, "counting", unit="sample", quiet=quiet) as advance:
        found = count(opened, token_count, advance)
    if json:
        written = {} if plots is None else {"plots": plots}
        console.emit({"path": dataset, **found.record(), **written}, json)
    else:
        for line in table.text(found):
            console.emit(line)
    if plots is not None:
        from cn import files
        from cn.data.stats.plots import plot

        files.write_atomic(plots, plot(found, opened.root.rstrip("/").rpartition("/")[2] or dataset), durable=False)
        if not json:
            console.emit(plots)
    if found.broken.count:
        raise PartialError(f"{found.broken.count} of {found.samples} samples cannot be used")


def _check_plots(path: str) -> None:
    """Before all images are read: raises UsageError for another format, and without matplotlib."""
    from importlib.util import find_spec

    from cn.errors import UsageError

    if not path.lower().endswith(".png"):
        raise UsageError(f"--plots {path}: plots are written as PNG; use a name that ends in .png")
    if find_spec("matplotlib") is None:
        raise UsageError('--plots needs matplotlib: pip install "controlnet-cn[plots]"')
