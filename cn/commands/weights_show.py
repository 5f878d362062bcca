"""`cn weights show NAME`: what bundled weights know, how good they are, and what they may be used for."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cn import conditions, console
from cn.commands.options import Json
from cn.errors import WeightsError
from cn.units import bytes_text, count_text

if TYPE_CHECKING:
    from cn.weights.bundled import Weights
    from cn.weights.catalog import PublishedFile

_WORDS = (
    ("people", "WHO"),
    ("roles", "ROLES"),
    ("poses", "ACTION"),
    ("groups", "GROUP"),
    ("grounds", "GROUND"),
    ("light", "LIGHT"),
    ("weather", "WEATHER"),
)
"""What the base's prompts can be about, and the table of words whose keys name it."""


def show(
    name: Annotated[
        str,
        typer.Argument(metavar="NAME", help="A name that the list has, or a file that cn wrote.", show_default=False),
    ],
    json: Json = False,
) -> None:
    """What weights know: the words of the base, the condition of a control; size, license and main figures.

    [b]cn weights show base[/b] lists what can be in a prompt. Figures are of the bundled weights, on scenes that they
    were not trained on; [b]--json[/b] has all of them, and the header of the file.
    """
    from cn.weights import bundled, catalog, headlines

    if (entry := catalog.known(name)) is not None:
        _show_published(entry, json)
        return
    weights = bundled.describe(bundled.find(name))
    if weights.role == "unknown":
        raise WeightsError("was not written by cn; cn inspect says what it is", path=weights.path)
    is_bundled = _is_bundled(weights)
    report = headlines.read_report(bundled.FOLDER) if is_bundled else {}
    is_base = weights.role == "base"
    words = _words() if is_bundled and is_base else {}
    if json:
        console.emit(_record(weights, words, report), json=True)
        return
    lines = headlines.of_base(report) if is_base else headlines.of_control(report, weights.kind or weights.name)
    rows = [*_facts(weights), *((label, ", ".join(found)) for label, found in words.items())]
    rows += [(line.label, line.text) for line in lines]
    if isinstance(date := report.get("date"), str):
        rows.append(("made on", date))
    _print(str(weights.path), rows)


def _is_bundled(weights: "Weights") -> bool:
    from cn.weights import bundled

    return weights.path.parent == bundled.FOLDER


def _words() -> dict[str, list[str]]:
    """What the built-in scenes show, by what it is."""
    from cn.scenes import kinds, people_words, roles, vocabulary

    tables = {**vars(people_words), **vars(roles), **vars(vocabulary)}
    words = {label: list(tables.get(table, ())) for label, table in _WORDS}
    words = {"people": words.pop("people"), "things": list(kinds.KINDS), "colors": list(kinds.ALL), **words}
    return {label: found for label, found in words.items() if found}


def _record(weights: "Weights", words: dict[str, list[str]], report: dict[str, Any]) -> dict[str, Any]:
    stages = report.get("stages")
    own = ("autoencoder", "denoiser") if weights.role == "base" else (f"control-{weights.kind}",)
    trained = {name: stages[name] for name in own if name in stages} if isinstance(stages, dict) else {}
    return weights.record() | {
        "words": words,
        "trained": trained,
        "figures": report.get("figures", {}),
        "judges": report.get("judges", {}),
        "measured": {key: report[key] for key in ("date", "evaluated_on", "torch") if key in report},
        "metadata": dict(weights.metadata),
    }


def _show_published(entry: "PublishedFile", json: bool) -> None:
    """What is known of a published file, whether it is here or not."""
    from cn.detect import published

    record = published.record(entry)
    if json:
        console.emit(record, json=True)
        return
    here = record["path"] or f"not here; cn weights pull {entry.name} gets it"
    serves = ("conditions" if published.role(entry) == "detector" else "serves", ", ".join(published.kinds(entry)))
    size, sha256 = entry.size_text or "not known", entry.sha256 or "not known"
    facts = [("what", entry.about), serves, ("size", size), ("license", entry.license), ("sha-256", sha256)]
    _print(entry.name, [*facts, ("file", str(here))])


def _print(title: str, rows: list[tuple[str, str]]) -> None:
    """Aligned names and values; long lists of words are wrapped."""
    width = max(len(label) for label, _ in rows)
    console.emit(console.printable(title))
    for label, text in rows:
        first, *rest = _wrapped(text)
        console.emit(console.printable(f"  {label.ljust(width)}  {first}"))
        for line in rest:
            console.emit(console.printable(f"  {' ' * width}  {line}"))


def _wrapped(text: str, columns: int = 96) -> list[str]:
    import textwrap

    return textwrap.wrap(text, columns, break_long_words=False, break_on_hyphens=False) or [""]


def _facts(weights: "Weights") -> Iterator[tuple[str, str]]:
    bits = ", in 8 bits" if weights.metadata.get("bits") == 8 else ""
    if weights.role == "base":
        config = weights.metadata.get("config")
        side = config.get("image_size") if isinstance(config, dict) else None
        yield "what", "a base" + (f", for images of {side}×{side} pixels" if side else "")
    else:
        yield "what", f"a control for {weights.kind or 'a condition that it does not state'}"
        if (convention := _convention(weights.kind)) is not None:
            yield "condition", convention
        yield "base", _base_of(weights)
        name = weights.name if _is_bundled(weights) else weights.path
        base = "" if weights.base_sha256 is None or _is_of_bundled_base(weights) else " --base FILE"
        yield "use", f"cn sample --cond MAP.png --control {name}{base} --prompt TEXT"
    yield "parameters", count_text(weights.parameters)
    yield "size", f"{bytes_text(weights.size)}{bits}"
    yield "license", weights.license or "not stated"
    yield "sha-256", weights.sha256


def _convention(kind: str | None) -> str | None:
    """What a condition map of this kind shows."""
    return next((known.convention for known in conditions.CONDITIONS if known.kind == kind), None)


def _base_of(weights: "Weights") -> str:
    from cn.weights import releases

    if weights.base_sha256 is None:
        return "not stated"
    needed = ", whose file is needed to read it" if weights.metadata.get("differences") else ""
    if _is_of_bundled_base(weights):
        return f"the bundled base{needed}"
    known = releases.find(weights.base_sha256)
    of = "" if known is None else f", of the bundled weights of {known[0].date} (cn {known[0].included})"
    return f"SHA-256 {weights.base_sha256[:12]}…{of}{needed}"


def _is_of_bundled_base(weights: "Weights") -> bool:
    from cn.weights import bundled

    own = bundled.FOLDER / f"{bundled.BASE_NAME}.safetensors"
    return own.is_file() and bundled.describe(own).sha256 == weights.base_sha256
