"""`cn dataset ACTION`: datasets of images and condition maps, made, checked, converted and looked at."""

import typer

from cn.commands.dataset import build, merge, scenes, show

app = typer.Typer(no_args_is_help=True)
app.command()(build.build)
app.command()(merge.merge)
app.command()(scenes.synth)
app.command()(show.show)
