"""The figures of the bundled weights in a few lines, from their report (`report.json`). No torch.

`cn.pretrain.evaluate` writes the report. Whatever figures it has are shown; those of an earlier form, too.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cn.errors import InputError, about
from cn.files import reason
from cn.json_text import parse_json

REPORT = "report.json"

_OF_BASE = (
    ("psnr_db", "reconstruction", "PSNR {} dB"),
    ("attribution", "as prompted", "{} (share of samples)"),
    ("recall", "recall", "{}"),
    ("fid", "distance", "{}"),
    ("frechet_distance", "distance", "{}"),
)
"""Key of the report, label, text."""
_MAIN = ("value", "right", "score", "fidelity", "control_score")
"""Of a figure that is given with others (interval, chance, …), the key of its own number: the first that is there."""
_COUNTS = ("images", "scenes")


@dataclass(frozen=True)
class Headline:
    """One line: what was measured or done, and the result."""

    label: str
    text: str


def read_report(folder: Path) -> dict[str, Any]:
    """The report beside bundled weights; {} where there is none. InputError where it is damaged."""
    path = folder / REPORT
    try:
        with about(path):
            report = parse_json(path.read_bytes())
            if not isinstance(report, dict):
                raise InputError("a JSON object was expected")
            return report
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise InputError(f"cannot be read: {reason(error)}", path=path) from error


def of_base(report: Mapping[str, Any]) -> list[Headline]:
    """How the base was trained and what its images are like."""
    figures = _mapping(report, "figures")
    lines = list(_training(report, "autoencoder", "denoiser"))
    lines += [
        Headline(label, text.format(found))
        for key, label, text in _OF_BASE
        if (found := _text(figures.get(key))) is not None
    ]
    if isinstance(scenes := figures.get("scenes"), int):
        lines.append(Headline("measured on", f"{scenes} held-out scenes"))
    return lines


def of_control(report: Mapping[str, Any], kind: str) -> list[Headline]:
    """How a control was trained and how faithful images are to its conditions."""
    figures = _mapping(report, "figures")
    lines = list(_training(report, f"control-{kind}"))
    found = _mapping(figures, "controls").get(kind, figures.get(kind))
    score = _number(found)
    if score is not None:
        text = f"{score:.3g} (0: as samples of other scenes, 1: as the VAE's reconstructions)"
        alone = _number(found.get("score_prompt_alone")) if isinstance(found, dict) else None
        lines.append(Headline("fidelity", text + (f"; by the prompt alone {alone:.3g}" if alone is not None else "")))
    return lines


def _training(report: Mapping[str, Any], *stages: str) -> Iterator[Headline]:
    """Steps, minutes and hardware of each stage; of several sessions the sums."""
    for stage in stages:
        sessions = _mapping(report, "stages").get(stage)
        parts = [one for one in (sessions if isinstance(sessions, list) else [sessions]) if isinstance(one, dict)]
        if not parts:
            continue
        steps = sum(number for one in parts if isinstance(number := one.get("steps"), int))
        minutes = sum(number for one in parts if isinstance(number := one.get("minutes"), int | float))
        hardware = dict.fromkeys(name for one in parts if isinstance(name := one.get("hardware"), str))
        label = "trained" if stage.startswith("control-") else stage
        on = f" on {' and '.join(hardware)}" if hardware else ""
        yield Headline(label, f"{steps:,} steps, {minutes:.1f} minutes{on}")


def _mapping(record: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = record.get(name)
    return found if isinstance(found, dict) else {}


def _text(value: object) -> str | None:
    """A figure as "0.84", several as "color 0.84, light 0.99"; None for anything else."""
    if (number := _number(value)) is not None:
        return f"{number:.4g}"
    if not isinstance(value, dict):
        return None
    numbers = {name: _number(one) for name, one in value.items() if name not in _COUNTS}
    parts = [f"{name.replace('_', ' ')} {one:.3g}" for name, one in numbers.items() if one is not None]
    return ", ".join(parts) or None


def _number(value: object) -> float | None:
    """The number of a figure, which may be given with others."""
    if isinstance(value, dict):
        return next((found for key in _MAIN if (found := _number(value.get(key))) is not None), None)
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None
