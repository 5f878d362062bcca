"""Common to all sub-commands of `cn detect`: their shared options, and running the detector on the images."""

import codecs
import functools
import inspect
import os
import re
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from io import BufferedReader
from typing import TYPE_CHECKING, Annotated, Any, Literal, cast

import typer

from cn import console
from cn.commands.detect.network_options import NetworkOptions, networks_text
from cn.commands.options import OUTPUT_PANEL, Given, Json, Overwrite, Quiet, Workers, with_options
from cn.conditions import KINDS
from cn.errors import InputError, PartialError, UsageError

if TYPE_CHECKING:
    from cn.detect.detector import Detector
    from cn.detect.run.batch import Outcome
    from cn.detect.run.inputs import Sources

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
OnEmpty = Annotated[
    Literal["keep", "skip", "fail"],
    typer.Option(
        "--on-empty",
        help="Where nothing is found in an image: keep the empty map, skip it (no file), or count it as failed.",
        rich_help_panel=OUTPUT_PANEL,
    ),
]

_CONTENT = re.compile(
    rb"\x89PNG|\xff\xd8\xff|GIF8[79]a|RIFF....WEBP|BM....\0\0\0\0|II\*\0|MM\0\*|\0\0[\0\1]|\x93NUMPY|P[1-7]\s+[#\d]",
    re.DOTALL,
)
"""How images and arrays begin; no list of paths begins so."""

_MAX_NAMED = 10
"""Failed images that the summary names."""


@dataclass(frozen=True)
class Task:
    """The result of a sub-command's own options."""

    detector: "Callable[[], Detector]"
    """Called when there are images to process: it may load weights."""
    suffixes: frozenset[str] | None = None
    """The suffixes of the input files in a folder; None: those of images."""
    sidecars: str | None = None
    """The folder for sidecar files (`Detection.sidecar`)."""


def network_task(kind: str, network: NetworkOptions, given: Given[Any], *, sidecars: str | None = None) -> Task:
    """A kind's detector with the network that was chosen. Raises UsageError for options that contradict each other."""
    network.check()

    def detector() -> "Detector":
        from cn.detect.detector import detector_class

        return detector_class(kind).create(network.open(), **given)

    return Task(detector, sidecars=sidecars)


def shared(make: Callable[..., Task]) -> Callable[..., None]:
    """The sub-command of one kind: SRC and DST, the options of `make`, then those that all kinds have.

    `make` gets its own options only, and checks them immediately. See `cn.commands.options.with_options` for parameters
    that stand for the options of a dataclass.
    """
    _, src, dst, *common = inspect.signature(_run).parameters.values()

    @functools.wraps(make)
    def command(src: str, dst: str, **words: Any) -> None:
        settings = {option.name: words.pop(option.name) for option in common}
        _run(make(**words), src, dst, **settings)

    if make.__name__ in KINDS:
        command.__doc__ = f"{make.__doc__}\n\n{networks_text(make.__name__)}"
    wanted = [src, dst, *inspect.signature(make).parameters.values(), *common]
    parameters = [parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY) for parameter in wanted]
    command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    return with_options(command)


@dataclass
class _Tally:
    """The outcomes so far, counted. Of the images that failed, only the first few names are kept."""

    counts: "Counter[str]" = field(default_factory=Counter)
    other_settings: int = 0
    warnings: "Counter[str]" = field(default_factory=Counter)
    failed: list[str] = field(default_factory=list)

    def add(self, outcome: "Outcome") -> None:
        self.counts[outcome.status] += 1
        self.other_settings += outcome.status == "skipped" and outcome.message is not None
        if outcome.status == "written" and outcome.message is not None:
            self.warnings.update(outcome.general or (outcome.message,))
        if outcome.status == "failed" and len(self.failed) < _MAX_NAMED:
            self.failed.append(outcome.path)

    def report(self, dst: str, quiet: bool) -> None:
        """One line of numbers, one of names, and warnings."""
        counts = self.counts
        parts = [f"{counts['written']} written"]
        parts += [f"{counts['skipped']} already there"] * bool(counts["skipped"])
        parts += [f"{counts['empty']} with nothing found (no file)"] * bool(counts["empty"])
        parts += [f"{counts['failed']} failed"] * bool(counts["failed"])
        console.status(f"{dst}: {', '.join(parts)}", quiet=quiet)
        if self.failed:
            more = counts["failed"] - len(self.failed)
            named = ", ".join(path.replace("\n", "\\n") for path in self.failed)
            console.status(f"failed: {named}{f' and {more} more' if more else ''}", quiet=quiet)
        if self.other_settings:
            console.warn(
                f"{self.other_settings} of those already there were made with other settings; "
                "--overwrite regenerates them"
            )
        for warning, count in self.warnings.most_common(_MAX_NAMED):
            console.warn(f"{warning} ({count} {'image' if count == 1 else 'images'})")
        if (more := len(self.warnings) - _MAX_NAMED) > 0:
            console.warn(f"{more} other warnings; --json has them")

    def judge(self) -> None:
        """Raise the error for the exit code, if images failed."""
        if not self.counts["failed"]:
            return
        message = f"{self.counts['failed']} of {self.counts.total()} images failed"
        if self.counts["failed"] == self.counts.total():
            raise InputError(message)
        raise PartialError(f"{message}; the others are done")


def _run(
    task: Task,
    src: Source,
    dst: Destination,
    *,
    recursive: Recursive = False,
    resolution: Resolution = None,
    workers: Workers = None,
    overwrite: Overwrite = False,
    on_empty: OnEmpty = "keep",
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Find the images, process them, report each, and fail with the right exit code."""
    from cn.detect.run import batch, inputs, jobs
    from cn.detect.run import workers as worker_count
    from cn.images import SUFFIXES

    if dst == "-" and json:
        raise UsageError("--json and DST - would both write to standard output; name a file for the map")
    suffixes = task.suffixes or SUFFIXES
    results = (dst, task.sidecars) if task.sidecars is not None else (dst,)
    found = inputs.find(src, *results, suffixes=suffixes, recursive=recursive, stdin_paths=_stdin_paths(src, suffixes))
    _report_collisions(found)
    detector = task.detector()
    found = found.divided(detector.parts)
    if task.sidecars is not None and detector.sidecar_suffix is not None:
        jobs.check_sidecars(found, dst, task.sidecars, detector.sidecar_suffix)
    count = len(found)
    outcomes = batch.run(
        batch.Pipeline(detector, overwrite, resolution, on_empty, task.sidecars),
        jobs.of(found, dst),
        count,
        min(workers or worker_count.workers(detector, count), count),
    )
    tally = _Tally()
    try:
        with console.progress(count, "detect", unit="image", quiet=quiet or found.single) as advance:
            for outcome in outcomes:
                tally.add(outcome)
                _report(outcome, found.single, json, quiet)
                advance(1, failed=tally.counts["failed"])
    finally:
        # Also when interrupted: end the workers before the summary.
        outcomes.close()
        if tally.counts["skipped"] or (tally.counts and not found.single):
            tally.report(dst, quiet)
    tally.judge()


def _report(outcome: "Outcome", single: bool, json: bool, quiet: bool) -> None:
    if outcome.output != "-" and (json or outcome.status == "written"):
        console.emit(outcome.record(), json)
    if outcome.status == "written" and single and outcome.message is not None:
        console.warn(f"{outcome.path}: {outcome.message}")
    if outcome.status == "failed":
        if single and outcome.error is not None:
            raise outcome.error
        console.error(outcome.message or outcome.path)
    if outcome.status == "empty" and single:
        console.status(f"{outcome.path}: nothing was found; no file is written (--on-empty skip)", quiet=quiet)


def _report_collisions(found: "Sources") -> None:
    from cn.detect.run import jobs

    if count := jobs.collisions(found):
        console.warn(f"{count} images share their name with another; their results keep the suffix (a.jpg → a.jpg.png)")


def _stdin_paths(src: str, suffixes: frozenset[str]) -> list[str] | None:
    """The paths on standard input, one a line or separated by NUL; None when `src` is not "-" or the input is an image.

    For detectors that read ".json", input that begins as JSON is not a list of paths.
    """
    if src != "-":
        return None
    if sys.stdin.isatty():
        raise UsageError("SRC is '-', but nothing is piped in")
    stream = cast(BufferedReader, sys.stdin.buffer)
    head = stream.peek(16)
    is_json = head.removeprefix(codecs.BOM_UTF8).lstrip().startswith((b"{", b"["))
    if _CONTENT.match(head) or (".json" in suffixes and is_json):
        return None
    data = stream.read()
    lines = data.split(b"\0") if b"\0" in data else data.splitlines()
    return [os.fsdecode(line) for line in lines]
