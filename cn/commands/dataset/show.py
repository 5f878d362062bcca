"""`cn dataset show`: contact sheets of any dataset."""

from pathlib import Path
from typing import Annotated

import typer

from cn import console
from cn.commands.options import Json


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
