"""`cn dataset ACTION`: datasets of images and condition maps, made, checked, converted and looked at."""

import typer

from cn.commands.dataset import build, cache, caption, lint, merge, pack, scenes, show, stats, subset

app = typer.Typer(no_args_is_help=True)
app.command()(build.build)
app.command()(merge.merge)
app.command()(scenes.synth)
app.command()(caption.caption)
app.command()(lint.lint)
app.command()(show.show)
app.command()(stats.stats)
app.command()(subset.subset)
app.command()(subset.split)
app.command()(pack.pack)
app.command()(pack.unpack)
app.command()(cache.cache)
