"""The catalog of published weights: what is known of each file, and where it is on this machine.

The facts are in `catalog.toml`, as the files were published. Which network reads a file, and which conditions it
serves, is in `cn.detect.registry`; `cn.detect.published` joins the two. Files are never part of the package:
`cn.weights.download` gets them, `locate` finds them. No torch.
"""

import difflib
import functools
import hashlib
import os
import re
import tomllib
from dataclasses import dataclass
from pathlib import Path

from cn.errors import WeightsError
from cn.files import sha256
from cn.units import bytes_text
from cn.weights import cache

NON_COMMERCIAL = "non-commercial"
"""What the license of a file says that must not be used commercially."""

CAPTIONS = "captions"
"""In place of a condition: files that write prompts for images."""


@dataclass(frozen=True)
class PublishedFile:
    """One published file of weights."""

    name: str
    """Name on the command line: lower case, unique, not the name of a condition."""
    file: str
    about: str
    license: str
    origins: tuple[str, ...]
    """URLs, tried in order."""
    size: int | None = None
    """Bytes, exactly; None when known roughly only, or unknown."""
    size_about: int | None = None
    """Bytes, roughly, where `size` is None."""
    sha256: str | None = None
    """Hexadecimal: all 64 digits, or the known beginning; None where nobody published it."""
    md5: str | None = None
    """Hexadecimal, of files whose publisher gives nothing better."""
    aliases: tuple[str, ...] = ()
    """Other names under which the same file is published."""
    conditions: tuple[str, ...] = ()
    """Of files that no network of cn reads: the conditions that they serve, their own first; or `CAPTIONS`."""
    method: str | None = None
    """Of files that no network of cn reads."""

    @property
    def non_commercial(self) -> bool:
        return NON_COMMERCIAL in self.license

    @property
    def size_text(self) -> str:
        """ "6.3 MB", "about 58.9 MB", or "" when unknown."""
        if self.size is not None:
            return bytes_text(self.size)
        return f"about {bytes_text(self.size_about)}" if self.size_about else ""


@dataclass(frozen=True)
class Verdict:
    """The result of checking a file's length and hash."""

    problem: str | None
    """Why it is not the published file; None when it passed the check."""
    sha256: str
    hash_known: bool
    """False where nobody published a hash of this file, so that only its length could be checked."""


@functools.cache
def files() -> tuple[PublishedFile, ...]:
    """All published files."""
    data = tomllib.loads(Path(__file__).with_name("catalog.toml").read_text(encoding="utf-8"))
    return tuple(_published_file(row, data["origins"]) for row in data["file"])


def _published_file(row: dict[str, object], prefixes: dict[str, str]) -> PublishedFile:
    facts = {key: tuple(value) if isinstance(value, list) else value for key, value in row.items()}
    entry = PublishedFile(**facts)  # type: ignore[arg-type]
    origins = tuple(origin.format(file=entry.file, **prefixes) for origin in entry.origins)
    return PublishedFile(**facts | {"origins": origins})  # type: ignore[arg-type]


def find(name: str) -> PublishedFile:
    """The file of this name: its short name ("mlsd-large"), or its file name with or without suffix.

    Raises WeightsError, which suggests the closest names, for any other.
    """
    if (entry := known(name)) is not None:
        return entry
    near = difflib.get_close_matches(name.lower(), [entry.name for entry in files()], n=3, cutoff=0.7)
    hint = f"did you mean {' or '.join(near)}? " if near else ""
    raise WeightsError(f"no published weights are called {name!r}: {hint}cn weights list shows all")


def known(name: str) -> PublishedFile | None:
    """As `find`, but None for a name that is not in the catalog."""
    wanted = name.lower()
    for entry in files():
        names = [file.lower() for file in (entry.file, *entry.aliases)]
        if wanted in (entry.name, *names, *(file.rpartition(".")[0] for file in names)):
            return entry
    return None


def find_local(entry: PublishedFile) -> Path | None:
    """Where `entry` is on this machine: our folder, then other programs' caches; None when it is nowhere.

    The length has to be right where it is known exactly; the hash was checked when the file was downloaded.
    """
    for path in _candidates(entry):
        if os.path.isfile(path) and (entry.size is None or path.stat().st_size == entry.size):
            return path
    return None


def locate(
    name: str, given: str | os.PathLike[str] | None = None, *, otherwise: str = "", flag: str = "--weights"
) -> Path:
    """The file to load: `given` (`flag` FILE) takes precedence over the published file `name`, if it is here.

    Raises WeightsError that names the file, the command that gets it and the folder where it belongs, and adds
    `otherwise`: what can be done without it. Never touches the network.
    """
    entry = find(name)
    if given is not None:
        if not os.path.isfile(given):
            what = "is not a file" if os.path.exists(given) else "no such weights file"
            raise WeightsError(f"{what}; give the path of {entry.file}", path=given)
        return Path(given)
    if (found := find_local(entry)) is not None:
        return found
    folder = cache.folder()
    elsewhere = f", or put the file into {folder}, or give it with {flag}{otherwise}"
    if os.path.isfile(damaged := folder / entry.file):
        what = f"is damaged ({bytes_text(damaged.stat().st_size)}, not {entry.size_text})"
        raise WeightsError(f"{what}; cn weights pull {entry.name} gets it again{elsewhere}", path=damaged)
    size = f" ({entry.size_text})" if entry.size_text else ""
    what = f"these weights{size} are not here; cn weights pull {entry.name} gets them"
    raise WeightsError(what + elsewhere, path=entry.file)


def check(entry: PublishedFile, path: Path) -> Verdict:
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


def check_hash(entry: PublishedFile, path: str | os.PathLike[str], found: str) -> None:
    """WeightsError where a file that was found by its name has another SHA-256 than the published one."""
    if not found.startswith(entry.sha256 or ""):
        raise WeightsError(
            f"is damaged, or another file: it has the SHA-256 {found[:12]}…, not {(entry.sha256 or '')[:12]}…; "
            f"cn weights pull {entry.name} gets it again, --weights takes it as it is",
            path=path,
        )


def _md5(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "md5").hexdigest()


def _candidates(entry: PublishedFile) -> list[Path]:
    """The paths where the file may be, our own folder first."""
    names = (entry.file, *entry.aliases)
    paths = [cache.folder() / name for name in names]
    for origin in entry.origins:
        if match := re.fullmatch(r"https://huggingface\.co/([^/]+)/([^/]+)/resolve/([^/]+)/(.+)", origin):
            owner, repository, revision, path = match.groups()
            snapshots = cache.hugging_face() / f"models--{owner}--{repository}" / "snapshots"
            paths.append(snapshots / revision / path)
    return [*paths, *(cache.torch_hub() / name for name in names)]
