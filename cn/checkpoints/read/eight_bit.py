"""cn's own files in 8 bits: weights with scales, and controls as differences to their base. No torch.

The header says `bits` 8: an int8 tensor NAME has its scales, one for each row, in NAME_scale. A control whose header
says `differences` stores the tensors that it copied from its base less those of the base: what training did not change
is exactly zero, and what it changed is rounded relative to the change. `cn.checkpoints.write.eight_bit` writes them.
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from cn.archives.archive import Archive, open_archive
from cn.archives.entries import Entry
from cn.archives.metadata import decode
from cn.errors import WeightsError, about
from cn.files import begin_sha256, sha256
from cn.text import shown
from cn.weights import bundled, releases

SCALE = "_scale"
LEVELS = 127

COPIED = "encoder."
"""The names of what a ControlNet copies from its base's U-Net begin with this."""

_IN_BASE = "unet."
"""The prefix of the U-Net's tensors in the file of a base."""


def joined(archive: Archive, header: Mapping[str, Any], base: Path | None = None) -> dict[str, Entry]:
    """The tensors of one of cn's own files, with scales and differences resolved; those of other files as they are.

    A control's base is the file `base`, `base.safetensors` beside the control, or the bundled one, whichever has the
    SHA-256 in the header. Raises WeightsError where none has, or a tensor has no scale or counterpart.
    """
    bits = header.get("bits", 16)
    if bits == 16:
        return dict(archive.entries)
    if bits != 8:
        raise WeightsError(f"stores weights in {shown(repr(bits))} bits, which this version of cn cannot read")
    entries = _with_scales(archive.entries)
    if header.get("role") == "control" and header.get("differences"):
        entries = _with_base(entries, _find_base(header, archive.path, base))
    return entries


def _is_scale(name: str, entries: Mapping[str, Entry]) -> bool:
    weight = entries.get(name.removesuffix(SCALE))
    return name.endswith(SCALE) and weight is not None and weight.dtype == "I8"


def _with_scales(entries: Mapping[str, Entry]) -> dict[str, Entry]:
    result = {}
    for name, entry in entries.items():
        if _is_scale(name, entries):
            continue
        if entry.dtype == "I8":
            scale = entries.get(f"{name}{SCALE}")
            if scale is None or scale.dtype != "F32" or scale.shape != entry.shape[:1] or not entry.shape:
                raise WeightsError(f"{shown(name)} has 8 bits, but not one scale for each of its rows")
            entry = replace(entry, scale=scale)
        result[name] = entry
    return result


def _with_base(entries: Mapping[str, Entry], base: Mapping[str, Entry]) -> dict[str, Entry]:
    result = dict(entries)
    for name, entry in entries.items():
        if name.startswith(COPIED):
            theirs = base.get(_IN_BASE + name)
            if theirs is None or theirs.shape != entry.shape:
                raise WeightsError(f"{shown(name)} is a difference, but its base has no tensor of this name and shape")
            result[name] = replace(entry, plus=theirs)
    return result


def _find_base(header: Mapping[str, Any], control: Path, given: Path | None) -> dict[str, Entry]:
    """The tensors of the base that a control's header names."""
    wanted = header.get("base_sha256")
    beside, own = control.with_name("base.safetensors"), bundled.FOLDER / f"{bundled.BASE_NAME}.safetensors"
    for path in _files([given, beside, own]):
        begin_sha256(path)  # Kept until the file changes: several controls of one base are opened.
        if sha256(path) == wanted:
            with about(path):
                archive = open_archive(path)
                return joined(archive, decode(archive))
    known = releases.find(str(wanted))
    of = "" if known is None else f", that of the bundled weights of {known[0].date} (cn {known[0].included}),"
    raise WeightsError(
        "stores the differences to its base, which is neither the bundled base nor beside it: put the base with the "
        f"SHA-256 {shown(str(wanted))[:12]}…{of} as base.safetensors into the same folder; cn sample, train and eval "
        "also take its path with --base"
    )


def _files(paths: Iterable[Path | None]) -> list[Path]:
    return [path for path in paths if path is not None and path.is_file()]
