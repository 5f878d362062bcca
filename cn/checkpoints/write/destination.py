"""Whether a conversion may be written where it is to go, by the name and by what is there already. No torch."""

import os
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING

from cn.checkpoints.layouts import Layout
from cn.errors import InputError, UsageError, about
from cn.files import check_space, reason

if TYPE_CHECKING:
    from cn.checkpoints.write.plan import Conversion

_WEIGHT_SUFFIXES = (".safetensors", ".ckpt", ".pt", ".pth", ".bin")


def check_at_once(destination: Path, to: Layout, *, overwrite: bool) -> None:
    """What can be said before the source is read: UsageError and InputError as `check_destination`."""
    with about(destination):
        try:
            suffix = destination.suffix.lower()
            if to != "native" or (suffix in _WEIGHT_SUFFIXES and suffix != ".safetensors"):
                _check_name(destination, to, is_folder=to == "diffusers")
            if not overwrite and destination.is_dir():
                _check_folder(destination, (), overwrite=False)
            elif not overwrite or to == "diffusers":
                _check_file(destination, is_folder=to == "diffusers", overwrite=overwrite)
            _check_place(destination)
        except OSError as error:
            raise InputError(f"cannot be written: {reason(error)}") from error


def check_destination(conversion: "Conversion", destination: Path, to: Layout, *, overwrite: bool) -> None:
    """UsageError for an unsuitable name, InputError where files would be lost or the disk is too small."""
    is_folder = conversion.is_folder
    with about(destination):
        try:
            _check_name(destination, to, is_folder=is_folder)
            if destination.is_dir() and not is_folder:
                raise InputError("is a folder, but a file is to be written there")
            if destination.is_dir():
                _check_folder(destination, {output.name for output in conversion.outputs}, overwrite=overwrite)
            else:
                _check_file(destination, is_folder=is_folder, overwrite=overwrite)
        except OSError as error:
            raise InputError(f"cannot be written: {reason(error)}") from error
    check_space(destination.parent, conversion.size, "the new folder" if is_folder else "the new file")


def _check_name(destination: Path, to: Layout, *, is_folder: bool) -> None:
    suffix = destination.suffix.lower()
    if not is_folder:
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


def _check_folder(destination: Path, outputs: Collection[str], *, overwrite: bool) -> None:
    """What is in a folder must be replaceable: `outputs` only."""
    if not any(destination.iterdir()):
        return
    if not overwrite:
        raise InputError("is not empty; give another name, or --overwrite to replace it")
    found = (path.relative_to(destination).as_posix() for path in destination.rglob("*") if not path.is_dir())
    if (foreign := next((name for name in sorted(found) if name not in outputs), None)) is not None:
        raise InputError(f"holds {foreign}, which would be lost; give another name or remove it")


def _check_file(destination: Path, *, is_folder: bool, overwrite: bool) -> None:
    if destination.exists() and not destination.is_dir() and (is_folder or not overwrite):
        remedy = "" if is_folder else ", or --overwrite to replace it"
        raise InputError(f"already exists; give another name{remedy}")


def _check_place(destination: Path) -> None:
    """The folder that it goes into, or the first of its parents that exists, must be one that can be written to."""
    place = next(parent for parent in destination.absolute().parents if parent.exists())
    if not place.is_dir():
        raise InputError(f"cannot be written: {place} is a file, not a folder")
    if not os.access(place, os.W_OK | os.X_OK):
        raise InputError(f"cannot be written: no permission to write into {place}")
