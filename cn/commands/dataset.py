"""`cn dataset synth|show`: datasets from the built-in scenes, and contact sheets of any dataset."""

from pathlib import Path
from typing import Annotated

import typer

from cn import console
from cn.commands.options import Json, Overwrite, Quiet, Workers, with_options
from cn.data.settings import SynthSettings

app = typer.Typer(no_args_is_help=True)


@app.command()
@with_options
def synth(
    out: Annotated[Path, typer.Argument(metavar="OUT", help="Folder for source/, target/ and prompt.json.")],
    settings: SynthSettings,
    workers: Workers = None,
    overwrite: Overwrite = False,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Render pairs of image and exact condition map from the built-in 3-D scenes, with captions.

    The same seed gives the same scenes at any size. After an interrupt, the same command continues where it stopped.
    """
    from cn.data import synth as core
    from cn.parallel import available_cpus

    synthesis = core.Synthesis(out, settings)
    missing = core.prepare(synthesis, overwrite=overwrite)
    count, todo = settings.count, len(missing.render)
    if todo < count:
        console.status(f"{count - todo} of {count} pairs exist already", quiet=quiet)
    # Starting a process costs about as much as rendering a dozen images.
    processes = workers or min(available_cpus(), max(1, todo // 12))
    with console.progress(count, "rendering", unit="pair", initial=count - todo, quiet=quiet) as advance:
        for _ in core.make(synthesis, missing, workers=processes):
            advance()
    for kind, folder in synthesis.folders.items():
        console.emit({"path": str(folder), "kind": kind, "count": count, "rendered": todo} if json else folder, json)


@app.command()
def show(
    path: Annotated[Path, typer.Argument(metavar="PATH", help="A dataset: its folder, or its prompt.json.")],
    out: Annotated[
        str | None,
        typer.Argument(metavar="[OUT.png]", help="The sheet; - is stdout. Default: sheet.png in the dataset's folder."),
    ] = None,
    count: Annotated[
        int, typer.Option("--count", "-n", metavar="N", min=1, help="How many pairs to show, evenly spread.")
    ] = 12,
    columns: Annotated[int | None, typer.Option("--columns", metavar="N", min=1, help="Pairs per row.")] = None,
    json: Json = False,
) -> None:
    """Write a contact sheet of a dataset: condition and image side by side, the prompt below."""
    from cn import images
    from cn.data.contact_sheet import contact_sheet
    from cn.data.records import records_file

    sheet = contact_sheet(path, count, columns=columns)
    target = out or str(records_file(path).parent / "sheet.png")
    images.write(target, sheet.image)
    for message in sheet.failures:
        console.warn(message)
    if target != "-":
        console.emit({"path": target, "shown": sheet.shown, "pairs": sheet.pairs} if json else target, json)
