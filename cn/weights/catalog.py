"""The catalog of published weights: every network file that serves a condition, as data, and where it lies here.

Sizes, hashes and licenses are those of the files as they were published; a hash may be known by its beginning only.
Files are never part of the package: `cn.weights.download` gets them, `locate` finds them. No torch.
"""

import difflib
import hashlib
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cn import conditions
from cn.errors import UsageError, WeightsError
from cn.files import sha256
from cn.units import bytes_text
from cn.weights import cache
from cn.weights.published_file import CAPTIONS, Published
from cn.weights.published_lines import LINES
from cn.weights.published_people import PEOPLE
from cn.weights.published_scenes import SCENES

FILES: tuple[Published, ...] = (*LINES, *PEOPLE, *SCENES)
"""All of them; origins on Hugging Face are pinned to a revision where one is known."""

__all__ = [
    "CAPTIONS",
    "FILES",
    "Published",
    "Verdict",
    "check",
    "check_hash",
    "find",
    "here",
    "known",
    "locate",
    "of_kind",
    "record",
]

WITHOUT_WEIGHTS = {
    "hough": "--method lsd",
    "hed": "--method gradient",
    "scribble": "--method gradient or --from-drawing",
    "lineart": "--method standard",
}
"""What `cn detect KIND` can do without any file."""


@dataclass(frozen=True)
class Verdict:
    """What a look at a file's length and hash gave."""

    problem: str | None
    """Why it is not the published file; None when nothing speaks against it."""
    sha256: str
    hash_known: bool
    """False where nobody published a hash of this file, so that only its length could be checked."""


def find(name: str) -> Published:
    """The file of this name: its short name ("mlsd-large"), or its file name with or without ending.

    Raises WeightsError, naming the nearest names, for any other.
    """
    if (entry := known(name)) is not None:
        return entry
    near = difflib.get_close_matches(name.lower(), [entry.name for entry in FILES], n=3, cutoff=0.5)
    hint = f"did you mean {' or '.join(near)}? " if near else ""
    raise WeightsError(f"no published weights are called {name!r}: {hint}cn weights list shows all")


def known(name: str) -> Published | None:
    """As `find`, but None for a name that is not in the catalog."""
    wanted = name.lower()
    for entry in FILES:
        files = [file.lower() for file in (entry.file, *entry.aliases)]
        if wanted in (entry.name, *files, *(file.rpartition(".")[0] for file in files)):
            return entry
    return None


def of_kind(kind: str, method: str | None = None) -> list[Published]:
    """The files that serve a condition, or one method of it, the usual one first.

    UsageError for an unknown condition, or for one that no file serves.
    """
    kind = kind if kind == CAPTIONS else conditions.get(kind).kind
    found = [entry for entry in FILES if kind in entry.kinds and method in (None, entry.method)]
    if not found:
        raise UsageError(f"no published weights serve {kind}" + (f" by the method {method}" if method else ""))
    return found


def here(entry: Published) -> Path | None:
    """Where `entry` lies on this machine: our folder, then other programs' caches; None when it is nowhere.

    The length has to be right where it is known exactly; the hash was checked when we put it there.
    """
    for path in _places(entry):
        if os.path.isfile(path) and (entry.size is None or path.stat().st_size == entry.size):
            return path
    return None


def locate(name: str, given: str | os.PathLike[str] | None = None) -> Path:
    """The file to load: what was `given` (`--weights FILE`) wins, else the published file `name` where it lies here.

    Raises WeightsError that names the file, the command that gets it and the folder where it belongs, and the method
    that needs no file where there is one. Never touches the network.
    """
    if given is not None:
        if not os.path.isfile(given):
            what = "is no file" if os.path.exists(given) else "no such weights file"
            raise WeightsError(f"{os.fspath(given)}: {what}; give the path of {find(name).file}")
        return Path(given)
    entry = find(name)
    if (found := here(entry)) is not None:
        return found
    folder = cache.folder()
    size = f" ({entry.size_text})" if entry.size_text else ""
    message = f"{entry.file}: these weights{size} are not here; cn weights pull {entry.name} gets them"
    if os.path.isfile(wrong := folder / entry.file):
        length = bytes_text(wrong.stat().st_size)
        message = f"{wrong}: is damaged ({length}, not {entry.size_text}); cn weights pull {entry.name} gets it anew"
    message += f", or put the file into {folder}, or give it with --weights"
    ways = [f"{kind}: {WITHOUT_WEIGHTS[kind]}" for kind in entry.kinds if kind in WITHOUT_WEIGHTS]
    raise WeightsError(message + (f" (without any weights, {'; '.join(ways)})" if ways else ""))


def check(entry: Published, path: Path) -> Verdict:
    """Whether the file at `path` is `entry`, by length and hash. InputError when it cannot be read."""
    found = sha256(path)
    known_hash = entry.sha256 or ""
    length = path.stat().st_size
    problem = None
    if entry.size is not None and length != entry.size:
        problem = f"has {length:,} bytes, not {entry.size:,}"
    elif not found.startswith(known_hash):
        problem = f"has the SHA-256 {found[:12]}…, not {known_hash[:12]}…"
    elif entry.md5 is not None and (other := _md5(path)) != entry.md5:
        problem = f"has the MD5 {other[:12]}…, not {entry.md5[:12]}…"
    return Verdict(problem, found, bool(known_hash or entry.md5))


def check_hash(entry: Published, path: str | os.PathLike[str], found: str) -> None:
    """WeightsError where a file that was found by its name has another SHA-256 than the published one."""
    if not found.startswith(entry.sha256 or ""):
        raise WeightsError(
            f"{os.fspath(path)}: is damaged, or another file: it has the SHA-256 {found[:12]}…, not "
            f"{(entry.sha256 or '')[:12]}…; cn weights pull {entry.name} gets it anew, --weights takes it as it is"
        )


def _md5(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "md5").hexdigest()


def record(entry: Published) -> dict[str, Any]:
    """For `--json`."""
    path = here(entry)
    return {
        "name": entry.name,
        "role": "detector",
        "kind": entry.kinds[0],
        "kinds": list(entry.kinds),
        "method": entry.method,
        "file": entry.file,
        "about": entry.about,
        "size": entry.size,
        "size_about": entry.size_about,
        "sha256": entry.sha256 if entry.sha256 and len(entry.sha256) == 64 else None,
        "sha256_begins": entry.sha256,
        "md5": entry.md5,
        "license": entry.license,
        "non_commercial": entry.non_commercial,
        "readable": entry.readable,
        "origins": list(entry.origins),
        "path": None if path is None else str(path),
    }


def _places(entry: Published) -> list[Path]:
    names = (entry.file, *entry.aliases)
    places = [cache.folder() / name for name in names]
    for origin in entry.origins:
        if match := re.fullmatch(r"https://huggingface\.co/([^/]+)/([^/]+)/resolve/([^/]+)/(.+)", origin):
            owner, repository, revision, path = match.groups()
            snapshots = cache.hugging_face() / f"models--{owner}--{repository}" / "snapshots"
            places.append(snapshots / revision / path)
    return [*places, *(cache.torch_hub() / name for name in names)]
