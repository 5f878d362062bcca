"""Tables about the bundled base: of its files, of `cn/weights/report.json`, and of the training runs of the figures.

Each function returns the heading and the rows of a table. What the report does not have gives no row.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cn.conditions import KINDS
from cn.weights import bundled

ROOT = Path(__file__).parent.parent
REPORT = bundled.FOLDER / "report.json"
RECIPES = ROOT / "docs/recipes.json"
RUNS = {"default-run": "`cn train --cond canny`", "small-scale-run": "`cn train --cond canny --small-scale`"}
"""The figures that train, and what they run."""
RECALLED = {"things": "things", "colors": "colors of their parts", "people": "number of people"}

Row = tuple[str, ...]
Table = tuple[Row, list[Row]]
Figures = Mapping[str, Any]


def read_report(path: Path = REPORT) -> Figures:
    """The report that is kept with the weights."""
    return json.loads(path.read_text(encoding="utf-8"))


def files() -> Table:
    """One row for each file of the bundled weights."""
    rows = [(f"`{one.name}`", _millions(one.parameters), f"{one.size / 1e6:.1f} MB") for one in bundled.files()]
    return ("File", "Parameters", "Size"), rows


def training(report: Figures) -> Table:
    """One row for each session of each stage."""
    rows = []
    for stage, records in report["stages"].items():
        for one in records:
            samples = one.get("samples", one["steps"] * one["batch_size"])
            more = (f"{one['images']:,}", f"{one['minutes']:g}", one["hardware"])
            rows.append((stage, f"{one['steps']:,}", str(one["batch_size"]), f"{samples:,}", *more))
    return ("Stage", "Steps", "Batch", "Samples", "Different scenes", "Minutes", "On"), rows


def prompts(report: Figures) -> Table:
    """How far samples agree with their prompts, without a control."""
    figures, rows = report["figures"], list[Row]()
    for name, one in figures.get("attribution", {}).items():
        chance = _number(one["chance"], 2)
        rows.append((f"attribution: {name}", _with_interval(one["right"]), _number(one["renderings"]), chance))
    for name, one in figures.get("recall", {}).items():
        rows.append((f"recall: {RECALLED.get(name, name)}", _with_interval(one), _number(one["renderings"]), ""))
    return ("Figure", "Samples", "Renderings", "Chance"), rows


def images(report: Figures) -> Table:
    """The autoencoder's PSNR, and Fréchet distances."""
    figures, rows = report["figures"], list[Row]()
    if (psnr := figures.get("psnr_db")) is not None:
        rows.append(
            ("PSNR of reconstructions, dB", _with_interval(psnr) if isinstance(psnr, dict) else _number(psnr, 2))
        )
    for name, title in (("samples", "samples"), ("reconstructions", "reconstructions"), ("renderings", "renderings")):
        if (value := figures.get("frechet_distance", {}).get(name)) is not None:
            rows.append((f"Fréchet distance of {title}", _number(value)))
    return ("Figure", "Value"), rows


def controls(report: Figures) -> Table:
    """How well samples follow each condition; with several people in one map below."""
    figures, rows = report["figures"], list[Row]()
    found, several = figures.get("controls", {}), figures.get("several_people", {})
    for kind in KINDS:
        for title, group in ((f"`{kind}`", found), (f"`{kind}`, several people", several)):
            if kind in group:
                rows.append(_control(title, group[kind]))
    return ("Condition", "Measure", "Prompt alone", "Samples", "Reconstructions", "Control score", "Images"), rows


def _control(title: str, one: Figures) -> Row:
    levels = [_number(one.get(name)) for name in ("prompt_alone", "samples", "reconstructions")]
    score = _with_interval({"value": one["score"], "interval": one["interval"]})
    return (title, " ".join(filter(None, (one["measure"], one["unit"]))), *levels, f"**{score}**", str(one["images"]))


def two_controls(report: Figures) -> Table:
    """The control score of a pose and a depth map, each followed by its own control, by the other one, and by both."""
    figures = report["figures"].get("two_controls", {})
    rows = [(name, *map(_number, one.values())) for name, one in figures.items() if isinstance(one, Mapping)]
    headings = next(([*one] for one in figures.values() if isinstance(one, Mapping)), [])
    return ("Control score", *headings), rows


def runs(path: Path = RECIPES) -> Table:
    """What the training runs of the figures came to."""
    records = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    rows = []
    for name, command in RUNS.items():
        if facts := records.get(name, {}).get("facts"):
            at = facts["converged_at"]
            scores = (_number(facts["score_without_control"]), _number(facts["score"]))
            rows.append((command, facts["measure"], *scores, "not yet" if at is None else f"{at:,}"))
    return ("Run", "Measure", "Without control", "At the end", "Converged at step"), rows


def _with_interval(figure: Figures) -> str:
    interval = figure.get("interval")
    return _number(figure["value"]) + (f" [{_number(interval[0])}, {_number(interval[1])}]" if interval else "")


def _number(value: float | None, digits: int = 3) -> str:
    return "–" if value is None else f"{value:.{digits}f}"


def _millions(count: int) -> str:
    return f"{count / 1e6:.1f} M"
