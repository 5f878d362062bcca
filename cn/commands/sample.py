"""`cn sample`: condition images and prompts → images."""

from typing import Annotated, Any, Literal

import typer

from cn import console
from cn.caption.settings import ENGINES, SCENES
from cn.commands import sampling, sweeping
from cn.commands.options import OUTPUT_PANEL, Device, Given, Json, Quiet, with_options
from cn.conditions import KINDS
from cn.errors import UsageError
from cn.model.config import DEFAULT_PROMPT
from cn.sample.options import CONTROL, PROMPT, SAMPLING, START, ConditionOptions, SampleOptions, SpeedOptions


@with_options
def sample(
    cond: Annotated[
        list[str] | None,
        typer.Option(
            "--cond",
            metavar="IMAGE|FOLDER",
            help="A condition image (- is stdin). Repeat it for several, which add up. A folder, a pattern or - with "
            "paths, one a line: an image for each condition. Without any, the base samples alone.",
            rich_help_panel=CONTROL,
        ),
    ] = None,
    *,
    data: Annotated[
        str | None,
        typer.Option(
            "--data",
            metavar="PATH",
            help="A dataset, as cn train reads it: an image for each of its condition maps and captions.",
            rich_help_panel=CONTROL,
        ),
    ] = None,
    limit: Annotated[
        int | None,
        typer.Option(
            "--limit",
            metavar="N",
            min=1,
            help="Only the first N conditions of --data, or of a folder, pattern or list.",
            rich_help_panel=CONTROL,
        ),
    ] = None,
    recursive: Annotated[
        bool,
        typer.Option(
            "--recursive", "-r", help="Search the sub-folders of a --cond folder too.", rich_help_panel=CONTROL
        ),
    ] = False,
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
    prompts: Annotated[
        str | None,
        typer.Option(
            "--prompts",
            metavar="FILE",
            help="A prompt on each line (- is stdin), or a JSON object with a prompt and options of its own.",
            rich_help_panel=PROMPT,
        ),
    ] = None,
    prompt_mode: Annotated[
        Literal["user", "none", "default", "auto"] | None,
        typer.Option(
            "--prompt-mode",
            help=f'The given prompts, the empty prompt, the default one, "{DEFAULT_PROMPT}", or auto: a caption of '
            "the default one's result, which is then sampled again (§4.1 of the paper). Default: user with --prompt, "
            "else default.",
            rich_help_panel=PROMPT,
        ),
    ] = None,
    captioner: Annotated[
        str | None,
        typer.Option(
            "--captioner",
            metavar="NAME|PATH",
            help=f"For --prompt-mode auto: {', '.join((SCENES, *ENGINES))}, or a file or folder of weights. "
            f"Default: {SCENES}, which is bundled, for the bundled base, else {ENGINES[0]}.",
            rich_help_panel=PROMPT,
        ),
    ] = None,
    image: Annotated[
        str | None,
        typer.Option(
            "--image",
            metavar="IMAGE",
            help="Start from this image instead of noise alone (- is stdin); see --denoise.",
            rich_help_panel=START,
        ),
    ] = None,
    mask: Annotated[
        str | None,
        typer.Option(
            "--mask",
            metavar="IMAGE",
            help="Redraw the --image only where this is white; all other pixels stay as they are.",
            rich_help_panel=START,
        ),
    ] = None,
    inpaint_control: Annotated[
        str | None,
        typer.Option(
            "--inpaint-control",
            metavar="NAME|PATH",
            help="A ControlNet for inpainting (control_v11p_sd15_inpaint): it sees the --image around the --mask. For "
            "--strength and the like it is one more --cond, the last.",
            rich_help_panel=START,
        ),
    ] = None,
    given: Given[SampleOptions],
    from_: Annotated[
        str | None,
        typer.Option(
            "--from",
            metavar="IMAGE",
            help="Reproduce an image from the metadata that it carries. Options that are given too replace what it "
            "says: --seed 5 is the same recipe with another seed.",
            rich_help_panel=SAMPLING,
        ),
    ] = None,
    out: Annotated[
        str | None,
        typer.Option(
            "--out",
            "-o",
            metavar="PATH",
            help="A folder, or a file for one image (- is stdout). Default: the folder samples/, numbering on.",
            rich_help_panel=OUTPUT_PANEL,
        ),
    ] = None,
    grid: Annotated[
        bool,
        typer.Option(
            "--grid", help="Also write a labeled sheet of conditions and images.", rich_help_panel=OUTPUT_PANEL
        ),
    ] = False,
    sweep: Annotated[
        list[str] | None,
        typer.Option(
            "--sweep",
            metavar="OPTION=VALUES",
            help="A grid over the values of an option: strength=0.5,1,1.5 or seed=0..3. Twice: columns, then rows.",
            rich_help_panel=OUTPUT_PANEL,
        ),
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace existing files.", rich_help_panel=OUTPUT_PANEL)
    ] = False,
    number: Annotated[
        bool,
        typer.Option(
            "--number", help="Keep existing files: number the new ones on (-2, -3 …).", rich_help_panel=OUTPUT_PANEL
        ),
    ] = False,
    serve_stdin: Annotated[
        bool,
        typer.Option(
            "--serve-stdin",
            help="Stay, and answer each JSON line of standard input (prompt, cond, seed, out …) with one: for programs "
            "that ask for many images.",
            rich_help_panel=OUTPUT_PANEL,
        ),
    ] = False,
    device: Device = "auto",
    speed: SpeedOptions,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Sample images that follow condition images and prompts.

    cn detect and cn dataset write into each PNG which condition it is, so its ControlNet is found automatically:
    [b]cn sample --cond pose.png --prompt "a dancer in a red coat on snow at dusk"[/b]
    """
    swept = sweeping.parse(sweep, each, given, from_) if sweep else None
    given = Given(sweeping.for_request(swept, given))
    SampleOptions(**given)  # Wrong values are refused before anything is read.
    others = [*(cond or []), from_, image, mask, *(["-"] if serve_stdin else [])]
    sampling.check_prompts(prompt or [], prompts, prompt_mode, captioner, others)
    if serve_stdin and (prompts is not None or grid or number or detect is not None):
        raise UsageError("--serve-stdin takes no --prompts, --grid, --number or --detect: its lines say what to sample")
    shared: dict[str, Any] = {"overwrite": overwrite, "device": device, "speed": speed}
    if swept is not None:
        if prompt_mode == "auto":
            raise UsageError("--sweep takes no --prompt-mode auto: each image would have a prompt of its own")
        words: dict[str, object] = {"--grid": grid, "--number": number, "--serve-stdin": serve_stdin}
        if {"cond", "control"} & {*swept.options}:
            words["--inpaint-control beside cond or control"] = inpaint_control
        of_prompt = {"prompt": prompt, "prompts": prompts, f"prompt-mode {prompt_mode}": prompt_mode}
        sweeping.refuse_with(swept, words, {"cond": {"cond": cond, "data": data}, "prompt": of_prompt})
    listed = sampling.listed(cond or [])
    if (many := sampling.many_of(cond or [], data)) or listed is not None:
        alone = {"--prompts": prompts, "--from": from_, "--image": image, "--mask": mask, "--grid": grid}
        alone |= {"--inpaint-control": inpaint_control, "--number": number, "--serve-stdin": serve_stdin}
        alone |= {"--detect": data and detect, "--recursive": recursive and (data or listed is not None)}
        sampling.refuse(
            alone, "--data" if data else f"--cond with a {'folder or pattern' if many else 'list of paths'}"
        )
        settings = {**shared, "detect": detect, "invert": invert, "captioner": captioner, "limit": limit}
        sources = sampling.ManySources(cond or [], data, listed, recursive)
        if swept is None:
            several = sampling.folder_job(sources, prompt or [], prompt_mode, each, given, out, settings)
            sampling.many(several, json=json, quiet=quiet)
        else:
            out = sweeping.folder_of(swept, out)
            maps = sweeping.for_reading(swept, each, cond or ["--data"])
            several = sampling.folder_job(sources, prompt or [], prompt_mode, maps, given, out, settings)
            grids = sweeping.job(swept, out, conditions=several, **shared)
            sweeping.run(grids, json=json, quiet=quiet)
        return
    if recursive or limit is not None:
        found = "--recursive is about a folder" if recursive else "--limit is about a folder, list or dataset"
        raise UsageError(f"{found} of conditions: give one with {'--cond' if recursive else '--cond or --data'}")
    if json and out == "-":
        raise UsageError("--json and --out - both write to standard output: give --out a file or a folder")
    from cn.sample import run
    from cn.sample.plan import plan
    from cn.sample.request import Inpainting, make_conditions
    from cn.sample.start_image import read_start

    hashes = None
    start = read_start(image, mask)
    each = Given(sweeping.for_reading(swept, each, cond or [], from_))
    if from_ is None:
        conditions = make_conditions(
            cond or [], detect=detect, invert=invert, inpainting=Inpainting.of(inpaint_control, start), **each
        )
        request = sampling.request(conditions, prompt or [], prompt_mode, start, given)
    elif inpaint_control is not None:
        raise UsageError("--from takes no --inpaint-control; --image and --mask may be others")
    else:
        request, hashes = sampling.again(
            from_, cond or [], detect, invert, each, prompt or [], prompt_mode, start, given
        )
    if serve_stdin:
        sampling.serve(request, out, device, captioner, speed)
        return
    requests = [request] if prompts is None else sampling.of_lines(request, prompts, detect)
    if swept is not None:
        grids = sweeping.job(swept, out, requests=requests, detect=detect is not None, **shared)
        sweeping.run(grids, json=json, quiet=quiet)
        return
    job = run.prepare(
        requests,
        out=out,
        grid=grid,
        overwrite=overwrite,
        number=number,
        device=device,
        detect=detect is not None,
        captioner=captioner,
        speed=speed,
    )
    if hashes and job.pipelines and set(hashes.values()) != set(job.hashes.values()):
        console.warn(f"{from_} was sampled with other weights: the image will differ")
    for warning in job.warnings():
        console.warn(warning)
    console.plan("Sampling", plan(job), quiet=quiet)
    show = sampling.preview_view(speed, json=json, quiet=quiet)
    with console.progress(job.total_steps, "sampling", unit="step", quiet=quiet) as advance:
        for written in run.sample(job, on_step=advance, warn=console.warn, show=show):
            sampling.report(written, auto=prompt_mode == "auto", json=json, quiet=quiet)
