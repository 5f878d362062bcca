"""`cn dataset merge`, and the end of a build: its lists, its statistics as a table, its exit code."""

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from cn import console, storage
from cn.commands.options import Json, Quiet
from cn.errors import InputError, PartialError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cn.data.build.places import Places
    from cn.data.build.plan import Plan
    from cn.data.build.statistics import Statistics

MAX_NAMED = 20
"""So many images that could not be used are named on the terminal; the statuses have all."""


@dataclass
class Done:
    """What this run did."""

    images: int = 0
    failed: int = 0
    seconds: float = 0.0

    @property
    def rate(self) -> float | None:
        """Images a second; None where there was nothing to do."""
        return self.images / self.seconds if self.images and self.seconds else None


def merge(
    parts: Annotated[
        list[str],
        typer.Argument(
            metavar="[PART…] OUT",
            help="The dataset whose parts were built into OUT (cn dataset build --shard), or datasets, or parts of "
            "one, in folders of their own, which are put together in OUT.",
        ),
    ],
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Finish a dataset that was built in parts, or put datasets of the same settings together.

    Duplicates are found across all parts; each image keeps its name.
    """
    from cn.data.build import merging

    *others, out = map(storage.from_user, parts)
    places, planned = merging.merged(others, out)
    finish_dataset(places, planned, None, json, quiet)


def finish_dataset(places: "Places", planned: "Plan", done: Done | None, json: bool, quiet: bool) -> None:
    """Write the lists and the statistics, show them, and fail with the right exit code."""
    from cn.data.build import finish
    from cn.data.sources.request import counted

    statistics = finish.finish(places, planned)
    out = places.out
    rate = None if done is None else done.rate
    console.plan(f"{out}: {counted(statistics.images, 'image')}", _table(statistics, rate), quiet=quiet)
    for text, count in statistics.warnings.most_common(MAX_NAMED):
        console.warn(f"{text} ({count} images)" if count > 1 else text)
    failures = list(finish.failures(places, planned, MAX_NAMED + 1))
    for status in failures[:MAX_NAMED]:
        console.error(f"{status.name}: {status.reason or status.status}")
    record = {"path": out, **statistics.record()} | (
        {} if done is None else {"processed": done.images, "seconds": round(done.seconds, 3)}
    )
    if sum(statistics.pairs.values()) == 0:
        raise InputError("not one pair came of these images; the statuses say why", path=os.path.join(out, "build"))
    console.emit(record if json else out, json)
    if failures:
        count = finish.count_failures(statistics)
        more = f"; {count - MAX_NAMED} more are in {out}/build/status" if count > MAX_NAMED else ""
        raise PartialError(f"{count} of {counted(statistics.images, 'image')} could not be used{more}")


def _table(statistics: "Statistics", rate: float | None) -> dict[str, object]:
    """What a person wants to see of the statistics."""
    from cn.data.build.statistics import percentiles
    from cn.data.sources.request import counted

    kinds = {
        kind: counted(statistics.pairs_of(kind), "pair")
        + (f", {statistics.empty_share(kind):.1%} of the maps were empty" if statistics.empty_share(kind) else "")
        for kind in statistics.kinds
    }
    left_out = {status: count for status, count in statistics.statuses.items() if status != "ok"}
    words, sides = percentiles(statistics.words), percentiles(statistics.short_sides)
    sizes = [f"{width}×{height} ({count:,})" for (width, height), count in statistics.sizes.most_common(5)]
    more = len(statistics.sizes) - 5
    return {
        **kinds,
        "left out": ", ".join(f"{count:,} {status}" for status, count in left_out.items()) or None,
        "sizes": ", ".join(sizes) + (f" and {more} more" if more > 0 else "") if sizes else None,
        "originals": f"short side {_span(sides)} pixels" if sides else None,
        "enlarged": counted(statistics.enlarged, "image") if statistics.enlarged else None,
        "captions": f"{_span(words)} words" if words else None,
        "no caption": f"{statistics.uncaptioned:,} (cn dataset caption)" if statistics.uncaptioned else None,
        "rate": None if rate is None else f"{rate:.1f} images a second",
    }


def _span(found: "Mapping[str, int]") -> str:
    """The range of what was counted, and its middle: "300–1411 (median 512)"."""
    low, middle, high = found["p0"], found["p50"], found["p100"]
    return f"{low:,}" if low == high else f"{low:,}–{high:,} (median {middle:,})"
