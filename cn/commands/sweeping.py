"""What `cn sample --sweep` does with its options: a grid over one or two of them."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cn import console
from cn.commands import sampling
from cn.errors import UsageError

if TYPE_CHECKING:
    from cn.sample.sweep import Cell, Sweep
    from cn.sample.sweep_job import SweepJob

_CHECKED_TOGETHER = ("steps", "denoise", "sampler", "sigmas", "eta")


def parse(words: Sequence[str], each: "Mapping[str, Any]", given: "Mapping[str, Any]", from_: str | None) -> "Sweep":
    """The sweep, checked as far as it can be before anything is read."""
    from cn.sample.axis import LORA_WEIGHT
    from cn.sample.sweep import Sweep
    from cn.weights.bundled import BASE_NAME

    sweep = Sweep.parse(words, each)
    if "base" not in given:
        # An image that is sampled again keeps its base, but for other controls with bases of their own.
        again = from_ is not None
        own = not again or "control" in sweep.options
        sweep = replace(sweep, own_base=own, other_base=None if again else BASE_NAME)
    fields = {"control-start": "start", "control-end": "end", LORA_WEIGHT: LORA_WEIGHT}
    for name in sweep.options:
        field = fields.get(name, name.replace("-", "_"))
        if field in given or field in each:
            raise _both(name, name)
    for name, other in (("size", "resolution"), ("resolution", "size")):
        if name in given and other in sweep.options:
            raise _both(name, other)
    return sweep


def _both(flag: str, option: str) -> UsageError:
    return UsageError(f"--{flag} and --sweep {option} both say it: give one of them")


def for_request(sweep: "Sweep | None", given: "Mapping[str, Any]") -> dict[str, Any]:
    """Options of sampling for the request that the values are put into: of those that are checked together the first
    values, since the defaults may be of no cell."""
    first = {axis.option: axis.values[0].value for axis in sweep.axes} if sweep is not None else {}
    return {**given, **{name: first[name] for name in _CHECKED_TOGETHER if name in first}}


def for_reading(
    sweep: "Sweep | None", each: "Mapping[str, Any]", cond: Sequence[str], from_: str | None = None
) -> dict[str, Any]:
    """Options of conditions to read those of the command by: with a control, where controls are what is swept.

    An image that is sampled again has controls.
    """
    if sweep is None or from_ is not None:
        return dict(each)
    if "cond" in sweep.options:
        return {}
    values = [axis.values[0].value for axis in sweep.axes if axis.option == "control"]
    return {**each, "control": values} if values and cond else dict(each)


def refuse_with(sweep: "Sweep", words: "Mapping[str, object]", same: "Mapping[str, Mapping[str, object]]") -> None:
    """UsageError for options that a sweep has no place for, `words`, flag → value; and for those that say what it says.

    `same` has these for each option of a sweep.
    """
    if given := [flag for flag, value in words.items() if value]:
        raise UsageError(f"--sweep takes no {', '.join(given)}")
    for option in sweep.options:
        for flag, value in same.get(option, {}).items():
            if value:
                raise _both(flag, option)


def folder_of(sweep: "Sweep", out: str | None) -> str:
    """`--out`, or its default."""
    from cn.sample.sweep import default_folder

    return str(default_folder(sweep.options)) if out is None else out


def job(sweep: "Sweep", out: str | None, **rest: Any) -> "SweepJob":
    """The job for `--out`: a folder, or the file of a sheet, whose images go into a folder of that name."""
    from cn.sample.output_paths import is_folder
    from cn.sample.sweep import default_folder
    from cn.sample.sweep_job import SweepJob

    if out == "-":
        raise UsageError("--sweep writes several files: --out must be a folder, or a PNG for the sheet")
    if out is None or is_folder(out):
        return SweepJob(sweep, Path(out) if out is not None else default_folder(sweep.options), **rest)
    return SweepJob(sweep, Path(out).with_suffix(""), Path(out), **rest)


def run(job: "SweepJob", *, json: bool, quiet: bool) -> None:
    """Say what will be sampled, and sample it."""
    grids = job.check()
    conditions = len(job.results)
    if job.sheet is not None and len(grids) > 1:
        raise UsageError(f"--out {job.sheet} is one file for {len(grids)} grids: give a folder")
    cells = [cell for grid in grids for cell in grid.cells]
    console.plan("Sweep", _plan(job, cells, len(grids) * conditions), quiet=quiet)
    if job.conditions is not None:
        for warning in job.conditions.conditions.warnings:
            console.warn(warning)
    show = sampling.preview_view(job.speed, json=json, quiet=quiet)
    steps = sum(cell.request.steps_made for cell in cells) * conditions
    with console.progress(steps, "sampling", unit="step", quiet=quiet) as advance:
        for written in job.run(on_step=advance, warn=console.warn, show=show):
            console.emit(written, json=json)


def _plan(job: "SweepJob", cells: "Sequence[Cell]", grids: int) -> dict[str, str | None]:
    from cn.sample.plan import lines, of_which_there

    request = cells[0].request
    axes = [f"{a.option}: " + ", ".join(v.text or "(none)" for v in a.values) for a in job.sweep.axes]
    images = f"{grids * len(job.sweep.cells)}"
    if job.conditions is None and not job.overwrite:
        images += of_which_there(sum(cell.path.exists() for cell in cells))
    controls = dict.fromkeys(condition.control for condition in request.conditions)
    prompts = dict.fromkeys(" ".join(cell.request.prompts[0].split()) or "(none)" for cell in cells)
    return {
        "columns": axes[0],
        "rows": axes[1] if len(axes) > 1 else None,
        "base": None if "base" in job.sweep.options else request.base,
        "control": None if "control" in job.sweep.options else ", ".join(controls) or None,
        "prompt": None if "prompt" in job.sweep.options or job.conditions is not None else lines(prompts),
        "images": f"{images}, and {grids} {'grid' if grids == 1 else 'grids'} of them",
        "out": str(job.sheet or job.folder),
    }
