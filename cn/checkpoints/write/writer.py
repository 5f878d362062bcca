"""Write a planned conversion: a file or a folder, atomically."""

import contextlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path

from cn.archives.write import write_safetensors
from cn.checkpoints.layouts import Layout
from cn.checkpoints.write.plan import Conversion, Output
from cn.errors import InputError, UsageError, about
from cn.files import check_space, make_folder, reason, write_atomic
from cn.temporaries import replace_folder, temporary_folder

_WEIGHT_SUFFIXES = (".safetensors", ".ckpt", ".pt", ".pth", ".bin")


def check_destination(conversion: Conversion, destination: Path, to: Layout, *, overwrite: bool) -> None:
    """UsageError for an unsuitable name, InputError where files would be lost or the disk is too small."""
    with about(destination):
        try:
            _check_name(conversion, destination, to)
            _check_existing(conversion, destination, overwrite)
        except OSError as error:
            raise InputError(f"cannot be written: {reason(error)}") from error
    check_space(destination.parent, conversion.size, "the new folder" if conversion.is_folder else "the new file")


def _check_name(conversion: Conversion, destination: Path, to: Layout) -> None:
    suffix = destination.suffix.lower()
    if not conversion.is_folder:
        if suffix != ".safetensors":
            name = destination.name if destination.name.strip(".") else "weights"
            better = Path(name).with_suffix(".safetensors") if suffix in _WEIGHT_SUFFIXES else f"{name}.safetensors"
            raise UsageError(f"cn writes .safetensors files, which every tool reads; name it {better}")
        return
    if suffix in _WEIGHT_SUFFIXES:
        both = "a base and a control are written as a folder (--only selects one of them)"
        why = "a diffusers checkpoint is a folder" if to == "diffusers" else both
        raise UsageError(f"{why}; give a name without {suffix}")
    if Path.cwd().is_relative_to(destination.resolve()):
        raise UsageError("the working directory and its parents cannot be replaced")


def _check_existing(conversion: Conversion, destination: Path, overwrite: bool) -> None:
    if destination.is_dir() and not conversion.is_folder:
        raise InputError("is a folder, but a file is to be written there")
    if destination.is_dir() and any(destination.iterdir()):
        if not overwrite:
            raise InputError("is not empty; give another name, or --overwrite to replace it")
        ours = {output.name for output in conversion.outputs}
        found = (path.relative_to(destination).as_posix() for path in destination.rglob("*") if not path.is_dir())
        if (foreign := next((name for name in sorted(found) if name not in ours), None)) is not None:
            raise InputError(f"holds {foreign}, which would be lost; give another name or remove it")
    elif destination.exists() and not destination.is_dir() and (conversion.is_folder or not overwrite):
        remedy = "" if conversion.is_folder else ", or --overwrite to replace it"
        raise InputError(f"already exists; give another name{remedy}")


def write_conversion(
    conversion: Conversion,
    destination: Path,
    *,
    on_bytes: Callable[[int], None] | None = None,
    patch_metadata: Callable[[str], str] | None = None,
) -> None:
    """Write a checked conversion; options are those of `write_safetensors`, errors those of `open_atomic`."""
    make_folder(destination.parent)
    if not conversion.is_folder:
        _write(conversion.outputs[0], destination, on_bytes, patch_metadata)
        return
    with _new_folder(destination) as folder:
        for output in conversion.outputs:
            make_folder((folder / output.name).parent)
            _write(output, folder / output.name, on_bytes, patch_metadata)


def _write(
    output: Output, path: Path, on_bytes: Callable[[int], None] | None, patch_metadata: Callable[[str], str] | None
) -> None:
    if output.text is not None:
        write_atomic(path, output.text.encode())
    else:
        write_safetensors(path, output.items, output.metadata, on_bytes=on_bytes, patch_metadata=patch_metadata)


@contextlib.contextmanager
def _new_folder(destination: Path) -> Iterator[Path]:
    """A temporary folder that replaces `destination` when the block ends without an exception."""
    target = Path(os.path.realpath(destination))
    try:
        with temporary_folder(target.parent) as temporary:
            try:
                yield temporary
            except InputError as error:
                if error.path is not None and Path(error.path).is_relative_to(temporary):
                    error.path = str(destination / Path(error.path).relative_to(temporary))
                raise
            replace_folder(temporary, target)
    except OSError as error:
        raise InputError(f"cannot be written: {reason(error)}", path=destination) from error
