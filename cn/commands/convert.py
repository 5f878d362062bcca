"""`cn convert`: checkpoints from any layout to any other, and controls from one base to another."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from cn import console
from cn.commands.options import OUTPUT_PANEL, Json, Prediction, Quiet
from cn.errors import UsageError
from cn.units import bytes_text, count_text

if TYPE_CHECKING:
    from cn.checkpoints.checkpoint import Layout
    from cn.checkpoints.read.contents import Contents, Only
    from cn.checkpoints.write.convert import Conversion

LAYOUTS = ("native", "ldm", "diffusers")
_READING_PANEL = "Reading"
_UNKNOWN_HASH = "?" * 64

Destination = Annotated[
    str, typer.Argument(metavar="DST", help="A .safetensors file; a folder for diffusers.", show_default=False)
]
To = Annotated[
    str,
    typer.Option(
        "--to",
        metavar="LAYOUT",
        help="native (cn's own), ldm (the original single file: web UIs, ComfyUI, the official code) or diffusers.",
        rich_help_panel=OUTPUT_PANEL,
    ),
]
Half = Annotated[bool, typer.Option("--half", help="Write half precision (F16).", rich_help_panel=OUTPUT_PANEL)]
DryRun = Annotated[
    bool,
    typer.Option("--dry-run", help="Check everything and print the plan; write nothing.", rich_help_panel=OUTPUT_PANEL),
]
Replace = Annotated[bool, typer.Option("--overwrite", help="Replace what is at DST.", rich_help_panel=OUTPUT_PANEL)]
Only_ = Annotated[
    str | None,
    typer.Option(
        "--only",
        metavar="PART",
        help="Of a file that holds both, only the base or only the control.",
        rich_help_panel=_READING_PANEL,
    ),
]
Ema = Annotated[
    bool,
    typer.Option(
        "--ema",
        help="Take the averaged weights of the U-Net (model_ema.*) in place of the plain ones.",
        rich_help_panel=_READING_PANEL,
    ),
]
Pooled = Annotated[
    bool,
    typer.Option(
        "--pooled",
        help="The control averages its residuals over the image (ControlNet 1.1 shuffle), which only a .yaml or "
        "config.json beside it would say.",
        rich_help_panel=_READING_PANEL,
    ),
]
Variant = Annotated[
    str | None,
    typer.Option(
        "--variant",
        metavar="NAME",
        help="Of a diffusers folder that holds several kinds of weights, take fp16, bf16 or non_ema.",
        rich_help_panel=_READING_PANEL,
    ),
]


def _weights(option: str, help_text: str) -> object:
    return typer.Option(option, metavar="NAME|PATH", help=help_text, show_default=False, rich_help_panel="Weights")


def convert(
    src: Annotated[
        str, typer.Argument(metavar="SRC", help="A file, a diffusers folder, or a bundled name.", show_default=False)
    ],
    dst: Destination,
    to: To = "native",
    only: Only_ = None,
    prediction: Prediction = None,
    pooled: Pooled = False,
    ema: Ema = False,
    variant: Variant = None,
    half: Half = False,
    dry_run: DryRun = False,
    overwrite: Replace = False,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Bring a checkpoint into another layout.

    What SRC is, its content tells: Stable Diffusion 1.x or 2.x as one file (.safetensors, .ckpt) or as a diffusers
    folder, a ControlNet of the official release (with or without its Stable Diffusion) or of diffusers, or cn's own.
    No tensor is lost unnoticed: one that is left over or missing is an error that names it.
    """
    from cn.checkpoints.read.contents import Contents
    from cn.checkpoints.read.recognize import recognize
    from cn.weights import bundled

    layout = _layout(to)
    if only not in (None, "base", "control"):
        raise UsageError(f"--only is base or control, not {only!r}")
    checkpoint = recognize(bundled.find(src), ema=ema, variant=variant)
    contents = Contents.of(checkpoint, only=cast("Only | None", only), prediction=prediction, pooled=pooled)
    _finish(contents, dst, layout, half=half, dry_run=dry_run, overwrite=overwrite, json=json, quiet=quiet)


def transfer(
    dst: Destination,
    control: Annotated[str, _weights("--control", "The ControlNet to be moved.")],
    from_base: Annotated[str, _weights("--from-base", "The base that it was trained on.")],
    to_base: Annotated[str, _weights("--to-base", "The base that it shall work with.")],
    to: To = "native",
    prediction: Prediction = None,
    half: Half = False,
    dry_run: DryRun = False,
    overwrite: Replace = False,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Move a ControlNet to another base, by adding the difference of the bases to what it copied from the first.

    A file of the official release that holds its Stable Diffusion too is looked at: where its U-Net was trained along,
    that difference is reported and kept, and DST holds the base as well.
    """
    from cn.checkpoints.read.contents import Contents
    from cn.checkpoints.read.recognize import recognize
    from cn.checkpoints.transfer import transfer as move
    from cn.weights import bundled

    layout, said = _layout(to), prediction
    found = [recognize(bundled.find(name)) for name in (control, from_base, to_base)]
    # What a base predicts does not matter to the difference of weights; only where the base comes along it does.
    moved = move(*(Contents.of(file, prediction=said or file.prediction or "eps") for file in found))
    if moved.contents.config is not None:
        found[2].config(said)
    if moved.distance is not None:
        same, other = "only the control is moved", "it was trained along, so the base comes with the control"
        told = other if moved.trained_along else same
        away = f"its own U-Net is {moved.distance:.1e} away from that of {from_base} (relative)"
        console.status(f"{control}: {away}: {told}", quiet=quiet)
    _finish(moved.contents, dst, layout, half=half, dry_run=dry_run, overwrite=overwrite, json=json, quiet=quiet)


def _layout(name: str) -> "Layout":
    if name not in LAYOUTS:
        raise UsageError(f"--to is one of {', '.join(LAYOUTS)}, not {name!r}")
    return cast("Layout", name)


def _finish(
    contents: "Contents",
    dst: str,
    to: "Layout",
    *,
    half: bool,
    dry_run: bool,
    overwrite: bool,
    json: bool,
    quiet: bool,
) -> None:
    """Plan, check, print the plan, write, report."""
    from cn.checkpoints.write.convert import plan
    from cn.checkpoints.write.writer import check_destination, deliver
    from cn.files import sha256_of_all

    if not dst:
        raise UsageError("DST is empty: give the name of a file, or of a folder for diffusers")
    destination = Path(dst)
    conversion = plan(contents, to, half=half)
    check_destination(conversion, destination, to, overwrite=overwrite)
    console.plan("Converting", _plan_rows(contents, conversion, destination, to), quiet=quiet)
    record = {"path": dst, "layout": to, "from": str(contents.path), "size": conversion.size, "written": not dry_run}
    record |= {"parameters": contents.parameters, "notes": list(conversion.notes)}
    if dry_run:
        if json:
            console.emit(record, json=True)
        return
    # The source is hashed while it is copied; its hash takes the place that was kept for it.
    conversion = plan(contents, to, half=half, source_sha256=_UNKNOWN_HASH)
    with (
        ThreadPoolExecutor(1) as pool,
        console.progress(conversion.size, "writing", unit="B", quiet=quiet) as advance,
    ):
        hashed = pool.submit(sha256_of_all, contents.files)
        deliver(
            conversion, destination, on_bytes=advance, settle=lambda text: text.replace(_UNKNOWN_HASH, hashed.result())
        )
    console.emit(record, json=json)


def _plan_rows(contents: "Contents", conversion: "Conversion", destination: Path, to: str) -> dict[str, str | None]:
    parts = " and ".join(["a base"] * (contents.config is not None) + ["a control"] * (contents.control is not None))
    files = f" in {len(conversion.outputs)} files" if conversion.is_folder else ""
    return {
        "from": f"{contents.path} ({contents.layout})",
        "to": f"{destination} ({to}), {bytes_text(conversion.size)}{files}",
        "holds": f"{parts}, {count_text(contents.parameters)} parameters",
        "note": "\n".join(conversion.notes) or None,
    }
