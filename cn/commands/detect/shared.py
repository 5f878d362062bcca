"""Common to all sub-commands of `cn detect`: their shared options, and running the detector on the images."""

import contextlib
import functools
import inspect
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from cn import console
from cn.commands.detect.network_options import NetworkOptions, networks_text
from cn.commands.detect.report import Tally, library_error, report
from cn.commands.detect.standard_input import stdin_paths
from cn.commands.options import OUTPUT_PANEL, Given, Json, Overwrite, Quiet, Workers, with_options
from cn.conditions import KINDS
from cn.errors import UsageError
from cn.images import SUFFIXES, VIDEO_SUFFIXES

if TYPE_CHECKING:
    from cn.detect.detector import Detector
    from cn.detect.run.frames import Choice
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
Frames = Annotated[
    str | None,
    typer.Option(
        "--frames",
        metavar="first|all|N:M",
        help="Which frames of videos, animations and files of several pages become maps, NAME-0001.png and so on. "
        "Default: all of a video, the first of any other file.",
        show_default=False,
        rich_help_panel="Input",
    ),
]
Fps = Annotated[
    float | None,
    typer.Option(
        "--fps",
        metavar="F",
        help="Thin videos out to so many frames per second. Default: all frames.",
        show_default=False,
        rich_help_panel="Input",
    ),
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

_MAX_COUNTED = 64
"""Of so many videos and animations, the frames are counted first, for the time left."""


@dataclass(frozen=True)
class Task:
    """The result of a sub-command's own options."""

    detector: "Callable[[], Detector]"
    """Called when there are images to process: it may load weights."""
    suffixes: frozenset[str] | None = None
    """The suffixes of the input files in a folder; None: those of images."""
    sidecars: str | None = None
    """The folder for sidecar files (`Detection.sidecar`)."""
    companions: frozenset[str] = frozenset()
    """The suffixes of files that belong to other input files and are read with them."""


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


def _run(
    task: Task,
    src: Source,
    dst: Destination,
    *,
    recursive: Recursive = False,
    frames: Frames = None,
    fps: Fps = None,
    resolution: Resolution = None,
    workers: Workers = None,
    overwrite: Overwrite = False,
    on_empty: OnEmpty = "keep",
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Find the images, process them, report each, and fail with the right exit code."""
    if dst == "-" and json:
        raise UsageError("--json and DST - would both write to standard output; name a file for the map")
    # What can be refused is refused before anything heavy is imported.
    found, chosen = _sources(task, src, dst, recursive, frames, fps)
    with _loading():
        # First the libraries: were memory too short for them, each image would fail.
        import cv2  # noqa: F401

        from cn.detect.run import batch, jobs, schedule
        from cn.detect.run import frames as frame_files
        from cn.detect.run import workers as worker_count

        detector = task.detector()
    found = found.divided(detector.parts)
    if task.sidecars is not None and detector.sidecar_suffix is not None:
        jobs.check_sidecars(found, dst, task.sidecars, detector.sidecar_suffix)
    files = frame_files.files(found, dst, chosen)
    count = len(found)
    outcomes = schedule.run(
        batch.Pipeline(detector, overwrite, resolution, on_empty, task.sidecars),
        jobs.of(found, dst),
        count,
        workers or worker_count.workers(detector, count, streams=bool(files)),
        files,
    )
    total, photographs = None if files else count, task.suffixes is None
    tally = Tally(found, src, _folders(task, dst), total, advise_frames=photographs, chosen=chosen.given)
    expected = count + sum(file.expected() for file in files) if len(files) <= _MAX_COUNTED else None
    try:
        with console.progress(expected, "detect", unit="image", quiet=quiet or found.single) as advance:
            for outcome in outcomes:
                tally.add(outcome)
                report(outcome, tally, json, quiet)
                advance(1, failed=tally.counts["failed"])
                if tally.stopped:
                    break
    finally:
        # Also when interrupted: end the workers before the summary.
        outcomes.close()
        tally.report(json=json, quiet=quiet)
    tally.judge()


def _sources(
    task: Task, src: str, dst: str, recursive: bool, frames: str | None, fps: float | None
) -> "tuple[Sources, Choice]":
    """What SRC names, and which of its frames are taken. Raises whatever is wrong with SRC, DST and these options."""
    from cn.detect.run import inputs, jobs
    from cn.detect.run.frames import choice, with_sequences

    photographs = task.suffixes is None
    if not photographs and (frames is not None or fps is not None):
        raise UsageError("--frames and --fps are for photographs and videos; other files give their first page")
    if fps is not None and not (math.isfinite(fps) and fps > 0):
        raise UsageError("--fps is a number of frames per second, above 0")
    chosen = choice(frames, fps)
    suffixes = task.suffixes or SUFFIXES | VIDEO_SUFFIXES
    found = inputs.find(
        src,
        *_folders(task, dst),
        suffixes=suffixes,
        recursive=recursive,
        stdin_paths=stdin_paths(src, suffixes),
        images=photographs,
        companions=task.companions,
    )
    if photographs:
        found = with_sequences(found, chosen)
    jobs.check_destination(found, dst)
    if count := jobs.collisions(found):
        console.warn(f"{count} images share their name with another; their results keep the suffix (a.jpg → a.jpg.png)")
    return found, chosen


def _folders(task: Task, dst: str) -> tuple[str, ...]:
    """Where results are written."""
    return (dst,) if task.sidecars is None else (dst, task.sidecars)


@contextlib.contextmanager
def _loading() -> Iterator[None]:
    """Where libraries are loaded: that this fails is said once, not for each image."""
    try:
        yield
    except (ImportError, MemoryError, OSError) as error:
        raise library_error(error) from error
