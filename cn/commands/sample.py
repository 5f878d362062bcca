"""`cn sample`: condition images and prompts → images."""

from typing import TYPE_CHECKING, Annotated, Literal

import typer

from cn import console
from cn.commands.options import OUTPUT_PANEL, Device, Given, Json, Quiet, with_options
from cn.conditions import KINDS
from cn.errors import UsageError
from cn.model.config import DEFAULT_PROMPT
from cn.options import declared
from cn.sample.options import CONTROL, PROMPT, SAMPLING, ConditionOptions, SampleOptions

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cn.sample.prompts import PromptMode
    from cn.sample.request import SampleRequest

_WITH_FROM = {"base", "control", "lora", "vae", "precision"}
"""Options that may change when an image is reproduced."""


@with_options
def sample(
    cond: Annotated[
        list[str] | None,
        typer.Option(
            "--cond",
            metavar="IMAGE",
            help="A condition image (- is stdin). Repeat it for several, which add up. "
            "Without any, the base samples alone.",
            rich_help_panel=CONTROL,
        ),
    ] = None,
    *,
    each: Given[list[ConditionOptions]],
    detect: Annotated[
        str | None,
        typer.Option(
            "--detect",
            metavar="KIND",
            help="The --cond images are photographs: detect this condition in them first.",
            autocompletion=lambda incomplete: [kind for kind in KINDS if kind.startswith(incomplete)],
            rich_help_panel=CONTROL,
        ),
    ] = None,
    invert: Annotated[
        bool,
        typer.Option(
            "--invert",
            help="Invert the --cond images: dark lines on white become white lines on black.",
            rich_help_panel=CONTROL,
        ),
    ] = False,
    prompt: Annotated[
        list[str] | None,
        typer.Option(
            "--prompt",
            "-p",
            metavar="TEXT",
            help="The prompt. Repeat it for more; - reads one from each line of standard input.",
            rich_help_panel=PROMPT,
        ),
    ] = None,
    prompt_mode: Annotated[
        Literal["user", "none", "default"] | None,
        typer.Option(
            "--prompt-mode",
            help=f'The given prompts, the empty prompt, or the default one, "{DEFAULT_PROMPT}" (§4.1 of the paper). '
            "Default: user with --prompt, else default.",
            rich_help_panel=PROMPT,
        ),
    ] = None,
    given: Given[SampleOptions],
    from_: Annotated[
        str | None,
        typer.Option(
            "--from",
            metavar="PNG",
            help="Reproduce an image of cn sample from the metadata that it carries; --base, --control, --lora and "
            "--vae say where its weights are now.",
            rich_help_panel=SAMPLING,
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
        typer.Option(
            "--grid", help="Also write a labeled sheet of conditions and images.", rich_help_panel=OUTPUT_PANEL
        ),
    ] = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace existing files.", rich_help_panel=OUTPUT_PANEL)
    ] = False,
    device: Device = "auto",
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Sample images that follow condition images and prompts.

    cn detect and cn dataset write into each PNG which condition it is, so its ControlNet is found automatically:
    [b]cn sample --cond pose.png --prompt "a dancer in a red coat on snow at dusk"[/b]
    """
    SampleOptions(**given)  # Wrong values are refused before anything is read.
    if list(prompt or []).count("-") and "-" in [*(cond or []), from_]:
        raise UsageError("standard input is read once: give - for the prompts or for an image")
    from cn.sample import run

    hashes = None
    if from_ is None:
        request = _request(cond or [], detect, invert, each, prompt or [], prompt_mode, given)
    else:
        words = {"--cond": cond, "--detect": detect, "--invert": invert}
        words |= {"--prompt": prompt, "--prompt-mode": prompt_mode}
        request, hashes = _reproduced(from_, words, each, given)
    job = run.prepare(request, out=out, grid=grid, overwrite=overwrite, device=device, detect=detect is not None)
    if hashes is not None and set(hashes.values()) != set(job.pipeline.hashes.values()):
        console.warn(f"{from_} was sampled with other weights: the image will differ")
    for warning in job.warnings():
        console.warn(warning)
    console.plan("Sampling", run.plan(job), quiet=quiet)
    with console.progress(job.total_steps, "sampling", unit="step", quiet=quiet) as advance:
        for written in run.sample(job, on_step=advance):
            if written.path != "-":
                console.emit(written, json=json)


def _request(
    cond: list[str],
    detect: str | None,
    invert: bool,
    each: Given,
    prompt: list[str],
    mode: "PromptMode | None",
    given: Given,
) -> "SampleRequest":
    """What the options ask for."""
    from cn.sample.prompts import from_command_line
    from cn.sample.request import SampleRequest, make_conditions
    from cn.sample.weights import with_own_base

    conditions = make_conditions(cond, detect=detect, invert=invert, **each)
    request = SampleRequest(from_command_line(prompt, mode), conditions, **given)
    return request if "base" in given else with_own_base(request)


def _reproduced(
    path: str, words: "Mapping[str, object]", each: Given, given: Given
) -> "tuple[SampleRequest, Mapping[str, str]]":
    """The request of an image, with the weights and the precision that are given now; and its weights' hashes.

    Raises UsageError for other options, and for any of `words` (flag → value).
    """
    from dataclasses import replace

    from cn.sample import png_metadata
    from cn.sample.weights import with_found_files, with_weights

    fields = declared(ConditionOptions) | declared(SampleOptions)
    refused = [flag for flag, value in words.items() if value]
    refused += [fields[name].label for name in [*each, *given] if name not in _WITH_FROM]
    if refused:
        raise UsageError(f"--from reproduces an image as it was: it takes no {', '.join(refused)}")
    request, hashes = png_metadata.from_file(path)
    if given.get("precision", "auto") != "auto":
        request = replace(request, precision=given["precision"])
    loras, vae = given.get("lora", ()), given.get("vae")
    request = with_weights(request, given.get("base"), each.get("control", []), loras, vae)
    return with_found_files(request, hashes, path), hashes
