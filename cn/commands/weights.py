"""`cn weights ACTION`: what weights there are, getting the published ones, checking them, and where they lie."""

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cn import console
from cn.commands.options import Json, Quiet
from cn.errors import CnError, UsageError, WeightsError
from cn.units import bytes_text, count_text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cn.weights.bundled import Weights
    from cn.weights.catalog import Published

app = typer.Typer(no_args_is_help=True)

_HEADING = ("NAME", "ROLE", "CONDITION", "PARAMETERS", "SIZE", "SHA-256", "HERE", "LICENSE")


@app.callback()
def _weights() -> None:
    pass


@app.command("list")
def list_(json: Json = False) -> None:
    """All weights: those that come with cn, and the published networks that detectors use.

    Name, role, condition, parameters, size, hash, whether it is here, license. The names of controls work wherever
    weights are asked for: [b]cn sample --control canny[/b]; detectors are got with [b]cn weights pull NAME[/b].
    Says "listed" where this version of cn does not have the network.
    """
    from cn.weights import bundled, catalog

    files = bundled.files()
    if json:
        for weights in files:
            console.emit(weights.record(), json=True)
        for entry in catalog.FILES:
            console.emit(catalog.record(entry), json=True)
        return
    if not files:
        console.status(f"No weights are bundled: there is no .safetensors file in {bundled.FOLDER}.")
    for line in _table([*map(_bundled_row, files), *map(_published_row, catalog.FILES)]):
        console.emit(line)


@app.command()
def pull(
    names: Annotated[
        list[str] | None,
        typer.Argument(metavar="NAME…", help="Published weights, as the list names them.", show_default=False),
    ] = None,
    kind: Annotated[
        str | None,
        typer.Option("--kind", metavar="KIND", help="All files that this version of cn can use for this condition."),
    ] = None,
    everything: Annotated[
        bool, typer.Option("--all", help="All published files that this version of cn can use.")
    ] = False,
    offline: Annotated[
        bool, typer.Option("--offline", help="Never touch the network (as CN_OFFLINE=1): fail unless all is here.")
    ] = False,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Get published weights; what is here already is checked, and what was interrupted goes on where it stopped.

    Nothing takes its place before its length and SHA-256 are right. Files go to [b]CN_WEIGHTS[/b] (a folder; default:
    cn/weights in the user's cache). [b]CN_MIRROR[/b] is the address of a mirror that has the files side by side;
    [b]HF_ENDPOINT[/b] one of huggingface.co.
    """
    entries = _asked_for(names or [], kind, everything)
    failures: list[CnError] = []
    for entry in entries:
        try:
            console.emit(_pull(entry, offline, quiet), json)
        except CnError as error:
            if json:
                console.emit({"name": entry.name, "file": entry.file, "status": "failed", "error": str(error)}, json)
            if len(entries) == 1:
                raise
            failures.append(error)
            console.error(str(error))
    if failures:
        others = "the others are here" if len(failures) < len(entries) else "none is here"
        raise WeightsError(f"{len(failures)} of {len(entries)} files could not be had; {others}")


@app.command()
def verify(
    names: Annotated[
        list[str] | None,
        typer.Argument(metavar="NAME…", help="Default: all that is here.", show_default=False),
    ] = None,
    json: Json = False,
) -> None:
    """Check weights that are here: published ones by length and SHA-256, those of cn by their structure.

    A line for each: "right"; "whole" (of cn: nothing is cut off); "unknown" (nobody published a hash).
    """
    wrong = []
    places = _to_verify(names or [])
    for name, path, entry in places:
        record = _verified(name, path, entry)
        if record["status"] == "wrong":
            wrong.append(f"{path}: {record['problem']}")
            if len(places) > 1:
                console.error(wrong[-1])
        if json:
            console.emit(record, json=True)
        elif record["status"] != "wrong":
            console.emit(f"{record['status']}  {name}  {record['sha256']}  {path}")
    if wrong:
        what = wrong[0] if len(places) == 1 else f"{len(wrong)} of {len(places)} files are not what they should be"
        raise WeightsError(f"{what}; cn weights pull gets published files anew")


@app.command()
def path(
    name: Annotated[str, typer.Argument(metavar="NAME", help="As the list names it.", show_default=False)],
    json: Json = False,
) -> None:
    """Where weights lie on this machine; exit code 4, and how to get them, when they are not here."""
    console.emit({"name": name, "path": str(_place(name)[0])}, json)


@app.command(hidden=True, context_settings={"ignore_unknown_options": True, "allow_extra_args": True})
def convert() -> None:
    """Now part of [b]cn convert[/b]."""
    raise UsageError("cn weights convert is now cn convert SRC DST")


def _asked_for(names: "Sequence[str]", kind: str | None, everything: bool) -> "list[Published]":
    from cn.weights import catalog

    if (bool(names) + (kind is not None) + everything) != 1:
        raise UsageError("say what to get: names, or --kind KIND, or --all (cn weights list shows the names)")
    if names:
        return list(dict.fromkeys(catalog.find(name) for name in names))
    found = list(catalog.FILES) if kind is None else catalog.of_kind(kind)
    if not (usable := [entry for entry in found if entry.readable]):
        others = ", ".join(entry.name for entry in found)
        raise UsageError(f"this version of cn has no network for {kind}; by their names can be had: {others}")
    return usable


def _pull(entry: "Published", offline: bool, quiet: bool) -> dict[str, Any]:
    from cn.weights.download import pull

    limits = f"; license: {entry.license}" if entry.non_commercial else ""
    console.status(f"{entry.name}: {entry.file}, {entry.size_text or 'size unknown'}{limits}", quiet=quiet)
    with console.progress(entry.size or entry.size_about, entry.name, unit="B", quiet=quiet) as advance:
        shown = 0

        def progress(done: int, total: int | None) -> None:
            nonlocal shown
            advance(done - shown)
            shown = done

        done = pull(entry, offline=offline, progress=progress)
    if not done.hash_known:
        console.warn(f"{done.path}: nobody published a hash of this file; it has the SHA-256 {done.sha256}")
    return {
        "name": entry.name,
        "file": entry.file,
        "status": "pulled" if done.fetched else "here",
        "path": str(done.path),
        "fetched": done.fetched,
        "sha256": done.sha256,
        "hash_known": done.hash_known,
        "license": entry.license,
    }


def _to_verify(names: "Sequence[str]") -> "list[tuple[str, Path, Published | None]]":
    from cn.weights import bundled, catalog

    if names:
        return [(name, *_place(name)) for name in names]
    ours: list[tuple[str, Path, Published | None]] = [
        (file.stem, file, None) for file in sorted(bundled.FOLDER.glob("*.safetensors"))
    ]
    here = [(entry.name, found, entry) for entry in catalog.FILES if (found := catalog.here(entry)) is not None]
    return [*ours, *here]


def _verified(name: str, path: "Path", entry: "Published | None") -> dict[str, Any]:
    from cn.weights import bundled, catalog

    record: dict[str, Any] = {"name": name, "path": str(path), "status": "right", "problem": None, "sha256": None}
    try:
        if entry is None:
            return record | {"status": "whole", "sha256": bundled.describe(path).sha256}
        verdict = catalog.check(entry, path)
    except CnError as error:
        return record | {"status": "wrong", "problem": str(error).removeprefix(f"{path}: ")}
    status = "wrong" if verdict.problem else "right" if verdict.hash_known else "unknown"
    return record | {"status": status, "problem": verdict.problem, "sha256": verdict.sha256}


def _place(name: str) -> "tuple[Path, Published | None]":
    """The file of a name: a published one, or one that came with cn."""
    from cn.weights import bundled, catalog

    if (entry := catalog.known(name)) is not None:
        return catalog.locate(name), entry
    try:
        return bundled.find(name), None
    except WeightsError:
        if os.sep in name:
            raise
        # Names what is like it among the published ones.
        return catalog.locate(name), catalog.find(name)


def _bundled_row(weights: "Weights") -> tuple[str, ...]:
    return (
        weights.name,
        weights.role,
        weights.kind or "-",
        count_text(weights.parameters),
        bytes_text(weights.size),
        weights.sha256[:12],
        "bundled",
        weights.license or "-",
    )


def _published_row(entry: "Published") -> tuple[str, ...]:
    from cn.weights import catalog

    here = "here" if catalog.here(entry) else "no" if entry.readable else "listed"
    size = entry.size_text.replace("about ", "~") or "-"
    kinds = ",".join(entry.kinds)
    return (entry.name, "detector", kinds, "-", size, (entry.sha256 or "-")[:12], here, entry.license)


def _table(rows: list[tuple[str, ...]]) -> list[str]:
    """Aligned columns; the heading only where a person looks, so that scripts get one line per file."""
    rows = [_HEADING, *rows] if sys.stdout.isatty() else rows
    widths = [max(len(row[column]) for row in rows) for column in range(len(_HEADING))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
