"""`cn dataset subset` and `split`: parts of datasets, linked."""

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from cn import console
from cn.commands.options import COMPUTE_PANEL, OUTPUT_PANEL, Json, Quiet
from cn.errors import PartialError, UsageError

if TYPE_CHECKING:
    from cn.data.formats.opened import Opened
    from cn.data.formats.packing import Pack
    from cn.data.formats.plan import LeftOutSamples, Samples

_Set = Annotated[str, typer.Argument(metavar="SET", help="A dataset with prompt.json, or in any other layout.")]
_Copy = Annotated[
    bool,
    typer.Option("--copy", help="Copy the files. Default: hard links, or symbolic ones.", rich_help_panel=OUTPUT_PANEL),
]
_Seed = Annotated[
    int,
    typer.Option("--seed", metavar="N", help="The same seed gives the same samples.", rich_help_panel=COMPUTE_PANEL),
]


def subset(
    dataset: _Set,
    out: Annotated[
        str, typer.Argument(metavar="OUT", help="A new folder; with several --count, a folder OUT/N for each.")
    ],
    count: Annotated[
        list[int], typer.Option("--count", "-n", metavar="N", min=1, help="How many samples. May be repeated.")
    ],
    by: Annotated[
        Literal["resolution", "random", "hash"],
        typer.Option("--by", help="resolution: the largest originals first; random: by --seed; hash: by content."),
    ] = "random",
    seed: _Seed = 0,
    copy: _Copy = False,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Write the first N samples of a ranking as a dataset of its own, whose files are links.

    Of the same ranking, the first 1,000 are also the first 1,000 of the first 10,000, in the same order. Which samples
    are chosen does not depend on the order of the dataset.
    """
    from cn.data.formats.opened import open_any
    from cn.data.select.subset import check_counts, places, rank, take

    opened = open_any(dataset)
    with console.progress(None, "ranking", unit="sample", quiet=quiet) as advance:
        ranking = rank(opened, by, seed, advance)
    _report(ranking.left_out)
    counts = list(dict.fromkeys(count))
    check_counts(counts, ranking, dataset)
    if by == "resolution":
        console.status(_originals(ranking.originals, len(ranking.numbers)), quiet=quiet)
    for number in counts:
        folder = out if len(counts) == 1 else f"{out.rstrip('/')}/{number}"
        chosen = ranking.numbers[:number]
        note = {"subset": {"by": by, "count": number, **({"seed": seed} if by == "random" else {})}}
        part = _Part(opened, folder, copy, quiet)
        done = part.write(take(opened, chosen), note, places(chosen))
        record = {"path": folder, "by": by, "count": done.samples, "of": len(ranking.numbers), "linked": not copy}
        console.emit(record if json else folder, json)


def _originals(known: int, all: int) -> str:
    if known == all:
        return "ranked by the size of the originals"
    what = "no line states the size of the original" if not known else f"{all - known} lines do not state the original"
    return f"{what}: ranked by the image's own size there"


def split(
    dataset: _Set,
    out: Annotated[str, typer.Argument(metavar="OUT", help="A new folder for OUT/train and OUT/validation.")],
    validation: Annotated[
        str, typer.Option("--validation", metavar="N|SHARE", help="Samples for validation: 500, 0.05 or 5%.")
    ],
    group_by: Annotated[
        str | None,
        typer.Option("--group-by", metavar="KEY", help="Samples with the same value of this key stay together."),
    ] = None,
    seed: _Seed = 0,
    copy: _Copy = False,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Split a dataset into training and validation so that nothing is on both sides; files are links.

    Near-duplicates, lines of one image, frames of one video, and lines with the same "video", "clip", "original" or
    "group" stay together. Images that are added later move as few others as possible.
    """
    from cn.data.formats.opened import open_any
    from cn.data.select import split as core
    from cn.data.select.subset import take

    wanted = _wanted(validation)
    opened = open_any(dataset)
    with console.progress(None, "comparing", unit="sample", quiet=quiet) as advance:
        found = core.split(opened, wanted, seed=seed, group_by=group_by, advance=advance)
    _report(found.left_out)
    total = len(found.train) + len(found.validation)
    console.status(f"{total} samples in {found.groups} groups of what belongs together", quiet=quiet)
    if found.largest > max(10, total // 10):
        console.warn(f"{found.largest} samples are alike and stay together, such as {found.largest_name}")
    asked = max(1, round(wanted * total)) if isinstance(wanted, float) else wanted
    if len(found.validation) < asked:
        console.warn(f"{len(found.validation)} samples for validation instead of {asked}: all other groups are larger")
    for name, numbers in (("train", found.train), ("validation", found.validation)):
        folder = f"{out.rstrip('/')}/{name}"
        note = {"split": {"side": name, "validation": validation, "seed": seed, "group_by": group_by}}
        done = _Part(opened, folder, copy, quiet).write(take(opened, numbers), note, None)
        record = {"path": folder, "side": name, "count": done.samples, "linked": not copy}
        console.emit(record if json else folder, json)
    if found.left_out.count:
        raise PartialError(f"{found.left_out.count} samples are on neither side: they cannot be used")


def _wanted(text: str) -> int | float:
    """A number of samples, or a share as a float."""
    try:
        value = float(text.removesuffix("%")) / 100 if text.endswith("%") else float(text)
    except ValueError:
        value = -1.0
    share = text.endswith("%") or 0 < value < 1
    if not (0 < value < 1 if share else 1 <= value < math.inf and value == int(value)):
        raise UsageError(f"--validation {text}: write a number of samples, or a share such as 0.05 or 5%")
    return value if share else int(value)


def _report(left_out: "LeftOutSamples") -> None:
    for message in left_out.messages():
        console.warn(f"left out: {message}")


class _Part:
    """A part of a dataset on its way to a folder."""

    def __init__(self, opened: "Opened", folder: str, copy: bool, quiet: bool):
        self.opened, self.folder, self.copy, self.quiet = opened, folder, copy, quiet

    def write(self, samples: "Samples", note: Mapping[str, Any], places: Sequence[int] | None) -> "Pack":
        """Write it as a dataset with prompt.json."""
        from cn.data.formats import packing
        from cn.data.formats.layouts import PROMPT_JSON

        work = packing.prepare(
            samples,
            self.opened.root,
            self.folder,
            PROMPT_JSON,
            description=self.opened.description,
            source=self.opened.place,
            link=not self.copy,
            places=places,
            note={**note, "linked": not self.copy},
        )
        with console.progress(work.plan.count, f"writing {self.folder}", unit="sample", quiet=self.quiet) as advance:
            done = packing.run(work, advance)
        _report(done.left_out)
        return done
