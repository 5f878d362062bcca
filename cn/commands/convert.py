"""`cn convert`: checkpoints from any layout to any other, and OpenPifPaf's pickles to safetensors."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cn import console
from cn.checkpoints.layouts import Role
from cn.commands.checkpoints import Output, destination, destination_argument, write_contents
from cn.commands.options import Json, Prediction, Quiet, with_options
from cn.errors import UsageError, WeightsError
from cn.units import bytes_text

if TYPE_CHECKING:
    from cn.archives.archive import Archive

_READING_PANEL = "Reading"

Only = Annotated[
    Role | None,
    typer.Option(
        "--only",
        help="Convert only the base or only the control of a file that holds both.",
        rich_help_panel=_READING_PANEL,
    ),
]
Ema = Annotated[
    bool,
    typer.Option(
        "--ema",
        help="Use the EMA weights of the U-Net (model_ema.*) instead of the plain ones.",
        rich_help_panel=_READING_PANEL,
    ),
]
Pooled = Annotated[
    bool,
    typer.Option(
        "--pooled",
        help="The control averages its residuals over the image (ControlNet 1.1 shuffle). Needed where no .yaml or "
        "config.json next to it says so.",
        rich_help_panel=_READING_PANEL,
    ),
]
Variant = Annotated[
    str | None,
    typer.Option(
        "--variant",
        metavar="NAME",
        help="Of a diffusers folder with several variants of weights, use fp16, bf16 or non_ema.",
        rich_help_panel=_READING_PANEL,
    ),
]


def _moved(option: str) -> object:
    """An option of `cn transfer`, which used to be a form of this command."""
    return typer.Option(option, hidden=True, help="See cn transfer.")


@with_options
def convert(
    src: Annotated[
        str, typer.Argument(metavar="SRC", help="A file, a diffusers folder, or a bundled name.", show_default=False)
    ],
    dst: Annotated[str, destination_argument("DST")],
    output: Output,
    only: Only = None,
    prediction: Prediction = None,
    pooled: Pooled = False,
    ema: Ema = False,
    variant: Variant = None,
    json: Json = False,
    quiet: Quiet = False,
    control: Annotated[str | None, _moved("--control")] = None,
    from_base: Annotated[str | None, _moved("--from-base")] = None,
    to_base: Annotated[str | None, _moved("--to-base")] = None,
) -> None:
    """Convert a checkpoint to another layout.

    SRC is identified by its content: Stable Diffusion 1.x or 2.x as one file (.safetensors, .ckpt) or a diffusers
    folder, a ControlNet of the official release (with or without its Stable Diffusion) or of diffusers, or cn's own.
    Every tensor is accounted for: one that is unexpected or missing is an error that names it.

    A published OpenPifPaf network (a pickled module) becomes a safetensors file with the same tensors; no code in it
    is run. [b]cn detect openpifpaf[/b] reads both.
    """
    from cn.archives.archive import open_archive
    from cn.checkpoints.read.contents import Contents
    from cn.checkpoints.read.recognize import recognize
    from cn.weights import bundled

    if (control, from_base, to_base) != (None, None, None):
        raise UsageError("cn convert transfer is now cn transfer OUT --control C --from-base A --to-base B")
    target, path = destination(dst, output), bundled.find(src)
    archive = None if path.is_dir() else open_archive(path)
    if archive is not None and _holds_pifpaf(archive):
        changed: dict[str, object] = {"--to": output.to != "native", "--half": output.half, "--only": only}
        changed |= {"--prediction": prediction, "--pooled": pooled, "--ema": ema, "--variant": variant}
        if inapplicable := [option for option, value in changed.items() if value]:
            raise UsageError(f"{', '.join(inapplicable)}: not for OpenPifPaf networks, such as {path}")
        _convert_pifpaf(archive, target, output, json=json, quiet=quiet)
        return
    checkpoint = recognize(path, archive=archive, ema=ema, variant=variant)
    contents = Contents.of(checkpoint, only=only, prediction=prediction, pooled=pooled)
    write_contents(contents, target, output, json=json, quiet=quiet)


def _holds_pifpaf(archive: "Archive") -> bool:
    """Whether a file holds one of OpenPifPaf's networks; WeightsError for those of other detectors."""
    from cn.detect import registry

    network = registry.identify({name.removeprefix("module.") for name in archive.entries})
    if network is not None and network.family != "openpifpaf":
        raise WeightsError(f"holds {network.title}, a detector's network, which needs no conversion", path=archive.path)
    return network is not None


def _convert_pifpaf(archive: "Archive", target: Path, output: Output, *, json: bool, quiet: bool) -> None:
    from cn.checkpoints.write.destination import check_destination
    from cn.checkpoints.write.plan import Conversion
    from cn.checkpoints.write.plan import Output as File
    from cn.checkpoints.write.writer import write_conversion
    from cn.detect.pose.pifpaf_convert import safetensors_of

    if target.exists() and target.samefile(archive.path):
        raise UsageError("would replace the file it is made from; give another name", path=target)
    conversion = Conversion((File("", *safetensors_of(archive)),))
    check_destination(conversion, target, "native", overwrite=output.overwrite)
    rows = {"from": f"{archive.path} (OpenPifPaf)", "to": f"{target}, {bytes_text(conversion.size)}"}
    console.plan("Converting", rows, quiet=quiet)
    if not output.dry_run:
        write_conversion(conversion, target)
    if json or not output.dry_run:
        record = {"path": str(target), "layout": "openpifpaf", "from": str(archive.path), "size": conversion.size}
        console.emit(record | {"written": not output.dry_run, "notes": []}, json)
