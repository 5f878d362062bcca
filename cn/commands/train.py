"""`cn train`: trains a ControlNet on a base and pairs of image and condition."""

import contextlib
import time
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cn import console
from cn.commands.options import COMPUTE_PANEL, Device, Given, Json, Quiet, with_options
from cn.options import declared
from cn.train.config import CHANGEABLE, TrainConfig
from cn.train.options.model import PANEL as MODEL
from cn.train.options.run import PANEL as RUN

if TYPE_CHECKING:
    from cn.train.evaluation.records import Evaluation
    from cn.train.task import Task
    from cn.train.trainer import StepResult
    from cn.train.world import World


@with_options
def train(
    context: typer.Context,
    given: Given[TrainConfig],
    reconnect: Annotated[
        bool,
        typer.Option(
            "--reconnect",
            help="With --resume of a small-scale run: add the decoder connections.",
            rich_help_panel=MODEL,
        ),
    ] = False,
    config_file: Annotated[
        Path | None,
        typer.Option(
            "--config",
            metavar="FILE",
            help="Options from a file: the config.toml of a run, or some lines of one. Those given beside it win.",
            rich_help_panel=RUN,
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", metavar="RUN", help="The run's folder. Default: runs/KIND.", rich_help_panel=RUN),
    ] = None,
    resume: Annotated[
        Path | None,
        typer.Option(
            "--resume",
            metavar="RUN",
            help="Continue this run exactly where it was last saved. "
            f"{', '.join(declared(TrainConfig)[name].label for name in CHANGEABLE)}, --reconnect and --large-scale "
            "may change.",
            rich_help_panel=RUN,
        ),
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Start again in a folder that holds a run.", rich_help_panel=RUN)
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show the plan and stop.", rich_help_panel=RUN)] = False,
    device: Device = "auto",
    workers: Annotated[
        int | None,
        typer.Option(
            "--workers",
            metavar="N",
            min=0,
            help="Processes that render or read images ahead; the result does not depend on it.",
            rich_help_panel=COMPUTE_PANEL,
        ),
    ] = None,
    fit: Annotated[
        str | None,
        typer.Option(
            "--fit",
            metavar="12GB|auto",
            help="Keep a new run within this memory of the device; auto: within what is free. Batch size, accumulation "
            "and --checkpoint-activations are chosen, where they are not given, and on a GPU 8-bit AdamW.",
            rich_help_panel=COMPUTE_PANEL,
        ),
    ] = None,
    nproc: Annotated[
        str | None,
        typer.Option(
            "--nproc",
            metavar="N|gpu",
            help="Processes of this machine that train together, one for each GPU; gpu: as many as there are.",
            rich_help_panel=COMPUTE_PANEL,
        ),
    ] = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Train a ControlNet: a copy of the base's encoder that learns a condition, while the base stays as it is.

    Writes a folder with control.safetensors, which [b]cn sample --control[/b] takes, previews, metrics and the state to
    resume from. [b]cn train --cond depth[/b] trains on the built-in scenes, without any other files.
    """
    started = time.monotonic()
    from cn.train.distributed.environment import launched
    from cn.train.given_file import with_file
    from cn.train.request import check_request

    if config_file is not None:
        given = Given(with_file(config_file, given, resume=resume))
    check = partial(
        check_request,
        given,
        out=out,
        resume=resume,
        device=device,
        reconnect=reconnect,
        overwrite=overwrite,
        fit=fit,
    )
    if nproc is not None and launched() is None:
        from cn.train.distributed.launch import launch, process_count, without_option

        # What is wrong with the options is said here, at once.
        check()
        if (count := process_count(nproc, device)) > 1:
            launch(without_option(context.obj, "--nproc"), count)
            return
    with _joined(device) as world:
        with world.together():
            request = check()
            from cn.train import run
            from cn.train.stop import warned_early
            from cn.train.task import open_task

            with warned_early():
                task = open_task(request, device, world)
        if world.is_main:
            _train(task, workers, started, dry_run=dry_run, json=json, quiet=quiet)
        elif not dry_run:
            run.train(task, workers=workers, started=started)


def _joined(device: str) -> AbstractContextManager["World"]:
    """The processes that train together: those that a launcher started, or this one."""
    from cn.train.distributed.environment import launched
    from cn.train.world import ALONE

    if launched() is None:
        return contextlib.nullcontext(ALONE)
    from cn.train.distributed.group import joined

    return joined(device)


def _train(task: "Task", workers: int | None, started: float, *, dry_run: bool, json: bool, quiet: bool) -> None:
    """The run, as its first process shows it."""
    from cn.train import run
    from cn.train.warning_log import WARNINGS

    config = task.config
    what = "a ControlNet" if config.baseline == "none" else "the baseline without a ControlNet"
    console.plan(f"Training {what} for {config.cond}", run.plan(task), quiet=quiet)
    if dry_run:
        for warning in run.warnings(task):
            console.warn(warning)
        return
    if task.state is not None and task.step >= config.steps:
        console.status(f"{task.run} already has its {task.step} steps; give more with --steps N", quiet=quiet)
    with console.progress(config.steps, "training", unit="step", initial=task.step, quiet=quiet) as advance:
        result = run.train(task, workers=workers, listener=_Listener(advance, quiet, task.step), started=started)
    if result.stopped:
        console.status(result.stopped, quiet=quiet)
    if result.skipped:
        console.warn(f"{result.skipped} of {task.source.count} pairs were skipped; {task.run / WARNINGS} lists them")
    record = {"path": str(result.control), "kind": config.cond, "step": result.step, "run": str(task.run)}
    record |= {"skipped": result.skipped} if result.skipped else {}
    record |= {"stopped": result.stopped} if result.stopped else {}
    record |= result.scores
    console.emit(record, json)


class _Listener:
    """Shows a run on the terminal."""

    def __init__(self, advance: console.Advance, quiet: bool, step: int):
        self.advance, self.quiet, self.shown = advance, quiet, step
        self.scores: dict[str, float] = {}

    def step(self, result: "StepResult") -> None:
        # Backwards where the run was rolled back.
        self.advance(result.step - self.shown, loss=result.smoothed, **self.scores)
        self.shown = result.step

    def evaluated(self, evaluation: "Evaluation") -> None:
        self.scores = {evaluation.measure.replace(" ", "-"): round(evaluation.mean, 3)}

    def note(self, message: str) -> None:
        console.status(message, quiet=self.quiet)

    def warn(self, message: str) -> None:
        console.warn(message)
