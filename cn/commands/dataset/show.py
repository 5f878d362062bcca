"""`cn dataset show`: contact sheets of any dataset."""

from pathlib import Path
from typing import Annotated

import typer

from cn import console
from cn.commands.options import Json
from cn.errors import UsageError

_CHOICE_PANEL = "Which samples"
_COUNT = 12


def show(
    path: Annotated[str, typer.Argument(metavar="SET", help="A dataset: its folder, its prompt.json, any layout.")],
    out: Annotated[
        str | None,
        typer.Argument(metavar="[OUT.png]", help="The sheet; - is stdout. Default: sheet.png in the dataset's folder."),
    ] = None,
    count: Annotated[
        int | None,
        typer.Option(
            "--count",
            "-n",
            metavar="N",
            min=1,
            help=f"How many samples, evenly spread. Default: {_COUNT}.",
            show_default=False,
            rich_help_panel=_CHOICE_PANEL,
        ),
    ] = None,
    random: Annotated[
        int | None,
        typer.Option("--random", metavar="N", min=1, help="N samples by --seed.", rich_help_panel=_CHOICE_PANEL),
    ] = None,
    seed: Annotated[
        int, typer.Option("--seed", metavar="N", help="Which ones --random shows.", rich_help_panel=_CHOICE_PANEL)
    ] = 0,
    kind: Annotated[
        str | None,
        typer.Option("--kind", metavar="KIND", help="Only the maps of this kind.", rich_help_panel=_CHOICE_PANEL),
    ] = None,
    status: Annotated[
        str | None,
        typer.Option(
            "--status",
            metavar="STATUS",
            help="Only samples with this status: ok, empty, broken and others of cn dataset build, or 'other frame'.",
            rich_help_panel=_CHOICE_PANEL,
        ),
    ] = None,
    columns: Annotated[int | None, typer.Option("--columns", metavar="N", min=1, help="Samples per row.")] = None,
    json: Json = False,
) -> None:
    """Write a contact sheet of a dataset: maps and image side by side, with name, size, status and caption."""
    if random is not None and count is not None:
        raise UsageError("--count and --random both say how many samples are shown; give one of them")
    from cn import conditions, images
    from cn.data.contact_sheet import Choice, contact_sheet
    from cn.data.formats.dataset import is_dataset
    from cn.data.formats.opened import open_any

    kind = None if kind is None else conditions.get(kind).kind
    opened = open_any(path)
    choice = Choice(random or count or _COUNT, kind, status, None if random is None else seed)
    sheet = contact_sheet(opened, choice, columns=columns)
    # In a folder of plain images, the sheet would be one of them.
    target = out or (str(Path(opened.root) / "sheet.png") if is_dataset(path) else "sheet.png")
    images.write(target, sheet.image)
    for message in sheet.failures:
        console.warn(message)
    if target != "-":
        console.emit({"path": target, "shown": sheet.shown, "samples": sheet.samples} if json else target, json)
