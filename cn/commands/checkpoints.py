"""What `cn convert` and `cn transfer` share: the options on their output, and writing it."""

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cn import console
from cn.checkpoints.layouts import Layout
from cn.commands.options import OUTPUT_PANEL
from cn.errors import UsageError
from cn.options import Option
from cn.units import bytes_text, count_text

if TYPE_CHECKING:
    from cn.checkpoints.read.contents import Contents
    from cn.checkpoints.write.plan import Conversion

_UNKNOWN_HASH = "?" * 64


@dataclass(frozen=True)
class Output:
    """The options on what is written."""

    to: Annotated[
        Layout,
        Option(
            "The layout: cn's own, the original single file (for web UIs, ComfyUI, the official code) or diffusers.",
            panel=OUTPUT_PANEL,
        ),
    ] = "native"
    half: Annotated[bool, Option("Write half precision (F16).", panel=OUTPUT_PANEL)] = False
    dry_run: Annotated[bool, Option("Check everything and print the plan; write nothing.", panel=OUTPUT_PANEL)] = False
    overwrite: Annotated[bool, Option("Replace the destination if it exists.", panel=OUTPUT_PANEL)] = False


def destination_argument(metavar: str) -> Any:
    """The argument that names what is written."""
    return typer.Argument(metavar=metavar, help="A .safetensors file; for diffusers a folder.", show_default=False)


def destination(path: str, output: Output) -> Path:
    """The place to write to: UsageError or InputError for what can be refused before anything is read."""
    from cn.checkpoints.write.destination import check_at_once

    if not path:
        raise UsageError("the destination is empty: give the name of a file, or of a folder for diffusers")
    check_at_once(Path(path), output.to, overwrite=output.overwrite)
    return Path(path)


def write_contents(
    contents: "Contents",
    target: Path,
    output: Output,
    *,
    json: bool,
    quiet: bool,
    title: str = "Converting",
    rows: Mapping[str, str] = MappingProxyType({}),
) -> None:
    """Convert `contents`: plan, check, print the plan (with further `rows`), write, report."""
    from cn.checkpoints.write.destination import check_destination
    from cn.checkpoints.write.plan import plan
    from cn.checkpoints.write.writer import write_conversion
    from cn.files import sha256_of_all

    to = output.to
    conversion = plan(contents, to, half=output.half)
    check_destination(conversion, target, to, overwrite=output.overwrite)
    console.plan(title, {**rows, **_plan_rows(contents, conversion, target, to)}, quiet=quiet)
    record = {"path": str(target), "layout": to, "from": str(contents.path), "size": conversion.size}
    record |= {"written": not output.dry_run, "parameters": contents.parameters, "notes": list(conversion.notes)}
    if output.dry_run:
        if json:
            console.emit(record, json=True)
        return
    # The source is hashed while it is copied; the hash then replaces its placeholder in the metadata.
    conversion = plan(contents, to, half=output.half, source_sha256=_UNKNOWN_HASH)
    with (
        ThreadPoolExecutor(1) as pool,
        console.progress(conversion.size, "writing", unit="B", quiet=quiet) as advance,
    ):
        hashed = pool.submit(sha256_of_all, contents.files)
        write_conversion(
            conversion,
            target,
            on_bytes=advance,
            patch_metadata=lambda text: text.replace(_UNKNOWN_HASH, hashed.result()),
        )
    console.emit(record, json=json)


def _plan_rows(contents: "Contents", conversion: "Conversion", target: Path, to: str) -> dict[str, str | None]:
    parts = " and ".join(["a base"] * (contents.config is not None) + ["a control"] * (contents.control is not None))
    files = f" in {len(conversion.outputs)} files" if conversion.is_folder else ""
    return {
        "from": f"{contents.path} ({contents.layout})",
        "to": f"{target} ({to}), {bytes_text(conversion.size)}{files}",
        "holds": f"{parts}, {count_text(contents.parameters)} parameters",
        "note": "\n".join(conversion.notes) or None,
    }
