"""`cn transfer`: a control for another base."""

from typing import Annotated

import typer

from cn import console
from cn.commands.checkpoints import Output, destination, destination_argument, write_contents
from cn.commands.options import Json, Prediction, Quiet, with_options


def _weights(option: str, help_text: str) -> object:
    return typer.Option(option, metavar="NAME|PATH", help=help_text, show_default=False, rich_help_panel="Weights")


@with_options
def transfer(
    out: Annotated[str, destination_argument("OUT")],
    control: Annotated[str, _weights("--control", "The ControlNet to transfer.")],
    from_base: Annotated[str, _weights("--from-base", "The base that it was trained on.")],
    to_base: Annotated[str, _weights("--to-base", "The base that it will be used with.")],
    output: Output,
    prediction: Prediction = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Transfer a ControlNet to another base by adding the difference between the bases to its copied weights.

    If the control's file holds a whole Stable Diffusion whose U-Net was trained too, that difference is reported and
    kept, and OUT also holds the new base.
    """
    from cn.checkpoints.read.contents import Contents
    from cn.checkpoints.read.recognize import recognize
    from cn.checkpoints.transfer import transfer as move
    from cn.weights import bundled

    target = destination(out, output)
    first, second = (recognize(bundled.find(name)) for name in (from_base, to_base))
    found = [recognize(bundled.find(control), base=first.path), first, second]
    # The difference of weights does not depend on the prediction; it matters only where a base is written.
    moved = move(*(Contents.of(file, prediction=prediction or file.prediction or "eps") for file in found))
    if moved.contents.config is not None:
        found[2].config(prediction)
    if moved.distance is not None:
        what = "it was trained too, so the base is written as well" if moved.base_trained else "it is left out"
        console.status(
            f"{control}: the relative distance of its own U-Net from {from_base} is {moved.distance:.1e}: {what}",
            quiet=quiet,
        )
    bases = {"from base": from_base, "to base": to_base}
    write_contents(moved.contents, target, output, json=json, quiet=quiet, title="Transferring", rows=bases)
