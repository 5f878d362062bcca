"""`RUN/curves.png`: loss, score and learning rate of a run over its optimizer steps, drawn from its files alone."""

import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from cn.files import write_atomic
from cn.train.config import TrainConfig
from cn.train.evaluation.records import Evaluation, best_of, read_evaluations
from cn.train.evaluation.verdict import Verdict, p_text, verdict
from cn.train.metrics import METRICS

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

CURVES = "curves.png"
MISSING = "curves.png is not drawn: pip install 'controlnet-cn[plots]' for it (matplotlib)"
_MAX_POINTS = 2000
"""Of a line: more cannot be told apart."""
_WIDTH, _DPI = 9.0, 110
_LOSS, _SMOOTHED, _SCORE, _ZERO, _RATE = "#c9d5e3", "#2a5d9f", "#b5452c", "#8a8a8a", "#3f7f4f"


@dataclass(frozen=True)
class _Steps:
    """Columns of the metrics, one value for each step that is drawn."""

    step: NDArray[np.float64]
    loss: NDArray[np.float64]
    smoothed: NDArray[np.float64]
    lr: NDArray[np.float64]


def draw_curves(run: Path) -> Path:
    """Draw what a run has done so far, also one that was interrupted. Raises ImportError without matplotlib."""
    buffer = io.BytesIO()
    figure_of(run).savefig(buffer, format="png")
    path = run / CURVES
    write_atomic(path, buffer.getvalue(), durable=False)
    return path


def figure_of(run: Path) -> "Figure":
    """The figure that `draw_curves` writes."""
    from matplotlib.figure import Figure

    config = TrainConfig.load(run)
    steps, evaluations = _read_steps(run), read_evaluations(run)
    found = verdict(evaluations, config)
    scheduled = steps.lr.size > 0 and float(np.ptp(steps.lr)) > 0
    heights = [3.0, *([3.0] if evaluations else []), *([1.2] if scheduled else [])]
    figure = Figure(figsize=(_WIDTH, sum(heights) + 0.9), dpi=_DPI, layout="constrained")
    axes = figure.subplots(len(heights), 1, sharex=True, squeeze=False, height_ratios=heights)[:, 0]
    figure.suptitle(_title(run, config, steps), fontsize=11)
    _draw_loss(axes[0], steps)
    if evaluations:
        _draw_scores(axes[1], evaluations, found)
    if scheduled:
        axes[-1].plot(steps.step, steps.lr, color=_RATE)
        axes[-1].set_ylabel("learning rate")
        axes[-1].ticklabel_format(axis="y", style="sci", scilimits=(-2, 3))
    for each in axes:
        each.grid(alpha=0.25)
        each.spines[["top", "right"]].set_visible(False)
        if found is not None and found.converged_at is not None:
            each.axvline(found.converged_at, color=_SCORE, linestyle=":", linewidth=1.2)
    last = max([*steps.step[-1:], *(e.step for e in evaluations), 1])
    axes[-1].set_xlim(0, last * 1.02)
    axes[-1].set_xlabel(f"optimizer steps ({_images_per_step(config)})")
    return figure


def _draw_loss(axes: "Axes", steps: _Steps) -> None:
    axes.set_ylabel("loss")
    if not steps.step.size:
        return
    axes.plot(steps.step, steps.loss, color=_LOSS, linewidth=0.8, label="each step")
    axes.plot(steps.step, steps.smoothed, color=_SMOOTHED, linewidth=1.6, label="smoothed")
    # A few spikes would press everything else to the ground.
    low, high = np.percentile(steps.loss, [0, 99.5])
    room = 0.08 * (high - low) or 0.1
    axes.set_ylim(max(0.0, low - room), high + room)
    axes.legend(loc="lower right", bbox_to_anchor=(1, 1), borderaxespad=0.2, ncols=2, frameon=False, fontsize=9)


def _draw_scores(axes: "Axes", evaluations: Sequence[Evaluation], found: Verdict | None) -> None:
    """Mean scores with their intervals over images, and the score without control as a line."""
    first, rest = evaluations[0], evaluations[1:]
    direction = "" if first.better == "higher" else " (lower is better)"
    axes.set_ylabel(first.measure + direction)
    axes.axhline(first.mean, color=_ZERO, linestyle="--", linewidth=1.2, label=f"without control: {first.mean:.3g}")
    if rest:
        # An untrained control changes nothing: the curve starts at the score without one.
        drawn = evaluations if first.step == 0 < rest[0].step else rest
        x = np.array([e.step for e in drawn], float)
        y = np.array([e.mean for e in drawn])
        margin = np.nan_to_num(np.array([e.margin for e in drawn]))
        axes.fill_between(x, y - margin, y + margin, color=_SCORE, alpha=0.15, linewidth=0, label="95 % interval")
        axes.plot(x, y, color=_SCORE, marker="o", markersize=4, label=f"with control: {y[-1]:.3g} at the last")
    best = best_of(evaluations)
    if best is not None:
        label = f"best: {best.mean:.3g} at step {best.step:,}"
        axes.plot([best.step], [best.mean], "*", color=_SCORE, markersize=12, label=label)
    axes.set_title(_verdict_text(first, found), fontsize=10, loc="left")
    axes.legend(loc="best", frameon=False, fontsize=9)


def _verdict_text(first: Evaluation, found: Verdict | None) -> str:
    if found is None:
        return f"on {first.on}"
    if found.converged_at is None:
        return f"on {first.on}: not converged yet (p {p_text(found.change.p_value)})"
    return f"on {first.on}: converged at step {found.converged_at:,} (p {p_text(found.change.p_value)})"


def _title(run: Path, config: TrainConfig, steps: _Steps) -> str:
    reached = int(steps.step[-1]) if steps.step.size else 0
    return f"{run.resolve().name}: {config.cond}, {reached:,} of {config.steps:,} steps"


def _images_per_step(config: TrainConfig) -> str:
    if config.global_batch:
        return f"{config.global_batch} images each"
    images = config.batch_size * config.accumulate
    micro = f": {config.accumulate} micro-batches of {config.batch_size}" if config.accumulate > 1 else ""
    return f"{images} images each{micro}"


def _read_steps(run: Path) -> _Steps:
    """The numbers of at most `_MAX_POINTS` steps, evenly spread; incomplete lines are left out."""
    names = ("step", "loss", "smoothed", "lr")
    rows: list[list[float]] = []
    try:
        lines = (run / METRICS).read_bytes().splitlines()
    except FileNotFoundError:
        lines = []
    for line in lines[:: max(1, len(lines) // _MAX_POINTS)]:
        try:
            record = json.loads(line)
            rows.append([float(record[name]) for name in names])
        except (ValueError, KeyError, TypeError, RecursionError):
            continue
    return _Steps(*np.array(rows, np.float64).reshape(-1, len(names)).T)
