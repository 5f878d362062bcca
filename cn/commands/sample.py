"""`cn sample`: condition images and prompts → pictures."""

from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

import typer

from cn import console
from cn.commands.options import OUTPUT_PANEL, Device, Json, Precision, Prediction, Quiet, parse_size
from cn.errors import UsageError
from cn.model.config import DEFAULT_PROMPT

if TYPE_CHECKING:
    import numpy as np

    from cn.sample.outputs import Targets
    from cn.sample.pipeline import Sample, Studio

CONTROL_PANEL, PROMPT_PANEL, SAMPLING_PANEL = "Control", "Prompt", "Sampling"
PROMPT_MODES = ("user", "none", "default")
_WITH_FROM = {"from_", "base", "control", "out", "grid", "overwrite", "device", "precision", "json", "quiet"}
"""What may be said anew when an image is made again."""


def sample(
    context: typer.Context,
    cond: Annotated[
        list[str] | None,
        typer.Option(
            "--cond",
            metavar="IMAGE",
            help="A condition image (- is stdin). Several at once: give it again; they add up. "
            "Without any, the base draws alone.",
            rich_help_panel=CONTROL_PANEL,
        ),
    ] = None,
    control: Annotated[
        list[str] | None,
        typer.Option(
            "--control",
            metavar="NAME|PATH",
            help="The ControlNet of each condition: a bundled name, a file, a diffusers folder, or a training run. "
            "Default: the bundled one for the kind that the image carries.",
            rich_help_panel=CONTROL_PANEL,
        ),
    ] = None,
    detect: Annotated[
        str | None,
        typer.Option(
            "--detect",
            metavar="KIND",
            help="The --cond images are photographs: detect this condition in them first.",
            rich_help_panel=CONTROL_PANEL,
        ),
    ] = None,
    strength: Annotated[
        list[float] | None,
        typer.Option(
            "--strength",
            metavar="X",
            help="Factor on the control's residuals. Default 1.",
            rich_help_panel=CONTROL_PANEL,
        ),
    ] = None,
    control_start: Annotated[
        list[float] | None,
        typer.Option(
            "--control-start", metavar="0..1", help="Share of the steps before it acts.", rich_help_panel=CONTROL_PANEL
        ),
    ] = None,
    control_end: Annotated[
        list[float] | None,
        typer.Option(
            "--control-end",
            metavar="0..1",
            help="Share of the steps after which it stops (0.5: coarse control, Fig. 27 of the paper).",
            rich_help_panel=CONTROL_PANEL,
        ),
    ] = None,
    guess: Annotated[
        bool,
        typer.Option(
            "--guess",
            help="Let the control guess the content: only the conditional half gets it, fading to the first layers.",
            rich_help_panel=CONTROL_PANEL,
        ),
    ] = False,
    prompt: Annotated[
        list[str] | None,
        typer.Option(
            "--prompt", "-p", metavar="TEXT", help="What to draw. Give it again for more.", rich_help_panel=PROMPT_PANEL
        ),
    ] = None,
    prompt_mode: Annotated[
        str | None,
        typer.Option(
            "--prompt-mode",
            metavar="MODE",
            help=f'user, none (the empty prompt) or default ("{DEFAULT_PROMPT}"); §4.1 of the paper. '
            "Without --prompt: default.",
            rich_help_panel=PROMPT_PANEL,
        ),
    ] = None,
    negative: Annotated[
        str,
        typer.Option("--negative", metavar="TEXT", help="What to steer away from.", rich_help_panel=PROMPT_PANEL),
    ] = "",
    base: Annotated[
        str,
        typer.Option(
            "--base",
            metavar="NAME|PATH",
            help="The base: Stable Diffusion 1.x or 2.x, as a file or diffusers folder. Default: the bundled one.",
            rich_help_panel=SAMPLING_PANEL,
        ),
    ] = "base",
    prediction: Prediction = None,
    steps: Annotated[
        int, typer.Option("--steps", metavar="N", help="DDIM steps, 1 to 1000.", rich_help_panel=SAMPLING_PANEL)
    ] = 20,
    scale: Annotated[
        float,
        typer.Option(
            "--scale", metavar="X", help="Classifier-free guidance; 1 is none.", rich_help_panel=SAMPLING_PANEL
        ),
    ] = 9.0,
    eta: Annotated[
        float,
        typer.Option(
            "--eta",
            metavar="0..1",
            min=0,
            max=1,
            help="Noise in every step; 0 is none.",
            rich_help_panel=SAMPLING_PANEL,
        ),
    ] = 0.0,
    size: Annotated[
        str | None,
        typer.Option(
            "--size",
            metavar="WxH",
            help="Pixels, multiples of 8. Default: the condition's size, brought near to what the base was trained at.",
            rich_help_panel=SAMPLING_PANEL,
        ),
    ] = None,
    count: Annotated[
        int,
        typer.Option("--count", "-n", metavar="N", help="Images for each prompt.", rich_help_panel=SAMPLING_PANEL),
    ] = 1,
    seed: Annotated[
        int,
        typer.Option(
            "--seed", metavar="S", help="Image i has seed S + i, whatever the count.", rich_help_panel=SAMPLING_PANEL
        ),
    ] = 0,
    from_: Annotated[
        str | None,
        typer.Option(
            "--from",
            metavar="PNG",
            help="Make an image of cn sample again, from the recipe that it carries; --base and --control say where "
            "its weights are now.",
            rich_help_panel=SAMPLING_PANEL,
        ),
    ] = None,
    out: Annotated[
        str | None,
        typer.Option(
            "--out",
            "-o",
            metavar="PATH",
            help="A folder, or a file for one image (- is stdout). Default: the folder samples/.",
            rich_help_panel=OUTPUT_PANEL,
        ),
    ] = None,
    grid: Annotated[
        bool,
        typer.Option("--grid", help="Also a labeled sheet of conditions and pictures.", rich_help_panel=OUTPUT_PANEL),
    ] = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace files that are there.", rich_help_panel=OUTPUT_PANEL)
    ] = False,
    device: Device = "auto",
    precision: Precision = "auto",
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Draw images that follow condition images and prompts.

    cn detect and cn dataset write into each PNG which condition it is, so its ControlNet is found by itself:
    [b]cn sample --cond pose.png --prompt "a dancer in a red coat on snow at dusk"[/b]
    """
    said = prediction
    from cn.sample import png_metadata
    from cn.sample.outputs import settle
    from cn.sample.pipeline import Studio
    from cn.sample.request import SampleRequest, make_conditions, with_weights

    hashes = None
    if from_ is not None:
        _refuse_with_from(context)
        request, hashes = png_metadata.from_file(from_)
        request = request if precision == "auto" else replace(request, precision=precision)
        request = with_weights(request, base if _is_given(context, "base") else None, control or [])
    else:
        conditions = make_conditions(
            cond or [],
            controls=control or [],
            strengths=strength or [],
            starts=control_start or [],
            ends=control_end or [],
            detect=detect,
        )
        request = SampleRequest(
            prompts=_prompts(prompt or [], prompt_mode),
            conditions=conditions,
            base=base,
            prediction=said,
            negative=negative,
            count=count,
            seed=seed,
            steps=steps,
            scale=scale,
            eta=eta,
            guess=guess,
            size=parse_size(size) if size is not None else None,
            precision=precision,
        )
    targets = settle(request, out, grid=grid, overwrite=overwrite)
    studio = Studio.open(request, device=device)
    if hashes is not None and set(hashes.values()) != set(studio.hashes.values()):
        console.warn(f"{from_} was made with other weights: the image will differ")
    for doubt in [*studio.doubts(), *targets.doubts()]:
        console.warn(doubt)
    _draw(studio, targets, json=json, quiet=quiet)


def _refuse_with_from(context: typer.Context) -> None:
    given = [
        parameter.opts[0]
        for parameter in context.command.params
        if parameter.name not in _WITH_FROM and _is_given(context, parameter.name)
    ]
    if given:
        raise UsageError(f"--from makes an image again as it was: it takes no {', '.join(given)}")


def _is_given(context: typer.Context, name: str | None) -> bool:
    source = context.get_parameter_source(name) if name else None
    return source is not None and source.name == "COMMANDLINE"


def _prompts(given: list[str], mode: str | None) -> tuple[str, ...]:
    if mode is not None and mode not in PROMPT_MODES:
        raise UsageError(f"--prompt-mode is one of {', '.join(PROMPT_MODES)}, not {mode!r}")
    if mode == "user" and not given:
        raise UsageError("--prompt-mode user needs a --prompt")
    if mode in ("none", "default") and given:
        raise UsageError(f"--prompt-mode {mode} takes no --prompt")
    if given:
        return tuple(given)
    return ("",) if mode == "none" else (DEFAULT_PROMPT,)


def _plan(studio: "Studio", total: int) -> dict[str, object]:
    """What is about to be drawn, for a person to read."""
    request, (height, width) = studio.request, studio.size
    controls = []
    for c in request.conditions:
        window = "" if (c.start, c.end) == (0, 1) else f", from {c.start:g} to {c.end:g} of the steps"
        controls.append(f"{c.control}, strength {c.strength:g}{window}, follows {c.name}")
    how = f"{request.steps} steps, guidance {request.scale:g}" + (f", eta {request.eta:g}" if request.eta else "")
    return {
        "base": request.base,
        "control": "\n".join(controls) or None,
        "mode": "guess" if request.guess else None,
        "prompt": "\n".join(" ".join(prompt.split()) or "(none)" for prompt in request.prompts),
        "negative": request.negative or None,
        "pictures": f"{total} of {width}×{height}, {how}, seed {request.seed}" + (" and on" * (request.count > 1)),
        "device": f"{studio.base.device}, {request.precision}",
    }


def _draw(studio: "Studio", targets: "Targets", *, json: bool, quiet: bool) -> None:
    """Sample, write each image as soon as it is there, report it, and put the sheet together at the end."""
    from cn import images

    total = len(targets.pictures)
    console.plan("Sampling", _plan(studio, total), quiet=quiet)
    done: list[Sample] = []
    with console.progress(total * studio.request.steps, "sampling", unit="step", quiet=quiet) as advance:
        for path, made in zip(targets.pictures, studio.samples(on_step=advance), strict=True):
            images.write(path, made.image, made.text)
            if targets.sheet is not None:
                done.append(made)
            if path != "-":
                console.emit({"path": path, "prompt": made.prompt, "seed": made.seed}, json=json)
    if targets.sheet is not None:
        images.write(targets.sheet, _sheet(studio, done))
        console.emit({"path": str(targets.sheet), "prompt": None, "seed": None}, json=json)


def _sheet(studio: "Studio", samples: "list[Sample]") -> "np.ndarray":
    """A row a prompt: the conditions, then its pictures."""
    from cn.sheet import grid

    request, hints = studio.request, list(studio.hints)
    cells: list[np.ndarray | None] = []
    for first in range(0, len(samples), request.count):
        cells += [*hints, *(made.image for made in samples[first : first + request.count])]
    titles = [c.kind or "condition" for c in request.conditions]
    titles += [f"seed {request.seed + i}" for i in range(request.count)]
    prompts = [prompt or "(no prompt)" for prompt in request.prompts]
    return grid(cells, column_titles=titles, row_titles=prompts)
