"""`cn weights`: what weights there are."""

import typer

app = typer.Typer(no_args_is_help=True)


@app.callback()
def _weights() -> None:
    pass
