"""`cn eval`: how well controls are followed, by a frozen protocol."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from cn import console
from cn.commands.options import OUTPUT_PANEL, Device, Json, Quiet, with_options
from cn.eval.options import MEASURES, EvalOptions

if TYPE_CHECKING:
    from cn.eval.report import Report, Subject


@with_options
def evaluate(
    controls: Annotated[
        list[str],
        typer.Argument(
            metavar="CONTROL...",
            help="Bundled names, files, diffusers folders or training runs; [b]none[/b] for the base alone.",
        ),
    ],
    options: EvalOptions,
    compare: Annotated[
        list[str] | None,
        typer.Option(
            "--compare",
            metavar="REPORT",
            help="Also show the controls of an earlier report of the same protocol. Repeatable.",
            rich_help_panel=MEASURES,
        ),
    ] = None,
    out: Annotated[
        str | None,
        typer.Option(
            "--out",
            "-o",
            metavar="DIR",
            help="The folder of the report and the images. An evaluation that was stopped goes on there. "
            "Default: eval/KIND.",
            rich_help_panel=OUTPUT_PANEL,
        ),
    ] = None,
    overwrite: Annotated[
        bool,
        typer.Option("--overwrite", help="Replace an evaluation by another protocol.", rich_help_panel=OUTPUT_PANEL),
    ] = False,
    device: Device = "auto",
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Evaluate controls: sample images, find the condition in them again, compare with no control and with the truth.

    Writes report.html, with figures, intervals and images, and report.json. Several controls are compared side by side:
    [b]cn eval runs/first runs/second --data validation[/b]
    """
    from cn.eval.request import check_request

    request = check_request(controls, options, out=out, compare=compare or (), overwrite=overwrite, device=device)
    from cn.eval import job as jobs
    from cn.eval import run

    job = jobs.open_job(request, device)
    for note in job.notes:
        console.warn(note)
    console.plan(f"Evaluating controls for {request.kind}", jobs.plan(job), quiet=quiet)
    with console.progress(job.work, "sampling and measuring", unit="image", quiet=quiet) as advance:
        report = run.evaluate(job, on_image=advance, warn=console.warn)
    for line in _summary(report):
        console.status(line, quiet=quiet)
    paths = [str(request.out / name) for name in ("report.json", "report.html")]
    if not json:
        for path in paths:
            console.emit(path)
        return
    for subject in [report.reconstruction, *report.subjects]:
        console.emit(_record(report, subject) | {"report": paths[0], "page": paths[1]}, json=True)


def _summary(report: "Report") -> list[str]:
    """The figures as lines for a person."""
    lines = []
    subjects = [report.reconstruction, *report.subjects]
    width = max(len(one.name) for one in subjects)
    for name, measure in report.measures.items():
        unit = f", {measure.unit}" if measure.unit else ""
        lines.append(f"{name} ({measure.better} is better{unit})")
        for one in subjects:
            figure, normalized = one.mean(name), report.normalized(one, name)
            interval = "" if figure.interval is None else f" [{figure.interval[0]:.3f}, {figure.interval[1]:.3f}]"
            lines.append(f"  {one.name.ljust(width)}  {figure.value:.3f}{interval}, normalized {normalized.value:.2f}")
    return lines


def _record(report: "Report", subject: "Subject") -> dict[str, Any]:
    """One line of `--json`."""
    figures = {}
    for name in report.measures:
        found = subject.mean(name)
        normalized = report.normalized(subject, name)
        figures[name] = {
            "value": _finite(found.value),
            "interval": found.interval,
            "normalized": _finite(normalized.value),
            "normalized_interval": normalized.interval,
        }
    distances = {name: {"value": f.value, "interval": f.interval} for name, f in subject.distances.items()}
    return {"control": subject.name, "protocol": report.protocol.hash, "figures": figures, "distances": distances}


def _finite(value: float) -> float | None:
    return value if value == value else None
