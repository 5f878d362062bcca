"""`cn detect KIND SRC DST`: photographs to condition images, one sub-command for each kind."""

import typer

from cn.commands.detect import lines, pose, segmentation, surfaces

app = typer.Typer(no_args_is_help=True)


@app.callback()
def _detect() -> None:
    pass


_COMMANDS = (
    *(lines.canny, lines.hough, lines.hed, lines.scribble, pose.openpose, pose.openpifpaf),
    *(segmentation.ade20k, segmentation.coco, surfaces.depth, surfaces.normal, lines.lineart),
)
for _command in _COMMANDS:
    app.command()(_command)
app.command("pose", hidden=True)(pose.openpose)
app.command("seg", hidden=True)(segmentation.ade20k)
app.command()(segmentation.palette)
