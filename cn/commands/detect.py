"""`cn detect KIND SRC DST`: photographs to condition images."""

import typer

app = typer.Typer(no_args_is_help=True)


@app.callback()
def _detect() -> None:
    pass
