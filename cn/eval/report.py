"""The result of an evaluation: figures with intervals, by control, and `report.json`."""

import json
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cn.errors import InputError, about
from cn.eval import bootstrap
from cn.eval.bootstrap import Figure
from cn.eval.measures import Measure
from cn.eval.protocol import Protocol
from cn.eval.scorers import Scores
from cn.files import reason, write_atomic
from cn.json_text import parse_json

REPORT, PAGE = "report.json", "report.html"
FORMAT = 1
NONE, RECONSTRUCTION = "no control", "reconstruction"


@dataclass(frozen=True)
class Subject:
    """What was evaluated: a control, no control, or the reconstructions."""

    name: str
    folder: str
    """The folder of its images, below that of the report."""
    scores: Mapping[str, Scores]
    """Figure → the scores of its images."""
    distances: Mapping[str, Figure] = field(default_factory=dict)
    """ "FID" and "KID", where they were computed."""
    weights: Mapping[str, str] = field(default_factory=dict)
    """The SHA-256 of its control and of its base."""

    def mean(self, name: str) -> Figure:
        return bootstrap.mean(self.scores[name].own)

    def mismatched(self, name: str) -> Figure:
        """Its images against the conditions of others."""
        return bootstrap.mean(self.scores[name].mismatched)


@dataclass(frozen=True)
class Report:
    """All figures of an evaluation. `none` and `reconstruction` are its zero and its one."""

    protocol: Protocol
    measures: Mapping[str, Measure]
    """By the name of the figure, the measure of the condition first."""
    controls: Sequence[Subject]
    none: Subject
    reconstruction: Subject
    pairs: Sequence[Mapping[str, str]]
    """ "where" and "prompt" of each image."""
    not_computed: Mapping[str, str] = field(default_factory=dict)
    """Figure → what it needs."""
    notes: Sequence[str] = ()
    versions: Mapping[str, str] = field(default_factory=dict)
    home: str = ""
    """The folder that the folders of images are in."""

    @property
    def subjects(self) -> list[Subject]:
        """The controls, then no control."""
        return [*self.controls, self.none]

    def normalized(self, subject: Subject, name: str) -> Figure:
        """0: as without control; 1: as the reconstruction of the true image."""
        one, zero = self.reconstruction.scores[name].own, self.none.scores[name].own
        return bootstrap.normalized(subject.scores[name].own, zero, one, self.measures[name].better)

    def control_score(self, subject: Subject, name: str) -> Figure:
        """0: as for the conditions of other images; 1: as the reconstruction of the true image."""
        scores, one = subject.scores[name], self.reconstruction.scores[name].own
        return bootstrap.normalized(scores.own, scores.mismatched, one, self.measures[name].better)

    def difference(self, a: Subject, b: Subject, name: str) -> Figure:
        """The mean of a - b over the same images."""
        return bootstrap.difference(a.scores[name].own, b.scores[name].own)

    def defined(self, name: str) -> int:
        """For how many images the figure is defined."""
        return int(np.isfinite(self.reconstruction.scores[name].own).sum())

    def record(self) -> dict[str, Any]:
        """As plain values, for JSON."""
        return {
            "format": FORMAT,
            "protocol_sha256": self.protocol.hash,
            "protocol": self.protocol.record(),
            "measures": {
                name: {"better": m.better, "unit": m.unit, "about": m.about, "defined": self.defined(name)}
                for name, m in self.measures.items()
            },
            "controls": [self._subject(subject) for subject in self.controls],
            "no_control": self._subject(self.none),
            "reconstruction": self._subject(self.reconstruction),
            "differences": self._differences(),
            "not_computed": dict(self.not_computed),
            "notes": list(self.notes),
            "pairs": [dict(pair) for pair in self.pairs],
            "versions": dict(self.versions),
        }

    def _subject(self, subject: Subject) -> dict[str, Any]:
        figures = {}
        for name, scores in subject.scores.items():
            figures[name] = {
                **_figure(subject.mean(name)),
                "mismatched": _figure(subject.mismatched(name)),
                "normalized": _figure(self.normalized(subject, name)),
                "control_score": _figure(self.control_score(subject, name)),
                "scores": _plain(scores.own),
                "mismatched_scores": _plain(scores.mismatched),
            }
        return {
            "name": subject.name,
            "folder": subject.folder,
            "weights": dict(subject.weights),
            "figures": figures,
            "distances": {name: _figure(figure) for name, figure in subject.distances.items()},
        }

    def _differences(self) -> list[dict[str, Any]]:
        return [
            {
                "figure": name,
                "of": a.name,
                "minus": b.name,
                **_figure(found),
                "beyond_interval": found.differs_from_zero,
            }
            for name in self.measures
            for k, a in enumerate(self.subjects)
            for b in self.subjects[k + 1 :]
            for found in [self.difference(a, b, name)]
        ]

    def write(self, out: Path) -> Path:
        """Write OUT/report.json."""
        path = out / REPORT
        write_atomic(path, (json.dumps(self.record(), indent=1, allow_nan=False) + "\n").encode())
        return path


def read_report(path: str | os.PathLike[str]) -> Report:
    """A report that was written before, given its file or its folder. InputError for anything else."""
    file = Path(path) / REPORT if Path(path).is_dir() else Path(path)
    try:
        data = file.read_bytes()
    except OSError as error:
        raise InputError(f"cannot be read: {reason(error)}", path=file) from error
    with about(file):
        record = parse_json(data)
        protocol = Protocol.from_record(record.get("protocol") if isinstance(record, dict) else None)
        try:
            return Report(
                protocol,
                {name: Measure(name, m["better"], m["unit"], m["about"]) for name, m in record["measures"].items()},
                [_read_subject(one) for one in record["controls"]],
                _read_subject(record["no_control"]),
                _read_subject(record["reconstruction"]),
                record["pairs"],
                record["not_computed"],
                record["notes"],
                record["versions"],
                os.fspath(file.parent),
            )
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise InputError(f"is no report of this version of cn ({type(error).__name__}: {error})") from error


def _read_subject(record: Any) -> Subject:
    scores = {
        name: Scores(_numbers(figure["scores"]), _numbers(figure["mismatched_scores"]))
        for name, figure in record["figures"].items()
    }
    distances = {
        name: Figure(_number(figure["value"]), tuple(figure["interval"]) if figure["interval"] else None)
        for name, figure in record["distances"].items()
    }
    return Subject(record["name"], record["folder"], scores, distances, record["weights"])


def _figure(figure: Figure) -> dict[str, Any]:
    value = figure.value if math.isfinite(figure.value) else None
    return {"value": value, "interval": list(figure.interval) if figure.interval is not None else None}


def _plain(values: NDArray[np.float64]) -> list[float | None]:
    return [value if math.isfinite(value) else None for value in values.tolist()]


def _number(value: float | None) -> float:
    return math.nan if value is None else float(value)


def _numbers(values: Sequence[float | None]) -> NDArray[np.float64]:
    return np.array([_number(value) for value in values], np.float64)
