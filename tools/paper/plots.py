"""The plots of the report, with matplotlib: curves over steps and final scores, with 95 % intervals over seeds."""

import io
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from cn.eval.report import NONE
from tools.paper.experiment import Experiment, Sweep
from tools.paper.results import Results
from tools.paper.spec import FINAL, Arm
from tools.paper.statistics import estimate

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COLORS = ("#2a5d9f", "#b5452c", "#3f7f4f", "#8257a8", "#a67c1f", "#4b9fa8", "#6b6b6b", "#c2578f")
_FIELDS = {
    "gain": "normalized score",
    "distance": "distance from true images (KID)",
    "prompt_wins": "share of images in which the prompt wins",
}
WIDTH, HEIGHT, DPI = 5.2, 3.4, 100


def draw(experiment: Experiment, results: Results) -> bytes | None:
    """A PNG with the plots of an experiment; None where nothing has been measured yet."""
    from matplotlib.figure import Figure

    arms = [arm for arm in experiment.arms if results.of(arm)]
    sweeps: dict[tuple[str, str], list[Sweep]] = {}
    for sweep in experiment.sweeps:
        sweeps.setdefault((sweep.axis, sweep.field), []).append(sweep)
    count = len(experiment.plots) + len(sweeps)
    if not arms or not count:
        return None
    columns = count if count <= 3 else 2
    rows = -(-count // columns)
    figure = Figure(figsize=(WIDTH * columns, HEIGHT * rows), dpi=DPI, layout="constrained")
    panels = figure.subplots(rows, columns, squeeze=False).flat[:count]
    for axes, plot in zip(panels, experiment.plots, strict=False):
        _DRAWN[plot](axes, arms, results)
    for axes, lines in zip(panels[len(experiment.plots) :], sweeps.values(), strict=True):
        _sweeps(axes, lines, results)
    for axes in panels:
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(alpha=0.25)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()


def _scores(axes: "Axes", arms: Sequence[Arm], results: Results) -> None:
    """The evaluations that `cn train` makes itself."""
    for arm, color in zip(arms, _colors(len(arms)), strict=True):
        _band(axes, results.curve(arm), arm.name, color)
    axes.axhline(0, color="#8a8a8a", linestyle="--", linewidth=1)
    axes.set_xlabel("optimizer steps")
    axes.set_ylabel("score above no control")
    _legend(axes)


def _losses(axes: "Axes", arms: Sequence[Arm], results: Results) -> None:
    """The smoothed losses."""
    for arm, color in zip(arms, _colors(len(arms)), strict=True):
        losses = {seed: dict(record["train"]["loss"]) for seed, record in results.of(arm).items()}
        _band(axes, losses, arm.name, color)
    axes.set_xlabel("optimizer steps")
    axes.set_ylabel("loss, smoothed")
    _legend(axes)


def _distances(axes: "Axes", arms: Sequence[Arm], results: Results) -> None:
    """How far images are from true ones over the training."""
    shown = [arm for arm in arms if results.trajectory(arm, "distance")]
    for arm, color in zip(shown, _colors(len(shown)), strict=True):
        _band(axes, results.trajectory(arm, "distance"), arm.name, color)
    if shown:
        none = estimate(results.numbers(shown[0], "distance", "trajectory", NONE)).mean
        axes.axhline(none, color="#8a8a8a", linestyle="--", linewidth=1, label="without control")
    axes.set_xlabel("optimizer steps")
    axes.set_ylabel("distance from true images (KID)")
    _legend(axes)


def _dots(axes: "Axes", arms: Sequence[Arm], results: Results) -> None:
    """Final scores: each run and the mean with its interval."""
    rows = [(arm.name, results.last_gains(arm)) for arm in arms]
    rows = [(name, gains) for name, gains in rows if gains]
    for place, (_, gains) in enumerate(rows):
        found = estimate(gains)
        axes.plot(list(gains.values()), [place] * len(gains), "o", color=COLORS[0], alpha=0.35, markersize=4)
        if found.interval is not None:
            axes.plot(found.interval, [place, place], color=COLORS[0], linewidth=2)
        axes.plot([found.mean], [place], "|", color=COLORS[0], markersize=14, markeredgewidth=2)
    axes.set_yticks(range(len(rows)), [name for name, _ in rows])
    axes.set_ylim(max(1, len(rows)) - 0.5, -0.5)
    axes.set_xlabel("normalized score (0: no control, 1: reconstruction)")


def _sweeps(axes: "Axes", lines: Sequence[Sweep], results: Results) -> None:
    """A number over an option of sampling."""
    for line, color in zip(lines, _colors(len(lines)), strict=True):
        by_seed: dict[int, dict[float, float]] = {}
        for x, evaluation in line.evaluations.items():
            for seed, number in swept(line, evaluation, results).items():
                by_seed.setdefault(seed, {})[x] = number
        _band(axes, by_seed, line.label, color, marker="o")
    axes.set_xlabel(lines[0].axis)
    axes.set_ylabel(_FIELDS[lines[0].field])
    _legend(axes)


def swept(line: Sweep, evaluation: str, results: Results) -> dict[int, float]:
    """The numbers of one point of a line."""
    if line.field != "gain":
        return results.numbers(line.arm, line.field, evaluation)
    sampled = any(one.sampled for one in line.arm.evaluations if one.name == evaluation)
    return results.gains(line.arm, evaluation, zero=FINAL.name if sampled else "")


def _band(axes: "Axes", curves: Mapping[int, Mapping[Any, float]], label: str, color: str, *, marker: str = "") -> None:
    """The mean over seeds at each step (or other number) that all have, with its interval."""
    if not curves:
        return
    steps = sorted(set.intersection(*(set(curve) for curve in curves.values())))
    found = [estimate([curve[step] for curve in curves.values()]) for step in steps]
    axes.plot(steps, [one.mean for one in found], color=color, label=label, linewidth=1.6, marker=marker)
    if all(one.interval is not None for one in found):
        low, high = np.array([one.interval for one in found]).T
        axes.fill_between(steps, low, high, color=color, alpha=0.15, linewidth=0)


def _colors(count: int) -> list[str]:
    return [COLORS[k % len(COLORS)] for k in range(count)]


def _legend(axes: "Axes") -> None:
    if axes.get_legend_handles_labels()[1]:
        axes.legend(frameon=False, fontsize=8)


_DRAWN = {"scores": _scores, "losses": _losses, "distances": _distances, "dots": _dots}
