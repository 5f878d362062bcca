"""The numbers of a dataset as a PNG: histograms of sizes, aspect ratios and captions, and the maps of each kind."""

import io
import math
from collections import Counter
from typing import TYPE_CHECKING, Any

import numpy as np

from cn.data.stats.counts import MAX_TOKENS, Counts, short_sides, spread
from cn.data.stats.table import shapes
from cn.errors import UsageError
from cn.text import percent, shown

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_BLUE, _GRAY, _RED, _INK = "#3b6fb6", "#c9ced6", "#c8503c", "#1f2328"
_RATIOS = {"9:16": 9 / 16, "2:3": 2 / 3, "3:4": 3 / 4, "1:1": 1.0, "4:3": 4 / 3, "3:2": 3 / 2, "16:9": 16 / 9}
_BARS = 40
_MAX_RATIO = 4
"""The binary logarithm of the largest ratio that is shown, 16:1; what exceeds it counts as that."""


def plot(counts: Counts, title: str) -> bytes:
    """The plots as a PNG. Raises UsageError without matplotlib."""
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError:
        raise UsageError('plots need matplotlib: pip install "controlnet-cn[plots]"') from None
    # Without pyplot: no display, no state that is shared with the caller's figures.
    figure = Figure(figsize=(11, 7.6), dpi=130, facecolor="white")
    figure.set_layout_engine("constrained", w_pad=0.15, h_pad=0.12, wspace=0.04, hspace=0.06)
    FigureCanvasAgg(figure)
    samples, images = _number(counts.samples, "sample"), _number(len(counts.images), "image")
    figure.suptitle(f"{shown(title, 70)}: {samples}, {images}", fontsize=15, color=_INK, x=0.015, ha="left")
    axes = figure.subplots(2, 3)
    _sizes(axes[0, 0], counts)
    _ratios(axes[0, 1], counts)
    _maps(axes[0, 2], counts)
    _words(axes[1, 0], counts)
    _tokens(axes[1, 1], counts)
    _captions(axes[1, 2], counts)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()


def _frame(axes: "Axes", title: str, about: str, label: str, *, counted: bool = True) -> None:
    """Title, a line about it, and axes without what says nothing."""
    axes.set_title(title, loc="left", fontsize=12, fontweight="bold", color=_INK, pad=20)
    axes.text(0, 1.03, about, transform=axes.transAxes, fontsize=9, color="#59636e", va="bottom")
    axes.set_xlabel(label, fontsize=9, color=_INK)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.spines["bottom"].set_color(_GRAY)
    axes.tick_params(labelsize=9, color=_GRAY, labelcolor=_INK, length=3)
    if counted:
        axes.tick_params(axis="y", length=0)
        axes.grid(axis="y", color=_GRAY, linewidth=0.6, alpha=0.6)
        axes.set_axisbelow(True)
        _whole_numbers(axes.yaxis)


def _whole_numbers(axis: Any) -> None:
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    axis.set_major_locator(MaxNLocator(nbins=5, integer=True, min_n_ticks=1))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))


def _bars(axes: "Axes", counts: Counter[Any], *, low: float | None = None) -> None:
    """A histogram of whole numbers; the bars begin and end at whole numbers, and each is as wide as the others."""
    if not counts:
        _nothing(axes)
        return
    counts, beyond = _without_tail(counts)
    first, last = (min(counts) if low is None else int(low)), max(counts)
    width = max(1, math.ceil((last - first + 1) / _BARS))
    # Round widths, so that each bar can be read.
    magnitude = 10 ** max(0, len(str(width)) - 1)
    width = next(step * magnitude for step in (1, 2, 5, 10) if step * magnitude >= width)
    start = first // width * width
    bins = np.arange(start, last + width + 1, width)
    heights, _ = np.histogram(list(counts), bins=bins, weights=list(counts.values()))
    # One value alone would fill the whole width.
    shown_width = width if len(heights) > 3 else width * 0.6
    axes.bar(bins[:-1] + (width - 1) / 2, heights, width=shown_width * 0.92, color=_BLUE)
    missing = max(0.5, 7 - len(heights)) * width / 2
    if beyond:
        axes.text(
            0.99, 0.97, f"{beyond:,} larger", transform=axes.transAxes, ha="right", va="top", fontsize=9, color=_INK
        )
    axes.set_xlim(start - width / 2 - missing, bins[-1] - width / 2 + missing)
    _whole_numbers(axes.xaxis)


def _without_tail(counts: Counter[Any]) -> tuple[Counter[Any], int]:
    """The counts without the largest 0.5 %, where these would take up most of the axis, and how many those are."""
    total, passed, limit = counts.total(), 0, max(counts)
    for value in sorted(counts):
        passed += counts[value]
        if passed >= 0.995 * total:
            limit = value
            break
    if max(counts) <= 1.5 * limit:
        return counts, 0
    kept = Counter({value: count for value, count in counts.items() if value <= limit})
    return kept, total - kept.total()


def _nothing(axes: "Axes") -> None:
    axes.text(0.5, 0.5, "none", transform=axes.transAxes, ha="center", va="center", fontsize=12, color=_GRAY)
    axes.set_xticks([])
    axes.set_yticks([])


def _sizes(axes: "Axes", counts: Counts) -> None:
    of_originals = bool(counts.originals)
    sides = short_sides(counts.originals or counts.sizes)
    what = "of the originals" if of_originals else "of the images"
    _frame(axes, "Resolution", _middle(sides, "pixels"), f"short side {what}, pixels")
    _bars(axes, sides)


def _ratios(axes: "Axes", counts: Counts) -> None:
    _frame(axes, "Aspect ratio", shapes(counts.sizes) if counts.sizes else "", "width : height")
    if not counts.sizes:
        return _nothing(axes)
    # Logarithmic, so that 2:3 and 3:2 are as far from 1:1; bars are centered on 1:1.
    values = np.clip(np.log2([width / height for width, height in counts.sizes]), -_MAX_RATIO, _MAX_RATIO)
    reach = max(1.0, float(np.abs(values).max()) + 0.05)
    step = max(0.05, reach / 30)
    bars = math.ceil(reach / step)
    bins = (np.arange(-bars, bars + 2) - 0.5) * step
    heights, _ = np.histogram(values, bins=bins, weights=list(counts.sizes.values()))
    axes.bar(bins[:-1] + step / 2, heights, width=step * 0.92, color=_BLUE)
    axes.set_xlim(-reach - step, reach + step)
    wide = {name: ratio for name, ratio in _RATIOS.items() if reach < 1.8 or name in ("9:16", "1:1", "16:9")}
    if reach >= 1.8:
        wide |= {"1:4": 1 / 4, "4:1": 4.0}
    if reach >= 3:
        wide = {"1:8": 1 / 8, "1:3": 1 / 3, "1:1": 1.0, "3:1": 3.0, "8:1": 8.0}
    axes.set_xticks([math.log2(ratio) for ratio in wide.values()], list(wide), fontsize=8)
    return None


def _maps(axes: "Axes", counts: Counts) -> None:
    kinds = sorted(counts.maps, key=lambda kind: (-counts.maps[kind], kind))
    total, empty = counts.maps.total(), counts.empty.total()
    about = f"{percent(empty / total)} of the maps are empty" if empty else "none is empty" if total else ""
    _frame(axes, "Condition maps", about, "maps", counted=False)
    if not kinds:
        return _nothing(axes)
    full = [counts.maps[kind] - counts.empty[kind] for kind in kinds]
    places = range(len(kinds))
    axes.barh(places, full, height=0.6, color=_BLUE, label="with content")
    axes.barh(places, [counts.empty[kind] for kind in kinds], left=full, height=0.6, color=_RED, label="empty")
    axes.set_yticks(list(places), [kind or "maps" for kind in kinds])
    axes.tick_params(axis="y", length=0)
    # One bar alone is as thin as one of five.
    axes.set_ylim(max(len(kinds), 5) - 0.5, -0.5)
    axes.set_xlim(0, max(counts.maps.values()) * 1.02)
    _whole_numbers(axes.xaxis)
    if empty:
        axes.legend(fontsize=9, frameon=False, loc="lower right")
    return None


def _words(axes: "Axes", counts: Counts) -> None:
    _frame(axes, "Caption length", _middle(counts.words, "words"), "words")
    _bars(axes, counts.words, low=0 if counts.words and min(counts.words) < 20 else None)


def _tokens(axes: "Axes", counts: Counts) -> None:
    total = counts.tokens.total()
    share = percent(counts.too_long / total) if total else ""
    about = f"{share} are cut off after {MAX_TOKENS}" if counts.too_long else f"none has more than {MAX_TOKENS}"
    about = about if total else ""
    _frame(axes, "Tokens of the text encoder", about, "tokens")
    _bars(axes, counts.tokens, low=0 if counts.tokens else None)
    if counts.too_long:
        axes.axvline(MAX_TOKENS + 0.5, color=_RED, linewidth=1.2)


def _captions(axes: "Axes", counts: Counts) -> None:
    total = counts.words.total()
    repeated = total - len(counts.captions)
    parts = {
        "different": len(counts.captions),
        "repeated": repeated,
        "empty": counts.blank,
        "missing": counts.missing,
        "broken sample": counts.broken.count,
    }
    about = f"{percent(total / counts.samples)} of the samples have one" if counts.samples else ""
    _frame(axes, "Captions", about, "samples", counted=False)
    names = list(parts)
    axes.barh(names, list(parts.values()), height=0.6, color=[_BLUE, _GRAY, _RED, _RED, _RED])
    axes.tick_params(axis="y", length=0)
    axes.invert_yaxis()
    most = max(1, *parts.values())
    axes.set_xlim(0, most * 1.22)
    for place, value in enumerate(parts.values()):
        axes.text(value + most * 0.02, place, f"{value:,}", va="center", fontsize=9, color=_INK)
    _whole_numbers(axes.xaxis)


def _number(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'s' if count != 1 else ''}"


def _middle(counts: Counter[Any], unit: str) -> str:
    if not counts:
        return ""
    numbers = spread(counts)
    if numbers["min"] == numbers["max"]:
        return f"{numbers['min']:,} {unit}"
    return f"{numbers['min']:,} to {numbers['max']:,}, median {numbers['median']:,.0f} {unit}"
