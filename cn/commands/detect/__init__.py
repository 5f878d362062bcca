"""`cn detect KIND SRC DST`: photographs to condition images, one sub-command for each kind."""

import typer

from cn.commands.detect import classes, lines, people, surfaces

app = typer.Typer(no_args_is_help=True)


@app.callback()
def _detect() -> None:
    pass


_COMMANDS = (
    *(lines.canny, lines.hough, lines.hed, lines.scribble, people.openpose, people.openpifpaf),
    *(classes.ade20k, classes.coco, surfaces.depth, surfaces.normal, lines.lineart),
)
for _command in _COMMANDS:
    app.command()(_command)
app.command("pose", hidden=True)(people.openpose)
app.command("seg", hidden=True)(classes.ade20k)
app.command()(classes.palette)
