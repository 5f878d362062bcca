"""`cn train`: a ControlNet from a base and pairs of image and condition."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cn import console
from cn.commands.options import COMPUTE_PANEL, Device, Json, Prediction, Quiet, checked_prediction
from cn.conditions import scene_kinds
from cn.errors import UsageError

if TYPE_CHECKING:
    import torch

    from cn.train.loop import StepResult
    from cn.train.run import Task

DATA_PANEL, MODEL_PANEL, TRAINING_PANEL, RUN_PANEL = "Data", "Model", "Training", "The run"


def train(
    cond: Annotated[
        str | None,
        typer.Option(
            "--cond",
            metavar="KIND",
            help=f"The condition to learn: {', '.join(scene_kinds())} from the built-in scenes, any kind with --data.",
            rich_help_panel=DATA_PANEL,
        ),
    ] = None,
    data: Annotated[
        str | None,
        typer.Option(
            "--data",
            metavar="PATH",
            help="A pair set: folder with prompt.json. Default: the built-in scenes.",
            rich_help_panel=DATA_PANEL,
        ),
    ] = None,
    scenes: Annotated[
        int | None,
        typer.Option(
            "--scenes",
            metavar="N",
            min=0,
            help="How many built-in scenes; their latents are kept. 0: a new one every time. Default: 256.",
            rich_help_panel=DATA_PANEL,
        ),
    ] = None,
    size: Annotated[
        int | None,
        typer.Option(
            "--size",
            metavar="PIXELS",
            help="Side of the pictures. Default: what the base was trained at.",
            rich_help_panel=DATA_PANEL,
        ),
    ] = None,
    random_thresholds: Annotated[
        bool | None,
        typer.Option(
            "--random-thresholds/--fixed-thresholds",
            help="Canny thresholds of the built-in scenes: new for each (default, as in the paper), or 100 and 200.",
            rich_help_panel=DATA_PANEL,
            show_default=False,
        ),
    ] = None,
    base: Annotated[
        str | None,
        typer.Option(
            "--base", metavar="NAME|PATH", help="The base. Default: the bundled one.", rich_help_panel=MODEL_PANEL
        ),
    ] = None,
    prediction: Prediction = None,
    init_from: Annotated[
        str | None,
        typer.Option(
            "--init-from",
            metavar="CONTROL",
            help="Start from another control, as the paper's Hough lines start from Canny.",
            rich_help_panel=MODEL_PANEL,
        ),
    ] = None,
    small_scale: Annotated[
        bool,
        typer.Option(
            "--small-scale",
            help="Connect the middle block only (§3.4): faster. --reconnect adds the other links later.",
            rich_help_panel=MODEL_PANEL,
        ),
    ] = False,
    reconnect: Annotated[
        bool,
        typer.Option(
            "--reconnect",
            help="With --resume of a small-scale run: connect the decoder links again.",
            rich_help_panel=MODEL_PANEL,
        ),
    ] = False,
    large_scale: Annotated[
        bool,
        typer.Option(
            "--large-scale",
            help="Train the base too (§3.4), usually after 50,000 steps; the run then leaves base.safetensors as well.",
            rich_help_panel=MODEL_PANEL,
        ),
    ] = False,
    unlock: Annotated[
        str | None,
        typer.Option(
            "--unlock",
            metavar="PART",
            help="What --large-scale unlocks of the U-Net: all (default) or decoder.",
            rich_help_panel=MODEL_PANEL,
        ),
    ] = None,
    cond_encoder: Annotated[
        str | None,
        typer.Option(
            "--cond-encoder",
            metavar="KIND",
            help="The condition's encoder: paper (four layers, default) or released (eight; other tools can read it).",
            rich_help_panel=MODEL_PANEL,
        ),
    ] = None,
    steps: Annotated[
        int | None,
        typer.Option(
            "--steps",
            metavar="N",
            min=0,
            help="Optimizer steps in all, with those before --resume. 0 writes the untrained control. "
            "Default: 300 for the bundled base, 50,000 for one of Stable Diffusion's size.",
            rich_help_panel=TRAINING_PANEL,
        ),
    ] = None,
    batch_size: Annotated[
        int | None,
        typer.Option(
            "--batch-size",
            metavar="N",
            help="Images at once. Default: 4.",
            rich_help_panel=TRAINING_PANEL,
        ),
    ] = None,
    accumulate: Annotated[
        int | None,
        typer.Option(
            "--accumulate",
            metavar="N",
            help="Batches to a step: N times the batch in the memory of one. Default: 1.",
            rich_help_panel=TRAINING_PANEL,
        ),
    ] = None,
    lr: Annotated[
        float | None,
        typer.Option(
            "--lr",
            metavar="RATE",
            help="AdamW's learning rate. Default: the paper's 1e-5, or what suits a smaller base.",
            rich_help_panel=TRAINING_PANEL,
        ),
    ] = None,
    prompt_drop: Annotated[
        float | None,
        typer.Option(
            "--prompt-drop",
            metavar="0..1",
            help="Share of the prompts replaced by the empty string (§3.3). Default: 0.5.",
            rich_help_panel=TRAINING_PANEL,
        ),
    ] = None,
    seed: Annotated[
        int | None,
        typer.Option(
            "--seed", metavar="N", min=0, help="For all that is random. Default: 0.", rich_help_panel=TRAINING_PANEL
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", "-o", metavar="RUN", help="The run's folder. Default: runs/KIND.", rich_help_panel=RUN_PANEL
        ),
    ] = None,
    resume: Annotated[
        Path | None,
        typer.Option(
            "--resume",
            metavar="RUN",
            help="Go on with this run, exactly where it was saved last. Takes --steps, --lr, --save-every, "
            "--preview-every and --reconnect anew.",
            rich_help_panel=RUN_PANEL,
        ),
    ] = None,
    save_every: Annotated[
        int | None,
        typer.Option(
            "--save-every",
            metavar="N",
            help="Steps between saves. Default: 100 for the bundled base, 500 for one of Stable Diffusion's size.",
            rich_help_panel=RUN_PANEL,
        ),
    ] = None,
    preview_every: Annotated[
        int | None,
        typer.Option(
            "--preview-every",
            metavar="N",
            help="Steps between previews; 0: none. Default: 100.",
            rich_help_panel=RUN_PANEL,
        ),
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Start again in a folder that holds a run.", rich_help_panel=RUN_PANEL)
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show the plan and stop.", rich_help_panel=RUN_PANEL)
    ] = False,
    device: Device = "auto",
    precision: Annotated[
        str | None,
        typer.Option(
            "--precision",
            metavar="TYPE",
            help="auto, fp32, bf16 or fp16 (mixed; weights and optimizer stay fp32). Default: auto.",
            rich_help_panel=COMPUTE_PANEL,
        ),
    ] = None,
    checkpoint_activations: Annotated[
        bool,
        typer.Option(
            "--checkpoint-activations",
            help="Compute activations again in the backward pass: less memory, about a third slower.",
            rich_help_panel=COMPUTE_PANEL,
        ),
    ] = False,
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
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Train a ControlNet: a copy of the base's encoder that learns a condition, while the base stays as it is.

    Leaves a folder with control.safetensors, which [b]cn sample --control[/b] takes, previews, metrics and the state to
    go on from. [b]cn train --cond depth --small-scale[/b] trains on the built-in scenes with nothing else given.
    """
    if reconnect and resume is None:
        raise UsageError("--reconnect continues a small-scale run: give it with --resume RUN")
    if resume is not None and (out is not None or overwrite):
        raise UsageError("--resume RUN goes on in RUN: no --out and no --overwrite with it")
    given: dict[str, Any] = {
        "cond": cond,
        "data": data,
        "scenes": scenes,
        "size": size,
        "random_thresholds": random_thresholds,
        "base": base,
        "prediction": checked_prediction(prediction),
        "init_from": init_from,
        "links": "middle" if small_scale else None,
        "unlock": _unlock(large_scale, unlock),
        "condition_encoder": _choice("--cond-encoder", cond_encoder, ("paper", "released")),
        "steps": steps,
        "batch_size": batch_size,
        "accumulate": accumulate,
        "lr": lr,
        "prompt_drop": prompt_drop,
        "seed": seed,
        "save_every": save_every,
        "preview_every": preview_every,
        "precision": precision,
        "checkpoint_activations": checkpoint_activations or None,
    }
    given = {name: value for name, value in given.items() if value is not None}

    from cn.devices import choose_device

    task = _task(given, resume, out, choose_device(device), reconnect=reconnect, overwrite=overwrite)
    _run(task, workers=workers, dry_run=dry_run, json=json, quiet=quiet)


def _choice(option: str, value: str | None, choices: tuple[str, ...]) -> str | None:
    if value is not None and value not in choices:
        raise UsageError(f"{option} is {' or '.join(choices)}, not {value!r}")
    return value


def _unlock(large_scale: bool, unlock: str | None) -> str | None:
    part = _choice("--unlock", unlock, ("all", "decoder"))
    if part is not None and not large_scale:
        raise UsageError("--unlock belongs to --large-scale")
    return (part or "all") if large_scale else None


def _task(
    given: dict[str, Any],
    resume: Path | None,
    out: Path | None,
    device: "torch.device",
    *,
    reconnect: bool,
    overwrite: bool,
) -> "Task":
    """A new run, or one that goes on."""
    from cn import conditions
    from cn.train import run

    if resume is not None:
        if "cond" in given:
            given["cond"] = conditions.get(given["cond"]).kind
        return run.reopen(resume, given, device, reconnect=reconnect)
    if out is None:
        if "cond" not in given:
            raise UsageError("which condition? give --cond KIND")
        out = Path("runs") / conditions.get(given["cond"]).kind
    return run.begin(out, given, device, overwrite=overwrite)


def _run(task: "Task", *, workers: int | None, dry_run: bool, json: bool, quiet: bool) -> None:
    """Show the plan, train, report the control."""
    from cn.parallel import processors
    from cn.train import run

    config = task.config
    console.plan(f"Training a ControlNet for {config.cond}", run.plan(task), quiet=quiet)
    if dry_run:
        return
    if task.state is not None and task.step >= config.steps:
        console.status(f"{task.run} has its {task.step} steps already; give more with --steps N", quiet=quiet)
    with console.progress(config.steps, "training", unit="step", initial=task.step, quiet=quiet) as advance:
        result = run.train(
            task, workers=min(2, processors()) if workers is None else workers, listener=_Listener(advance, quiet)
        )
    record = {"path": str(result.control), "kind": config.cond, "step": result.step, "run": str(task.run)}
    console.emit(record, json)


class _Listener:
    """Shows a run on the terminal."""

    def __init__(self, advance: console.Advance, quiet: bool):
        self.advance, self.quiet = advance, quiet

    def step(self, result: "StepResult") -> None:
        self.advance(1, loss=result.smoothed)

    def note(self, message: str) -> None:
        console.status(message, quiet=self.quiet)

    def warn(self, message: str) -> None:
        console.warn(message)
