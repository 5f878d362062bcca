"""Names of weights that are no file: caches of the Hugging Face hub, names of repositories, URLs, typos."""

import difflib
import os
import re
from collections.abc import Iterable
from itertools import islice
from pathlib import Path

from cn.errors import WeightsError
from cn.text import first_names
from cn.weights import cache

_MODEL = "models--"
_REPOSITORY = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*", re.ASCII)
_MAX_NEIGHBORS = 2000


def snapshot(path: Path) -> Path:
    """The files of a model in a cache of the hub, given its folder there (models--OWNER--NAME), `snapshots` in it, or
    a cache with one model; any other folder as it is.

    It is the snapshot of `refs/main`, or the only one. Raises WeightsError, which lists them, where there are several.
    """
    name = os.path.basename(os.path.abspath(path))
    if name.startswith(_MODEL) and (path / "snapshots").is_dir():
        return _current(path)
    if name == "snapshots" and os.path.basename(os.path.dirname(os.path.abspath(path))).startswith(_MODEL):
        return _current(Path(os.path.dirname(os.path.abspath(path))))
    for folder in (path, path / "hub"):
        models = sorted(model for model in folder.glob(f"{_MODEL}*") if (model / "snapshots").is_dir())
        if len(models) == 1:
            return _current(models[0])
        if models:
            names = first_names((model.name for model in models), 5)
            raise WeightsError(f"is a cache of {len(models)} models; give the folder of one: {names}", path=folder)
    return path


def _current(model: Path) -> Path:
    try:
        revision = (model / "refs" / "main").read_text(encoding="utf-8").strip()
    except (OSError, ValueError):
        revision = ""
    if re.fullmatch(r"\w+", revision) and (model / "snapshots" / revision).is_dir():
        return model / "snapshots" / revision
    found = sorted(folder for folder in (model / "snapshots").iterdir() if folder.is_dir())
    if len(found) == 1:
        return found[0]
    if not found:
        raise WeightsError("has no snapshot: its download did not finish; download it again", path=model)
    names = first_names((folder.name for folder in found), 5)
    raise WeightsError(f"holds {len(found)} snapshots and does not say which is current; give one: {names}", path=model)


def missing(text: str, names: Iterable[str]) -> WeightsError:
    """The error for what is neither one of the bundled `names` nor a file or folder: what to do depends on its form."""
    listed = list(names)
    here = f"bundled are: {', '.join(listed)}" if listed else "this installation has none bundled"
    if re.match(r"[a-z]+://", text):
        return WeightsError("is a URL; download the file and give its path", path=text)
    if _REPOSITORY.fullmatch(text) and not Path(text).parent.exists() and not _is_weights(text):
        return WeightsError(f"no such file or folder, and cn does not ask model hubs; {_download(text)}", path=text)
    near = _nearest(text, listed)
    hint = f"did you mean {near}? " if near else ""
    if Path(text).suffix or os.sep in text:
        return WeightsError(
            f"no such weights file; {hint}give the path of a file or folder of weights, or a name ({here})", path=text
        )
    return WeightsError(f"no weights are called {text!r}: {hint}{here}; or give the path of a file or folder")


def _is_weights(text: str) -> bool:
    return text.lower().endswith((".safetensors", ".ckpt", ".pt", ".pth", ".bin", ".pkl"))


def _download(repository: str) -> str:
    """What to do about the name of a repository: it is in the cache already, or how to get it there."""
    cached = cache.hugging_face() / f"{_MODEL}{repository.replace('/', '--')}"
    if cached.is_dir():
        return f"it is in the cache of the Hugging Face hub: give {cached}"
    folder = repository.rpartition("/")[2]
    how = f"hf download {repository} --local-dir {folder}, then give {folder}"
    return f"to use a repository of the Hugging Face hub: {how}"


def _nearest(text: str, names: list[str]) -> str | None:
    """A bundled name, or a file in the same folder, that differs in a letter or two."""
    folder, name = os.path.split(text)
    try:
        with os.scandir(folder or ".") as entries:
            there = [os.path.join(folder, entry.name) for entry in islice(entries, _MAX_NEIGHBORS)]
    except (OSError, ValueError):
        there = []
    close = difflib.get_close_matches(text, [*(names if not folder else ()), *there], n=1, cutoff=0.85)
    return close[0] if name and close and close[0].isprintable() else None
