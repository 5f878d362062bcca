"""Write a planned conversion: a file or a folder, atomically."""

import contextlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path

from cn.archives.write import write_safetensors
from cn.checkpoints.write.plan import Conversion, Output
from cn.errors import InputError
from cn.files import make_folder, reason, write_atomic
from cn.temporaries import replace_folder, temporary_folder


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
