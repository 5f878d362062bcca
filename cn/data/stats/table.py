"""The numbers of a dataset as a person reads them, a row for each subject."""

from collections import Counter
from collections.abc import Mapping
from typing import Any

from cn.data.stats.counts import MAX_TOKENS, Counts, Size, short_sides, spread
from cn.text import percent
from cn.units import bytes_text

_MOST_SIZES = 3
SQUARE = 0.05
"""Up to this deviation from 1, an aspect ratio counts as square."""


def rows(counts: Counts) -> dict[str, str]:
    """Name → text; what a dataset does not have has no row."""
    found = {"samples": _samples(counts)}
    if counts.maps:
        found["maps"] = ", ".join(_kind(counts, kind) for kind in sorted(counts.maps))
    if counts.broken.count:
        found["broken"] = "\n".join([f"{counts.broken.count:,}", *counts.broken.messages()[:5]])
    if counts.other_frames:
        found["other frames"] = f"{counts.other_frames:,} maps have another shape than their image"
    if counts.sizes:
        found["sizes"] = _sizes(counts.sizes)
        found["short sides"] = _spread(spread(short_sides(counts.sizes)), " pixels")
        if counts.originals:
            found["originals"] = f"{_spread(spread(short_sides(counts.originals)), ' pixels')} (short sides)"
        found["aspect ratios"] = f"{shapes(counts.sizes)}; {_spread(spread(counts.ratios))}"
        found["captions"] = _captions(counts)
    if counts.words:
        found["words"] = _spread(spread(counts.words))
        beyond = f"; {counts.too_long:,} captions beyond {MAX_TOKENS}" if counts.too_long else ""
        found["tokens"] = f"{_spread(spread(counts.tokens))}{beyond}"
    found["files"] = f"images {bytes_text(counts.image_bytes)}, maps {bytes_text(counts.map_bytes)}"
    return found


def text(counts: Counts) -> list[str]:
    """The rows as lines, aligned."""
    found = rows(counts)
    width = max(map(len, found))
    lines = []
    for name, value in found.items():
        first, *rest = value.splitlines()
        lines += [f"{name.ljust(width)}  {first}", *(f"{' ' * width}  {line}" for line in rest)]
    return lines


def _samples(counts: Counts) -> str:
    usable = counts.samples - counts.broken.count
    same = f", of {len(counts.images):,} images" if len(counts.images) != usable else ""
    return f"{counts.samples:,}{same}"


def _kind(counts: Counts, kind: str) -> str:
    count, empty = counts.maps[kind], counts.empty[kind]
    share = f" ({percent(empty / count)} empty)" if empty else ""
    return f"{kind or 'one kind'} {count:,}{share}"


def _sizes(sizes: Counter[Size]) -> str:
    total = sizes.total()
    # Of equally many, the larger one first.
    ordered = sorted(sizes.items(), key=lambda item: (-item[1], item[0][0] * -item[0][1], item[0]))
    listed = [f"{w}×{h} {percent(count / total)}" for (w, h), count in ordered[:_MOST_SIZES]]
    more = f", {len(sizes) - _MOST_SIZES:,} others" if len(sizes) > _MOST_SIZES else ""
    return ", ".join(listed) + more


def shapes(sizes: Counter[Size]) -> str:
    """The shares of portrait, square and landscape."""
    names = ("portrait", "square", "landscape")
    found: Counter[str] = Counter()
    for (width, height), count in sizes.items():
        ratio = width / height
        found[names[1] if abs(ratio - 1) <= SQUARE else names[2 * (ratio > 1)]] += count
    return ", ".join(f"{name} {percent(found[name] / sizes.total())}" for name in names if found[name])


def _captions(counts: Counts) -> str:
    total = counts.words.total()
    usable = total + counts.missing + counts.blank
    parts = [f"{total:,} ({percent(total / usable)})"]
    if total and len(counts.captions) < total:
        parts.append(f"{len(counts.captions):,} different")
    if counts.missing:
        parts.append(f"{counts.missing:,} missing")
    if counts.blank:
        parts.append(f"{counts.blank:,} empty")
    return ", ".join(parts)


def _spread(numbers: Mapping[str, Any], unit: str = "") -> str:
    if numbers["min"] == numbers["max"]:
        return f"{_number(numbers['min'])}{unit}"
    low, middle, high = (_number(numbers[name]) for name in ("min", "median", "max"))
    return f"{low} to {high}{unit}, median {middle}"


def _number(value: float) -> str:
    return f"{value:,.0f}" if value == int(value) else f"{value:,.3g}"
