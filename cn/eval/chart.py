"""A chart of figures with their intervals as SVG, for the report's page."""

import math
from collections.abc import Sequence
from html import escape

from cn.eval.bootstrap import Figure

WIDTH, ROW, LABELS, MARGIN = 760, 26, 200, 30


def chart(figures: Sequence[tuple[str, Figure]]) -> str:
    """Name and figure → a dot with its interval for each, one below the other, on an axis from zero."""
    known = [(name, figure) for name, figure in figures if math.isfinite(figure.value)]
    if not known:
        return ""
    ends = [end for _, figure in known for end in (figure.value, *(figure.interval or ()))]
    low, high = min(0.0, *ends), max(0.0, *ends)
    step = _step(high - low or 1.0)
    low, high = math.floor(low / step) * step, math.ceil((high or step) / step) * step
    height = ROW * len(known) + 28

    def x(value: float) -> float:
        return LABELS + (value - low) / (high - low) * (WIDTH - LABELS - MARGIN)

    parts = []
    for k in range(round((high - low) / step) + 1):
        tick = low + k * step
        parts.append(
            f'<line x1="{x(tick):.1f}" x2="{x(tick):.1f}" y1="4" y2="{height - 22}" stroke="currentColor" '
            f'opacity="0.15"/><text x="{x(tick):.1f}" y="{height - 6}" text-anchor="middle">{tick:g}</text>'
        )
    for row, (name, figure) in enumerate(known):
        y = ROW * row + 18
        shown = name if len(name) <= 26 else f"…{name[-25:]}"
        parts.append(f'<text x="{LABELS - 12}" y="{y + 4}" text-anchor="end">{escape(shown)}</text>')
        if figure.interval is not None:
            a, b = (f"{x(end):.1f}" for end in figure.interval)
            parts.append(f'<line x1="{a}" x2="{b}" y1="{y}" y2="{y}" stroke="#3b78c3" stroke-width="3"/>')
        parts.append(f'<circle cx="{x(figure.value):.1f}" cy="{y}" r="5" fill="#3b78c3"/>')
    return (
        f'<svg viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" style="max-width: 100%" role="img" '
        f'aria-label="means with 95 % intervals">{"".join(parts)}</svg>'
    )


def _step(span: float) -> float:
    """A round distance between ticks: 1, 2 or 5 times a power of ten, four to nine of them in `span`."""
    power = 10.0 ** math.floor(math.log10(span / 4))
    return next(round(f * power, 12) for f in (1, 2, 5, 10) if span / (f * power) <= 9)
