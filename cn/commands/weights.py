"""`cn weights ACTION`: list weights, describe them, download the published ones, check them, say where they are."""

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cn import console
from cn.commands import weights_show
from cn.commands.options import Json, Quiet
from cn.errors import CnError, UsageError, WeightsError
from cn.units import bytes_text, count_text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cn.weights.bundled import Weights
    from cn.weights.catalog import PublishedFile

app = typer.Typer(no_args_is_help=True)

_HEADING = ("NAME", "ROLE", "CONDITION", "PARAMETERS", "SIZE", "SHA-256", "HERE", "LICENSE")


@app.callback()
def _weights() -> None:
    pass


@app.command("list")
def list_(json: Json = False) -> None:
    """All weights: those that come with cn, and the published networks that detectors use.

    Name, role, condition, parameters, size, hash, whether it is here, license. The names of controls work wherever
    weights are expected: [b]cn sample --control canny[/b]. [b]cn weights pull NAME[/b] downloads a detector's.
    "listed" means that this version of cn does not have the network.
    """
    from cn.detect import published
    from cn.weights import bundled, catalog

    files = bundled.files()
    if json:
        for weights in files:
            console.emit(weights.record(), json=True)
        for entry in catalog.files():
            console.emit(published.record(entry), json=True)
        return
    if not files:
        console.status(f"No weights are bundled: there is no .safetensors file in {bundled.FOLDER}.")
    rows = [*map(_bundled_row, files), *map(_published_row, catalog.files())]
    if console.is_terminal(sys.stdout):
        _print_table(rows)
    else:
        for line in _aligned(rows):
            console.emit(line)


app.command()(weights_show.show)


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
        bool, typer.Option("--offline", help="Never use the network (as CN_OFFLINE=1): fail unless everything is here.")
    ] = False,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Download published weights: files that are here are checked, interrupted downloads are resumed.

    A file gets its name only after its length and SHA-256 were checked. Files go to the folder [b]CN_WEIGHTS[/b]
    (default: cn/weights in the user's cache). [b]CN_MIRROR[/b] is the URL of a mirror that has all files in one folder;
    [b]HF_ENDPOINT[/b] is that of a mirror of huggingface.co.
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
        raise WeightsError(f"{len(failures)} of {len(entries)} downloads failed; {others}")


@app.command()
def verify(
    names: Annotated[
        list[str] | None,
        typer.Argument(metavar="NAME…", help="Default: all that is here.", show_default=False),
    ] = None,
    json: Json = False,
) -> None:
    """Check weights that are here: published ones by length and SHA-256, those of cn by their structure.

    One line for each: "ok"; "intact" (bundled weights, nothing is cut off); "unknown" (nobody published a hash).
    """
    wrong: list[CnError] = []
    places = _to_verify(names or [])
    for name, path, entry in places:
        record = _verified(name, path, entry)
        if record["status"] == "wrong":
            wrong.append(WeightsError(record["problem"], path=path))
            if len(places) > 1:
                console.error(str(wrong[-1]))
        if json:
            console.emit(record, json=True)
        elif record["status"] != "wrong":
            console.emit(f"{record['status']}  {name}  {record['sha256']}  {path}")
    again = "cn weights pull downloads published files again"
    if wrong and len(places) == 1:
        raise WeightsError(f"{wrong[0].what}; {again}", path=wrong[0].path)
    if wrong:
        raise WeightsError(f"{len(wrong)} of {len(places)} files are not what they should be; {again}")


@app.command()
def path(
    name: Annotated[str, typer.Argument(metavar="NAME", help="As the list names it.", show_default=False)],
    json: Json = False,
) -> None:
    """Where weights are on this machine; exit code 4, and how to get them, when they are not here."""
    console.emit({"name": name, "path": str(_place(name)[0])}, json)


@app.command(hidden=True, context_settings={"ignore_unknown_options": True, "allow_extra_args": True})
def convert() -> None:
    """Now part of [b]cn convert[/b]."""
    raise UsageError("cn weights convert is now cn convert SRC DST")


def _asked_for(names: "Sequence[str]", kind: str | None, everything: bool) -> "list[PublishedFile]":
    from cn.detect import published
    from cn.weights import catalog

    if (bool(names) + (kind is not None) + everything) != 1:
        raise UsageError("say what to get: names, or --kind KIND, or --all (cn weights list shows the names)")
    if names:
        return list(dict.fromkeys(_published(name) for name in names))
    found = list(catalog.files()) if kind is None else published.of_kind(kind)
    if not (usable := [entry for entry in found if published.readable(entry)]):
        others = ", ".join(entry.name for entry in found)
        raise UsageError(
            f"this version of cn has no network for {kind}; files that can be downloaded by name: {others}"
        )
    return usable


def _published(name: str) -> "PublishedFile":
    """The published file of a name; for the name of a condition, the error says what there is for it."""
    from cn.detect import published
    from cn.weights import bundled, catalog

    if catalog.known(name) is None:
        hints = []
        if any(file.name == name for file in bundled.files()):
            hints.append("it comes with cn, so there is nothing to download")
        if any(name in published.kinds(entry) and published.readable(entry) for entry in catalog.files()):
            hints.append(f"cn weights pull --kind {name} gets the networks of its detector")
        if hints:
            raise WeightsError(f"no published weights are called {name!r}: {'; '.join(hints)}")
    return catalog.find(name)


def _pull(entry: "PublishedFile", offline: bool, quiet: bool) -> dict[str, Any]:
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


def _to_verify(names: "Sequence[str]") -> "list[tuple[str, Path, PublishedFile | None]]":
    from cn.weights import bundled, catalog

    if names:
        return [(name, *_place(name)) for name in names]
    ours: list[tuple[str, Path, PublishedFile | None]] = [
        (file.stem, file, None) for file in sorted(bundled.FOLDER.glob("*.safetensors"))
    ]
    here = [(entry.name, found, entry) for entry in catalog.files() if (found := catalog.find_local(entry)) is not None]
    return [*ours, *here]


def _verified(name: str, path: "Path", entry: "PublishedFile | None") -> dict[str, Any]:
    from cn.checkpoints.read.recognize import recognize
    from cn.weights import bundled, catalog

    record: dict[str, Any] = {"name": name, "path": str(path), "status": "ok", "problem": None, "sha256": None}
    try:
        if entry is None:
            weights = bundled.describe(path)
            if weights.metadata.get("differences"):
                recognize(path)  # Without its base, whole as it is, nothing can read it.
            return record | {"status": "intact", "sha256": weights.sha256}
        verdict = catalog.check(entry, path)
    except CnError as error:
        return record | {"status": "wrong", "problem": error.what}
    status = "wrong" if verdict.problem else "ok" if verdict.hash_known else "unknown"
    return record | {"status": status, "problem": verdict.problem, "sha256": verdict.sha256}


def _place(name: str) -> "tuple[Path, PublishedFile | None]":
    """The file of a name: a published one, or one that came with cn."""
    from cn.detect import published
    from cn.weights import bundled, catalog

    if (entry := catalog.known(name)) is not None:
        return published.locate(name), entry
    try:
        return bundled.find(name), None
    except WeightsError:
        if os.sep in name:
            raise
        # Its error suggests the published names that are close.
        return published.locate(name), catalog.find(name)


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


def _published_row(entry: "PublishedFile") -> tuple[str, ...]:
    from cn.detect import published
    from cn.weights import catalog

    here = "here" if catalog.find_local(entry) else "no" if published.readable(entry) else "listed"
    size = entry.size_text.replace("about ", "~") or "-"
    kinds = ",".join(published.kinds(entry))
    return (entry.name, published.role(entry), kinds, "-", size, (entry.sha256 or "-")[:12], here, entry.license)


def _aligned(rows: list[tuple[str, ...]]) -> list[str]:
    """Aligned columns without a heading, so that scripts get one line per file."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(_HEADING))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]


def _print_table(rows: list[tuple[str, ...]]) -> None:
    """For a person who looks at a terminal."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, header_style="bold", pad_edge=False)
    for heading in _HEADING:
        table.add_column(heading, overflow="fold", no_wrap=heading == "NAME")
    for row in rows:
        # Names and licenses come from files: no markup, no control characters.
        table.add_row(*(Text(console.printable(cell)) for cell in row))
    Console().print(table)
