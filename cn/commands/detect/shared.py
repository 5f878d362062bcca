"""What all sub-commands of `cn detect` share: their common options, and the work on the images."""

import functools
import inspect
import os
import sys
from collections import Counter
from collections.abc import Callable
from io import BufferedReader
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from cn import console
from cn.commands.options import OUTPUT_PANEL, Json, Overwrite, Quiet, Workers
from cn.errors import InputError, PartialError, UsageError

if TYPE_CHECKING:
    from cn.detect.protocol import Detector
    from cn.detect.sources import Sources

MakeDetector = Callable[[], "Detector"]

Source = Annotated[
    str,
    typer.Argument(
        metavar="SRC",
        help="An image, a folder, a glob pattern in quotes, or [b]-[/b]: paths (or one image) on standard input.",
        show_default=False,
    ),
]
Destination = Annotated[
    str,
    typer.Argument(
        metavar="DST",
        help="A folder; or, when SRC is one image, a file or [b]-[/b] for standard output.",
        show_default=False,
    ),
]
Recursive = Annotated[
    bool,
    typer.Option("--recursive", "-r", help="Search the folder's sub-folders too.", rich_help_panel="Input"),
]
Resolution = Annotated[
    int | None,
    typer.Option(
        "--resolution",
        metavar="N",
        min=64,
        max=8192,
        help="Resize the image first: short side N, both sides to multiples of 64, as the released checkpoints were "
        "trained. Default: its own size.",
        rich_help_panel=OUTPUT_PANEL,
    ),
]

_IMAGE_SIGNATURES = (b"\x89PNG", b"\xff\xd8\xff", b"GIF8", b"RIFF", b"BM", b"II*\x00", b"MM\x00*", b"\x00\x00\x00")


def shared(make: Callable[..., MakeDetector]) -> Callable[..., None]:
    """The sub-command of one kind: SRC and DST, the options of `make`, then those that all kinds have.

    `make` gets its own options only, checks them at once, and returns what makes the detector: that loads weights,
    and is called when there are images to work on.
    """
    own = inspect.signature(make).parameters.values()
    _, src, dst, *common = inspect.signature(_work).parameters.values()

    @functools.wraps(make)
    def command(src: str, dst: str, **options: Any) -> None:
        settings = {option.name: options.pop(option.name) for option in common}
        _work(make(**options), src, dst, **settings)

    wanted = [parameter.replace(kind=parameter.KEYWORD_ONLY) for parameter in (src, dst, *own, *common)]
    # Typer reads the options from here.
    command.__signature__ = inspect.Signature(wanted)  # type: ignore[attr-defined]
    command.__annotations__ = {p.name: p.annotation for p in wanted}
    return command


def _work(
    make_detector: MakeDetector,
    src: Source,
    dst: Destination,
    *,
    recursive: Recursive = False,
    resolution: Resolution = None,
    workers: Workers = None,
    overwrite: Overwrite = False,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Find the images, work through them, report each, and fail with the right exit code."""
    from cn.detect import batch, sources
    from cn.images import SUFFIXES

    found = sources.find(src, dst, suffixes=SUFFIXES, recursive=recursive, stdin_paths=_stdin_paths(src))
    _say_collisions(found)
    workers = workers or batch.automatic_workers(len(found))
    counts: Counter[str] = Counter()
    other_settings = 0
    work = batch.run(
        make_detector(),
        sources.jobs(found, dst),
        workers=min(workers, len(found)),
        overwrite=overwrite,
        resolution=resolution,
    )
    try:
        with console.progress(len(found), "detect", unit="image", quiet=quiet or found.single) as advance:
            for outcome in work:
                counts[outcome.status] += 1
                if outcome.output != "-" and (json or outcome.status == "written"):
                    console.emit(outcome.record(), json)
                if outcome.status == "failed":
                    if found.single and outcome.error is not None:
                        raise outcome.error
                    console.error(outcome.note or outcome.path)
                other_settings += outcome.status == "skipped" and outcome.note is not None
                advance(1, failed=counts["failed"])
    finally:
        # Also when interrupted: end the workers before saying what there is.
        work.close()
        if counts["skipped"] or (counts and not found.single):
            _summary(counts, other_settings, dst, quiet)
    _judge(counts)


def _judge(counts: "Counter[str]") -> None:
    if not counts["failed"]:
        return
    message = f"{counts['failed']} of {counts.total()} images failed"
    if counts["failed"] == counts.total():
        raise InputError(message)
    raise PartialError(f"{message}; the others are done")


def _summary(counts: "Counter[str]", other_settings: int, dst: str, quiet: bool) -> None:
    parts = [f"{counts['written']} written"]
    if counts["skipped"]:
        parts.append(f"{counts['skipped']} already there")
    if counts["failed"]:
        parts.append(f"{counts['failed']} failed")
    console.status(f"{dst}: {', '.join(parts)}", quiet=quiet)
    if other_settings:
        console.warn(
            f"{other_settings} of those already there were made with other settings; --overwrite makes them again"
        )


def _say_collisions(found: "Sources") -> None:
    from cn.detect import sources

    if count := sources.collisions(found):
        console.warn(f"{count} images share their name with another; their results keep the ending (a.jpg → a.jpg.png)")


def _stdin_paths(src: str) -> list[str] | None:
    """The paths on standard input, one a line or separated by NUL; None when `src` is not "-" or an image comes in."""
    if src != "-":
        return None
    if sys.stdin.isatty():
        raise UsageError("SRC is '-', but nothing is piped in")
    stream = cast(BufferedReader, sys.stdin.buffer)
    if stream.peek(8).startswith(_IMAGE_SIGNATURES):
        return None
    data = stream.read()
    lines = data.split(b"\0") if b"\0" in data else data.splitlines()
    return [os.fsdecode(line) for line in lines]
