"""`cn dataset synth`: datasets from the built-in scenes."""

from pathlib import Path
from typing import Annotated

import typer

from cn import console
from cn.commands.options import Json, Overwrite, Quiet, Workers, with_options
from cn.data.settings import SynthSettings


@with_options
def synth(
    out: Annotated[Path, typer.Argument(metavar="OUT", help="Folder for source/, target/ and prompt.json.")],
    settings: SynthSettings,
    workers: Workers = None,
    overwrite: Overwrite = False,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Render pairs of image and condition map from the built-in 3-D scenes, with captions.

    The same seed gives the same scenes at any size. After an interrupt, the same command continues where it stopped.
    """
    from cn.data import synth as core
    from cn.parallel import available_cpus

    synthesis = core.Synthesis(out, settings)
    missing = core.prepare(synthesis, overwrite=overwrite)
    count, todo = settings.count, len(missing.render)
    if todo < count:
        console.status(f"{count - todo} of {count} pairs exist already", quiet=quiet)
    # Starting a process costs about as much as rendering a dozen images.
    processes = workers or min(available_cpus(), max(1, todo // 12))
    with console.progress(count, "rendering", unit="pair", initial=count - todo, quiet=quiet) as advance:
        for _ in core.make(synthesis, missing, workers=processes):
            advance()
    for kind, folder in synthesis.folders.items():
        console.emit({"path": str(folder), "kind": kind, "count": count, "rendered": todo} if json else folder, json)
