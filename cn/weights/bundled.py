"""The weights that come with cn, read from their headers without torch."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

from cn import conditions
from cn.archives.archive import open_archive
from cn.archives.entries import Entry
from cn.archives.metadata import decode
from cn.errors import InputError, UsageError, WeightsError
from cn.files import reason, sha256, stamp
from cn.weights import places

Role = Literal["base", "control", "unknown"]

FOLDER = Path(__file__).parent
"""The folder of the bundled files."""

BASE_NAME = "base"


@dataclass(frozen=True)
class Weights:
    """One weights file, as its header describes it."""

    name: str
    path: Path
    role: Role
    kind: str | None
    """The condition that a control was trained for."""
    base_sha256: str | None
    """For a control: the hash of its base."""
    parameters: int
    size: int
    """Bytes."""
    license: str | None
    metadata: Mapping[str, Any]

    @property
    def sha256(self) -> str:
        """Of the whole file, hexadecimal; read once."""
        return _sha256(self.path, stamp(self.path))

    def record(self) -> dict[str, Any]:
        """For `--json`."""
        return {
            "name": self.name,
            "role": self.role,
            "kind": self.kind,
            "base": self.base_sha256,
            "parameters": self.parameters,
            "size": self.size,
            "sha256": self.sha256,
            "license": self.license,
            "path": str(self.path),
        }


def files(folder: Path = FOLDER) -> list[Weights]:
    """The files that came with the package: the base first, then the controls by name."""
    files = [describe(path) for path in sorted(folder.glob("*.safetensors"))]
    return sorted(files, key=lambda weights: (weights.role != "base", weights.name))


def find(name_or_path: str | os.PathLike[str], folder: Path = FOLDER, *, role: Role = "unknown") -> Path:
    """The file of a bundled name ("base", "canny", "pose", …), or the path itself when a file or folder is there.

    A bundled name has priority over a file of that name in the current folder: `./canny` is the file. In a folder
    written by cn (a training run, or a base with a control) it is the file with that `role`; in a cache of the Hugging
    Face hub the current snapshot; any other folder may be diffusers'. Raises WeightsError, which says what to do, when
    there is none.
    """
    text = os.fspath(name_or_path)
    name = text if text == BASE_NAME else _kind(text)
    if name is not None and (folder / f"{name}.safetensors").is_file():
        return folder / f"{name}.safetensors"
    path = Path(text)
    try:
        if path.is_file():
            return path
        if text and path.is_dir():
            return _inside(places.snapshot(path), role)
        if text and path.exists():
            raise InputError("is neither a file nor a folder", path=text)
    except OSError as error:
        raise InputError(f"cannot be read: {reason(error)}", path=text) from error
    raise places.missing(text, _names(folder, role))


def portable_name(name_or_path: str, *, role: Role = "unknown") -> str:
    """A name that is valid in any folder: a bundled name as it is, or an absolute path. Raises as `find`."""
    bundled_file = find(name_or_path, role=role).parent == FOLDER and os.sep not in name_or_path
    return name_or_path if bundled_file else os.path.abspath(name_or_path)


def _inside(path: Path, role: Role) -> Path:
    """The file with this role in a folder written by cn; any other folder itself."""
    ours = [file for name in ("base", "control") if (file := path / f"{name}.safetensors").is_file()]
    wanted = [file for file in ours if role in ("unknown", file.stem)]
    if ours and not wanted:
        raise WeightsError(f"this folder has no {role}.safetensors", path=path)
    return wanted[0] if len(wanted) == 1 else path


def _names(folder: Path, role: Role) -> list[str]:
    """The bundled names with this `role`, by their file names only, so that a broken file does not hide the others."""
    names = sorted(file.stem for file in folder.glob("*.safetensors"))
    return [name for name in names if role == "unknown" or (role == "base") == (name == BASE_NAME)]


def describe(path: str | os.PathLike[str]) -> Weights:
    """The description in the header of a weights file, read once; InputError when it is not one, or is cut off."""
    return _describe(Path(path), stamp(path))


@cache
def _describe(path: Path, stamp: tuple[int, ...]) -> Weights:
    archive = open_archive(path)
    metadata = decode(archive)
    role = metadata.get("role")
    return Weights(
        name=path.stem,
        path=path,
        role=role if role in ("base", "control") else "unknown",
        kind=metadata.get("kind"),
        base_sha256=metadata.get("base_sha256") or None,
        parameters=_parameters(archive.entries),
        size=path.stat().st_size,
        # Headers written by version 0.1 have the second spelling.
        license=metadata.get("license") or metadata.get("licence"),
        metadata=metadata,
    )


def _parameters(entries: Mapping[str, Entry]) -> int:
    """Without the scales of weights in 8 bits (`cn.checkpoints.read.eight_bit`)."""
    scales = {f"{name}_scale" for name, entry in entries.items() if entry.dtype == "I8"}
    return sum(entry.elements for name, entry in entries.items() if name not in scales)


def _kind(name: str) -> str | None:
    """ "openpose" for "pose"; None for other names."""
    try:
        return conditions.get(name).kind
    except UsageError:
        return None


@cache
def _sha256(path: Path, stamp: tuple[int, ...]) -> str:
    return sha256(path)
