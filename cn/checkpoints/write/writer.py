"""Carrying out a conversion: a file or a folder that appears whole or not at all."""

import contextlib
import os
import secrets
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

from cn.archives.write import write_safetensors
from cn.checkpoints.checkpoint import Layout
from cn.checkpoints.write.convert import Conversion, Output
from cn.errors import InputError, UsageError
from cn.files import TEMPORARY_PREFIX, TEMPORARY_SUFFIX, check_space, make_folder, reason, write_atomic

_WEIGHT_SUFFIXES = (".safetensors", ".ckpt", ".pt", ".pth", ".bin")


def check_destination(conversion: Conversion, destination: Path, to: Layout, *, overwrite: bool) -> None:
    """UsageError for a name that does not suit, InputError where something is in the way or the disk is too full."""
    try:
        _check_name(conversion, destination, to)
        _check_way(conversion, destination, overwrite)
    except OSError as error:
        raise InputError(f"{destination}: cannot be written: {reason(error)}") from error
    check_space(destination.parent, conversion.size, "the new folder" if conversion.is_folder else "the new file")


def _check_name(conversion: Conversion, destination: Path, to: Layout) -> None:
    suffix = destination.suffix.lower()
    if not conversion.is_folder:
        if suffix != ".safetensors":
            name = destination.name if destination.name.strip(".") else "weights"
            better = Path(name).with_suffix(".safetensors") if suffix in _WEIGHT_SUFFIXES else f"{name}.safetensors"
            raise UsageError(f"{destination}: cn writes .safetensors, which every tool reads; call it {better}")
        return
    if suffix in _WEIGHT_SUFFIXES:
        both = "a base and a control make a folder (--only takes one of them)"
        why = "a diffusers checkpoint is a folder" if to == "diffusers" else both
        raise UsageError(f"{destination}: {why}; give a name without {suffix}")
    if Path.cwd().is_relative_to(destination.resolve()):
        raise UsageError(f"{destination}: the working directory cannot be replaced, nor what is above it")


def _check_way(conversion: Conversion, destination: Path, overwrite: bool) -> None:
    if destination.is_dir() and not conversion.is_folder:
        raise InputError(f"{destination}: is a folder, but a file is to be written there")
    if destination.is_dir() and any(destination.iterdir()):
        if not overwrite:
            raise InputError(f"{destination}: is not empty; give another name, or --overwrite to replace it")
        ours = {output.name for output in conversion.outputs}
        found = (path.relative_to(destination).as_posix() for path in destination.rglob("*") if not path.is_dir())
        if (stranger := next((name for name in sorted(found) if name not in ours), None)) is not None:
            raise InputError(f"{destination}: holds {stranger}, which would be lost; give another name or remove it")
    elif destination.exists() and not destination.is_dir() and (conversion.is_folder or not overwrite):
        remedy = "" if conversion.is_folder else ", or --overwrite to replace it"
        raise InputError(f"{destination}: is there already; give another name{remedy}")


def deliver(
    conversion: Conversion,
    destination: Path,
    *,
    on_bytes: Callable[[int], None] | None = None,
    settle: Callable[[str], str] | None = None,
) -> None:
    """Write a checked conversion; `on_bytes` and `settle` as for `write_safetensors`. InputError as `open_atomic`."""
    make_folder(destination.parent)
    if not conversion.is_folder:
        _write(conversion.outputs[0], destination, on_bytes, settle)
        return
    with _new_folder(destination) as folder:
        for output in conversion.outputs:
            make_folder((folder / output.name).parent)
            _write(output, folder / output.name, on_bytes, settle)


def _write(
    output: Output, path: Path, on_bytes: Callable[[int], None] | None, settle: Callable[[str], str] | None
) -> None:
    if output.text is not None:
        write_atomic(path, output.text.encode())
    else:
        write_safetensors(path, output.items, output.metadata, on_bytes=on_bytes, settle=settle)


@contextlib.contextmanager
def _new_folder(destination: Path) -> Iterator[Path]:
    """A folder that takes the name `destination` when the block ends well; what was there goes only then."""
    mark = f"{TEMPORARY_PREFIX}{os.getpid()}-{secrets.token_hex(6)}"
    target = Path(os.path.realpath(destination))
    temporary, old = (target.parent / f"{mark}{suffix}" for suffix in (TEMPORARY_SUFFIX, f"-old{TEMPORARY_SUFFIX}"))
    try:
        temporary.mkdir()
        yield temporary
        if target.exists():
            os.rename(target, old)
        os.rename(temporary, target)
    except InputError as error:
        raise InputError(str(error).replace(str(temporary), str(destination))) from error
    except OSError as error:
        raise InputError(f"{destination}: cannot be written: {reason(error)}") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
        if old.exists() and not target.exists():
            os.rename(old, target)
        shutil.rmtree(old, ignore_errors=True)
