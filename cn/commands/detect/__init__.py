"""`cn detect KIND SRC DST`: photographs to condition images, one sub-command for each kind."""

import typer

from cn.commands.detect import lines, surfaces

app = typer.Typer(no_args_is_help=True)


@app.callback()
def _detect() -> None:
    pass


for _command in (lines.canny, lines.hough, lines.hed, lines.scribble, surfaces.depth, surfaces.normal, lines.lineart):
    app.command()(_command)
