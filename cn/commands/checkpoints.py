"""What `cn convert` and `cn transfer` share: the options on their output, and writing it."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cn import console
from cn.checkpoints.layouts import Layout
from cn.commands.options import OUTPUT_PANEL
from cn.errors import UsageError
from cn.units import bytes_text, count_text

if TYPE_CHECKING:
    from cn.checkpoints.read.contents import Contents
    from cn.checkpoints.write.plan import Conversion

_UNKNOWN_HASH = "?" * 64

Destination = Annotated[
    str, typer.Argument(metavar="DST", help="A .safetensors file; for diffusers a folder.", show_default=False)
]
To = Annotated[
    Layout,
    typer.Option(
        "--to",
        help="The layout: cn's own, the original single file (for web UIs, ComfyUI, the official code) or diffusers.",
        rich_help_panel=OUTPUT_PANEL,
    ),
]
Half = Annotated[bool, typer.Option("--half", help="Write half precision (F16).", rich_help_panel=OUTPUT_PANEL)]
DryRun = Annotated[
    bool,
    typer.Option("--dry-run", help="Check everything and print the plan; write nothing.", rich_help_panel=OUTPUT_PANEL),
]
Replace = Annotated[bool, typer.Option("--overwrite", help="Replace DST if it exists.", rich_help_panel=OUTPUT_PANEL)]


@dataclass(frozen=True)
class Output:
    """Where and how a command writes its result."""

    path: str
    dry_run: bool = False
    overwrite: bool = False
    json: bool = False
    quiet: bool = False

    @property
    def destination(self) -> Path:
        """UsageError for an empty path."""
        if not self.path:
            raise UsageError("the destination is empty: give the name of a file, or of a folder for diffusers")
        return Path(self.path)


def write_contents(contents: "Contents", to: Layout, output: Output, *, half: bool) -> None:
    """Convert `contents` to a layout: plan, check, print the plan, write, report."""
    from cn.checkpoints.write.plan import plan
    from cn.checkpoints.write.writer import check_destination, write_conversion
    from cn.files import sha256_of_all

    destination = output.destination
    conversion = plan(contents, to, half=half)
    check_destination(conversion, destination, to, overwrite=output.overwrite)
    console.plan("Converting", _plan_rows(contents, conversion, destination, to), quiet=output.quiet)
    record = {"path": output.path, "layout": to, "from": str(contents.path), "size": conversion.size}
    record |= {"written": not output.dry_run, "parameters": contents.parameters, "notes": list(conversion.notes)}
    if output.dry_run:
        if output.json:
            console.emit(record, json=True)
        return
    # The source is hashed while it is copied; the hash then replaces its placeholder in the metadata.
    conversion = plan(contents, to, half=half, source_sha256=_UNKNOWN_HASH)
    with (
        ThreadPoolExecutor(1) as pool,
        console.progress(conversion.size, "writing", unit="B", quiet=output.quiet) as advance,
    ):
        hashed = pool.submit(sha256_of_all, contents.files)
        write_conversion(
            conversion,
            destination,
            on_bytes=advance,
            patch_metadata=lambda text: text.replace(_UNKNOWN_HASH, hashed.result()),
        )
    console.emit(record, json=output.json)


def _plan_rows(contents: "Contents", conversion: "Conversion", destination: Path, to: str) -> dict[str, str | None]:
    parts = " and ".join(["a base"] * (contents.config is not None) + ["a control"] * (contents.control is not None))
    files = f" in {len(conversion.outputs)} files" if conversion.is_folder else ""
    return {
        "from": f"{contents.path} ({contents.layout})",
        "to": f"{destination} ({to}), {bytes_text(conversion.size)}{files}",
        "holds": f"{parts}, {count_text(contents.parameters)} parameters",
        "note": "\n".join(conversion.notes) or None,
    }
