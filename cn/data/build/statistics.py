"""What a build came to, in numbers: counted image by image, in memory that does not grow with them."""

import re
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from cn.data.build.status import ImageStatus

_MOST_REASONS = 10
_PATH, _NUMBER = re.compile(r"^\S*[./\\]\S*: "), re.compile(r"\d+(\.\d+)?")
_SHARES = (0, 5, 25, 50, 75, 95, 100)
"""The percentiles that are stated."""


@dataclass
class Statistics:
    """Counts of a dataset; `record()` is the contents of stats.json."""

    kinds: tuple[str, ...]
    statuses: "Counter[str]" = field(default_factory=Counter)
    by_kind: dict[str, "Counter[str]"] = field(default_factory=dict)
    found: "Counter[str]" = field(default_factory=Counter)
    """Pairs by kind."""
    sizes: "Counter[tuple[int, int]]" = field(default_factory=Counter)
    short_sides: "Counter[int]" = field(default_factory=Counter)
    """Of the originals, in pixels."""
    ratios: "Counter[float]" = field(default_factory=Counter)
    """Width / height of the originals, rounded to two digits."""
    words: "Counter[int]" = field(default_factory=Counter)
    """Words of captions."""
    uncaptioned: int = 0
    enlarged: int = 0
    """Images that are larger than their original."""
    reasons: "Counter[str]" = field(default_factory=Counter)
    """Why images are left out, without names and numbers."""
    warnings: "Counter[str]" = field(default_factory=Counter)
    """What may be wrong with maps that were kept."""

    def add(self, status: ImageStatus) -> None:
        """Count an image."""
        self.statuses[status.status] += 1
        if status.reason is not None:
            self.reasons[_general(status.reason)] += 1
        for kind, result in status.kinds.items():
            duplicate = status.status == "duplicate"
            self.by_kind.setdefault(kind, Counter())["duplicate" if duplicate else result.status] += 1
            self.found[kind] += result.file is not None and not duplicate
            if result.reason is not None and result.status == "ok":
                self.warnings[f"{kind}: {_general(result.reason)}"] += 1
        if status.status != "ok" or status.size is None or status.original_size is None:
            return
        width, height = status.original_size
        self.sizes[status.size] += 1
        self.short_sides[min(width, height)] += 1
        self.ratios[round(width / height, 2)] += 1
        self.enlarged += status.size[0] > width or status.size[1] > height
        if status.prompt:
            self.words[len(status.prompt.split())] += 1
        else:
            self.uncaptioned += 1

    @property
    def images(self) -> int:
        """All of them, with those that are left out."""
        return self.statuses.total()

    @property
    def pairs(self) -> dict[str, int]:
        """Kind → how many pairs it has."""
        return {kind: self.pairs_of(kind) for kind in self.kinds}

    def pairs_of(self, kind: str) -> int:
        return self.found[kind]

    def empty_share(self, kind: str) -> float:
        """The share of the maps of a kind that show nothing."""
        counts = self.by_kind.get(kind, Counter())
        return counts["empty"] / max(1, counts["ok"] + counts["empty"])

    def record(self) -> dict[str, Any]:
        """As JSON values."""
        return {
            "images": self.images,
            "statuses": dict(self.statuses.most_common()),
            "kinds": {
                kind: {
                    "pairs": self.pairs_of(kind),
                    "empty_share": round(self.empty_share(kind), 4),
                    "statuses": dict(self.by_kind.get(kind, Counter()).most_common()),
                }
                for kind in self.kinds
            },
            "sizes": {f"{width}x{height}": count for (width, height), count in self.sizes.most_common()},
            "original_short_side": percentiles(self.short_sides),
            "original_aspect_ratio": percentiles(self.ratios),
            "enlarged": self.enlarged,
            "caption_words": percentiles(self.words),
            "without_caption": self.uncaptioned,
            "reasons": dict(self.reasons.most_common(_MOST_REASONS)),
            "warnings": dict(self.warnings.most_common(_MOST_REASONS)),
        }


def percentiles(counts: "Counter[Any]") -> dict[str, Any]:
    """ "p50" → the value that half of the counted ones do not exceed, and the same for others; {} for none."""
    total, values = counts.total(), sorted(counts)
    found: dict[str, Any] = {}
    passed = 0
    pending = list(_SHARES)
    for value in values:
        passed += counts[value]
        while pending and passed * 100 >= max(1, pending[0] * total):
            found[f"p{pending.pop(0)}"] = value
    return found


def _general(reason: str) -> str:
    """A reason without names of files and numbers, so that equal ones are counted together."""
    parts = [_PATH.sub("", part) for part in reason.split("; ")]
    return _NUMBER.sub("N", "; ".join(parts))
