"""Networks that are stored in several files, and the index that says which tensor is in which."""

import re
from pathlib import Path

from cn.archives.archive import Archive, open_archive
from cn.checkpoints.layouts import DIFFUSERS_FOLDERS
from cn.checkpoints.read.settings import read_json
from cn.errors import InputError, WeightsError, about
from cn.text import shown

_NAMED = re.compile(r".*-(\d{5})-of-(\d{5})(\.\w+)?\.(safetensors|bin)")
_MAX_INDEXES = 20


def open_shards(index: Path) -> list[Archive]:
    """The shards of an index; each tensor must be where the index says. InputError or WeightsError otherwise."""
    with about(index):
        names = _files(index)
        if not names:
            raise InputError("has no weight_map of names to files")
        if outside := [name for name in names if Path(name).name != name or not name or name == ".."]:
            raise InputError(f"refers to a file outside its folder: {shown(outside[0])}")
        if unprintable := [name for name in names if not name.isprintable()]:
            raise InputError(f"refers to a file with an unprintable name: {shown(unprintable[0])}")
        archives = [open_archive(index.with_name(name)) for name in names]
        found = {name: archive.path.name for archive in archives for name in archive.entries}
        weights = read_json(index)["weight_map"]
        if wrong := [name for name, file in weights.items() if found.get(name) != file]:
            raise InputError(f"{shown(wrong[0])} is not in {weights[wrong[0]]}, as the index says")
        return archives


def _files(index: Path) -> list[str]:
    """The names of the files that an index lists; [] where it has no list."""
    weights = read_json(index).get("weight_map")
    if not isinstance(weights, dict) or not all(isinstance(name, str) for name in weights.values()):
        return []
    return sorted(set(weights.values()))


def reject_shard(path: Path) -> None:
    """WeightsError for a file that holds a part of a network only, according to an index beside it or its name."""
    for index in sorted(path.parent.glob("*.index*.json"))[:_MAX_INDEXES]:
        try:
            names = _files(index)
        except InputError:
            # A damaged index matters where it is read; here it only says nothing about this file.
            continue
        if len(names) > 1 and path.name in names:
            number = f"shard {names.index(path.name) + 1} of {len(names)} of {shown(index.name)}"
            raise WeightsError(f"is {number}, a part of a network; give the folder {_folder(path)}")
    if match := _NAMED.fullmatch(path.name):
        number = f"shard {int(match[1])} of {int(match[2])}"
        raise WeightsError(f"is by its name {number}, without an index of them; get the whole folder and give that")


def _folder(path: Path) -> Path:
    """The folder to give: that of the pipeline, if the file is in one."""
    pipeline = path.parent.parent
    inside = path.parent.name in DIFFUSERS_FOLDERS.values() and (pipeline / "model_index.json").is_file()
    return pipeline if inside else path.parent
