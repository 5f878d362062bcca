"""`cn dataset caption`: captions for images that have none."""

import contextlib
import itertools
import json as json_module
import os
from collections.abc import Callable, Generator, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from cn import console
from cn.caption.settings import ENGINES, CaptionSettings
from cn.commands.options import OUTPUT_PANEL, Device, Json, Overwrite, Quiet, Workers, with_options
from cn.errors import CnError, InputError, OutputError, PartialError, UsageError
from cn.options import COMPUTE_PANEL, PRECISION
from cn.precision import PrecisionChoice

if TYPE_CHECKING:
    from cn.caption.run import Outcome, Task
    from cn.commands.dataset.caption_jobs import Job

_NETWORK = "The network"
_READERS = 4
"""Threads that read images ahead: decoding is much faster than captioning."""
_LOOPS_WORTH_SAYING = 0.02
"""A share of captions that are loops, from which on it is worth a warning."""


@with_options
def caption(
    src: Annotated[
        str, typer.Argument(metavar="SRC", help="A folder of images, or a dataset: its folder, or its prompt.json.")
    ],
    settings: CaptionSettings,
    captioner: Annotated[
        Literal["blip", "blip-large", "coca", "coca-b-32"] | None,
        typer.Option(
            "--captioner", help="The network. Default: blip, or the one that --weights holds.", rich_help_panel=_NETWORK
        ),
    ] = None,
    weights: Annotated[
        str | None,
        typer.Option(
            "--weights",
            metavar="PATH",
            help="A file or folder of BLIP (transformers, or the authors' .pth) or CoCa (open_clip).",
            rich_help_panel=_NETWORK,
        ),
    ] = None,
    extension: Annotated[
        Literal[".txt", ".caption"],
        typer.Option("--extension", help="Of new caption files.", rich_help_panel=OUTPUT_PANEL),
    ] = ".txt",
    list_file: Annotated[
        Path | None,
        typer.Option(
            "--list",
            metavar="FILE",
            help='Write no caption files but one list: lines of {"file_name", "text"}. For any source.',
            rich_help_panel=OUTPUT_PANEL,
        ),
    ] = None,
    recursive: Annotated[
        bool, typer.Option("--recursive/--no-recursive", help="Sub-folders too.", rich_help_panel=OUTPUT_PANEL)
    ] = True,
    device: Device = "auto",
    precision: Annotated[
        PrecisionChoice,
        typer.Option("--precision", help=f"{PRECISION.help} auto: fp32.", rich_help_panel=COMPUTE_PANEL),
    ] = "auto",
    engine: Annotated[
        Literal["local", "ray"],
        typer.Option(
            "--engine",
            help="local, or ray: the GPUs of a Ray cluster, or its CPUs (--device cpu).",
            rich_help_panel=COMPUTE_PANEL,
        ),
    ] = "local",
    workers: Workers = None,
    overwrite: Overwrite = False,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Write captions for the images that have none: NAME.txt beside each, or empty prompts in prompt.json.

    Captions that are there stay, unless [b]--overwrite[/b]. An empty caption file counts as none. The weights come with
    [b]cn weights pull blip bert-vocab[/b] (or coca); nothing else is downloaded. After an interrupt, the same command
    continues. The same image and settings give the same caption, whatever the other images.
    """
    from cn.commands.dataset import caption_jobs

    if engine == "ray":
        from cn.ray_cluster import connection

        connection.check()
    with contextlib.ExitStack() as stack:
        identity = _identity(settings, captioner, weights, precision)
        job: Job
        if list_file is None and (files := caption_jobs.prompt_files(src)):
            job = caption_jobs.PromptJob(files, overwrite, identity, stack)
            console.status(f"{src}: {', '.join(map(str, files))}", quiet=quiet)
        else:
            from cn.commands.detect.standard_input import stdin_paths
            from cn.data.sources.open import open_source
            from cn.images.formats import SUFFIXES

            paths = stdin_paths(src, SUFFIXES)
            if src == "-" and paths is None:
                raise UsageError("standard input is an image; pipe in paths, one a line")
            source = open_source(src, recursive=recursive, stdin_paths=paths)
            console.status(f"{src}: {source.about}", quiet=quiet)
            for line in (*source.warnings, *source.left_out.warnings()):
                console.warn(line)
            if left := source.left_out.text():
                console.status(f"{src}: {left}", quiet=quiet)
            if list_file is not None:
                job = caption_jobs.ListJob(source, list_file, overwrite, identity, stack)
            elif src != "-" and not caption_jobs.reads_sidecars(source):
                raise UsageError(
                    f"captions cannot be written into this layout ({source.layout}); --list FILE makes a list", path=src
                )
            else:
                job = caption_jobs.SidecarJob(source, extension, overwrite)

        def captioned(tasks: "Iterator[Task]") -> "Generator[Outcome, None, None]":
            if engine == "ray":
                from cn.caption.ray_engine import caption_by_ray

                return caption_by_ray(
                    tasks,
                    src=src,
                    engine=captioner,
                    weights=weights,
                    device=device,
                    precision=precision,
                    settings=settings,
                    workers=workers,
                )
            from cn.caption import run
            from cn.caption.create import open_captioner

            network = open_captioner(captioner, weights, device, precision, settings)
            size = settings.batch_size or run.default_batch(network)
            return run.caption_all(network, tasks, batch_size=size, workers=workers or _READERS)

        _run(job, captioned, src, json, quiet)


def _identity(settings: CaptionSettings, captioner: str | None, weights: str | None, precision: str) -> str:
    """What a caption depends on besides its image: captions of an unfinished run are kept if this is the same."""
    words = {name: value for name, value in asdict(settings).items() if name != "batch_size"}
    path = None if weights is None else str(Path(weights).absolute())
    return json_module.dumps([captioner or ENGINES[0] if weights is None else captioner, path, precision, words])


def _run(
    job: "Job",
    captioned: "Callable[[Iterator[Task]], Generator[Outcome, None, None]]",
    src: str,
    json: bool,
    quiet: bool,
) -> None:
    tally = _Tally(job, src, json)
    tasks = job.tasks()
    try:
        with console.progress(job.total, "caption", unit="image", quiet=quiet) as advance:
            # The network is loaded only where there is something to do.
            if (first := next(tasks, None)) is not None:
                with contextlib.closing(captioned(itertools.chain([first], tasks))) as outcomes:
                    for outcome in outcomes:
                        tally.add(outcome)
                        advance(tally.news(), failed=tally.failed)
        for path in job.finish():
            if not json:
                console.emit(path)
    finally:
        tally.report(quiet=quiet)
    tally.judge()


class _Tally:
    """Says what becomes of each image, and counts."""

    def __init__(self, job: "Job", src: str, json: bool):
        self.job, self.src, self.json = job, src, json
        self.written = self.failed = self.loops = self._shown = 0
        self.example = ""

    def news(self) -> int:
        """How many images more than at the last call are done with."""
        self._broken()
        now = self.written + self.failed + self.job.seen.kept + self.job.seen.resumed
        before, self._shown = self._shown, now
        return now - before

    def add(self, outcome: "Outcome") -> None:
        self._broken()
        if outcome.caption is None:
            assert outcome.error is not None
            self._fail(outcome.task.name, outcome.error)
            return
        try:
            path = self.job.put(outcome.task, outcome.caption)
        except OutputError as error:
            folder = os.path.dirname(error.path or "") or "."
            if error.stays or not os.access(folder, os.W_OK):
                # Every other image would be captioned in vain.
                raise
            self._fail(outcome.task.name, error)
            return
        self.written += 1
        if outcome.loop:
            self.loops += 1
            self.example = self.example or f"{outcome.task.name}: {outcome.caption}"
        record = {"path": outcome.task.name, "output": path, "status": "written", "caption": outcome.caption}
        if self.json:
            console.emit({**record, "seconds": round(outcome.seconds, 4)}, json=True)
        elif self.job.each:
            console.emit(path)

    def _broken(self) -> None:
        for name, error in self.job.seen.broken:
            self._fail(name, error)
        self.job.seen.broken.clear()

    def _fail(self, name: str, error: CnError) -> None:
        self.failed += 1
        console.error(str(error) if error.path else f"{name}: {error}")
        if self.json:
            console.emit({"path": name, "output": None, "status": "failed", "reason": error.what}, json=True)

    def report(self, *, quiet: bool) -> None:
        """One line of numbers, then warnings."""
        self._broken()
        seen = self.job.seen
        if not self.written + self.failed + seen.kept + seen.resumed:
            return  # It ended before the first image.
        parts = [f"{self.written} captioned"]
        parts += [f"{seen.kept} had a caption"] * bool(seen.kept)
        parts += [f"{seen.resumed} captioned by an earlier run"] * bool(seen.resumed)
        parts += [f"{self.failed} failed"] * bool(self.failed)
        text = ", ".join(parts)
        if seen.empty:
            text += f"; {seen.empty} caption files were empty"
        console.status(f"{self.src}: {text}", quiet=quiet)
        if shared := getattr(self.job, "shared", 0):
            console.warn(
                f"{shared} images share their name with another (a.jpg, a.png): their captions are called a.jpg.txt"
            )
        if self.loops > _LOOPS_WORTH_SAYING * self.written:
            console.warn(
                f"{self.loops} of {self.written} captions repeat the same words ({self.example}); "
                "--no-repeat-ngram 3 or --repetition-penalty 1.2 helps, with --overwrite for those that are there"
            )

    def judge(self) -> None:
        """Raise the error for the exit code, if images failed."""
        done = self.written + self.job.seen.kept + self.job.seen.resumed
        if not self.failed:
            return
        message = f"{self.failed} of {self.failed + done} images failed{'; the others are done' if done else ''}"
        raise PartialError(message) if done else InputError(message)
