"""`cn weights ACTION`: what weights there are."""

import sys
from typing import TYPE_CHECKING

import typer

from cn import console
from cn.commands.options import Json

if TYPE_CHECKING:
    from cn.weights.catalogue import Weights

app = typer.Typer(no_args_is_help=True)


@app.callback()
def _weights() -> None:
    pass


@app.command("list")
def list_(json: Json = False) -> None:
    """The weights that come with cn: name, role, parameters, size, hash and licence.

    The names work wherever weights are asked for: [b]cn sample --control canny[/b].
    """
    from cn.weights import catalogue

    files = catalogue.bundled()
    if json:
        for weights in files:
            console.emit(weights.record(), json=True)
        return
    if not files:
        console.status(f"No weights are bundled: there is no .safetensors file in {catalogue.FOLDER}.")
        return
    for line in _table(files):
        console.emit(line)


def _table(files: "list[Weights]") -> list[str]:
    """Aligned columns; the heading only where a person looks, so that scripts get one line per file."""
    rows = [("NAME", "ROLE", "CONDITION", "PARAMETERS", "SIZE", "SHA-256", "LICENCE")] if sys.stdout.isatty() else []
    for weights in files:
        rows.append(
            (
                weights.name,
                weights.role,
                weights.kind or "-",
                f"{weights.parameters / 1e6:.1f} M",
                f"{weights.size / 1e6:.1f} MB",
                weights.sha256[:12],
                weights.licence or "-",
            )
        )
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
