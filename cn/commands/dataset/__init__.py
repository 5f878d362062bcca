"""`cn dataset ACTION`: datasets of images and condition maps, made, checked, converted and looked at."""

import typer

from cn.commands.dataset import caption, scenes, show

app = typer.Typer(no_args_is_help=True)
app.command()(scenes.synth)
app.command()(show.show)
app.command()(caption.caption)
