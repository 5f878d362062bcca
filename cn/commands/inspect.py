"""`cn inspect`: what a file of weights is."""

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cn import console
from cn.checkpoints.layouts import TITLES
from cn.commands.options import Json
from cn.errors import CnError, InputError, PartialError
from cn.units import bytes_text, count_text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cn.checkpoints.read.inspection import Report
    from cn.checkpoints.read.lora.report import LoraReport

_SHOWN = frozenset(
    [
        "role",
        "config",
        "unet",
        "kind",
        "links",
        "condition_encoder",
        "condition_channels",
        "control",
        "format",
        "bits",
        "differences",
    ]
)
"""Metadata entries that have a row of their own."""
_LAYOUTS = {"native": "cn's own", "ldm": "original single file (LDM)", "diffusers": "diffusers"}


def inspect(
    paths: Annotated[
        list[str],
        typer.Argument(
            metavar="FILE…", help="Weights: a file, a diffusers folder, or a bundled name.", show_default=False
        ),
    ],
    json: Json = False,
) -> None:
    """Describe weights by their content: layout, family, parts, dtypes, hash, and warnings.

    No code in a file is ever run: a pickle that tries to is refused.
    """
    failures: list[CnError] = []
    for number, path in enumerate(paths):
        try:
            report = _look(path)
        except CnError as error:
            failures.append(error)
            if len(paths) > 1:
                console.error(str(error))
            continue
        if json:
            console.emit(report.record(), json=True)
            continue
        console.emit("\n".join([""] * (number > 0) + _lines(report)))
    if failures and len(paths) == 1:
        raise failures[0]
    if failures:
        everything = len(failures) == len(paths)
        message = f"{len(failures)} of {len(paths)} cannot be read"
        raise InputError(message) if everything else PartialError(message)


def _look(path: str) -> "Report":
    """The report on a file or folder. Hashing takes longest and starts before the other imports."""
    from cn.files import sha256

    with ThreadPoolExecutor(1) as pool:
        hashed = pool.submit(sha256, path) if os.path.isfile(path) else None
        from cn.checkpoints.read.inspection import inspect as look
        from cn.weights import bundled

        found = bundled.find(path)
        report = look(found, hashed if str(found) == path else None)
        network = _network_of_a_detector(found) if report.layout is None else None
        return report if network is None else replace(report, what=network)


def _network_of_a_detector(path: Path) -> str | None:
    """What a file holds that is no checkpoint, if `cn detect` has a network for it."""
    from cn.archives.archive import open_archive
    from cn.detect import registry

    network = registry.identify({name.removeprefix("module.") for name in open_archive(path).entries})
    if network is None:
        return None
    kinds = [spec.kind for spec in registry.KIND_SPECS if network.family in (spec.family, spec.second_family)]
    return f"{network.title}, a network of a detector: cn detect {' or '.join(kinds)} with --weights uses it"


def _lines(report: "Report") -> list[str]:
    """Aligned rows for a person: name, then value."""
    rows = [(name, value) for name, value in _rows(report) if value]
    width = max(len(name) for name, _ in rows)
    lines = [report.path, *(f"  {name.ljust(width)}  {value}".rstrip() for name, value in rows)]
    return [console.printable(line) for line in lines]


def _rows(report: "Report") -> list[tuple[str, str | None]]:
    parts = [f"{TITLES.get(part, part)} {count_text(number)}" for part, number in report.parameters.items()]
    several = f" in {report.files} files" if report.files > 1 else ""
    rows: list[tuple[str, str | None]] = [
        ("what", report.what),
        ("layout", f"{_LAYOUTS[report.layout]}, {report.format}{_bits(report)}" if report.layout else report.format),
        ("family", report.family),
        ("predicts", report.prediction),
        ("condition", report.kind or ("not stated" if report.condition_encoder else None)),
        ("encoder", _encoder(report)),
        ("channels", ", ".join(map(str, report.channels)) if report.channels else None),
        ("text", f"width {report.context_dim}" if report.context_dim else None),
        ("parameters", ", ".join(parts)),
        ("dtypes", ", ".join(f"{dtype} ({count})" for dtype, count in report.dtypes.items())),
        ("size", f"{bytes_text(report.size)}{several}"),
        ("sha-256", report.sha256),
    ]
    if report.lora is not None:
        rows[-2:-2] = _rows_of_lora(report.lora)
    metadata = [f"{name}: {_short(value)}" for name, value in report.told.items() if name not in _SHOWN]
    rows += [("metadata" if not k else "", text) for k, text in enumerate(metadata)]
    return rows + [("warnings" if not k else "", text) for k, text in enumerate(report.warnings)]


def _rows_of_lora(lora: "LoraReport") -> list[tuple[str, str | None]]:
    layers = ", ".join(f"{TITLES[part]} {count}" for part, count in lora.layers.items())
    return [
        ("rank", _range(lora.ranks)),
        ("alpha", _range(lora.alphas) or "not stated (the rank)"),
        ("layers", layers),
        ("tags", ", ".join(lora.tags)),
    ]


def _range(numbers: "Sequence[float]") -> str:
    """ "8", "4 and 8" or "4 to 32"."""
    if len(numbers) > 2:
        return f"{numbers[0]:g} to {numbers[-1]:g}"
    return " and ".join(f"{number:g}" for number in numbers)


def _encoder(report: "Report") -> str | None:
    words = {"paper": "the paper's, four layers (only cn can run it)", "released": "the released one, eight layers"}
    links = "; linked to the middle block only" if report.links == "middle" else ""
    return words[report.condition_encoder] + links if report.condition_encoder else None


def _bits(report: "Report") -> str:
    """How cn's own files in 8 bits are stored."""
    if report.layout != "native" or report.metadata.get("bits") != 8:
        return ""
    return ", 8 bits" + (", as differences to its base" if report.metadata.get("differences") else "")


def _short(value: object, length: int = 90) -> str:
    text = " ".join(str(value).split())
    return text if len(text) <= length else f"{text[: length - 1]}…"
