"""What `cn sample` does with its options, apart from declaring them."""

import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cn import console
from cn.commands.options import Given
from cn.errors import InputError, UsageError, about
from cn.sample.options import SpeedOptions
from cn.startup import without_collection

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from cn.sample.folder import FolderJob, Left
    from cn.sample.previews import Show
    from cn.sample.prompts import PromptMode
    from cn.sample.request import Condition, SampleRequest
    from cn.sample.run import Written
    from cn.sample.start_image import GivenImage


def serve(request: "SampleRequest", out: str | None, device: str, captioner: str | None, speed: SpeedOptions) -> None:
    """Answer lines until standard input ends."""
    from cn.sample.weights import check_files

    check_files(request)
    with without_collection():
        from cn.sample.serve import Worker

        worker = Worker(request, out=out, device=device, captioner=captioner, speed=speed, warn=console.warn)
    for answer in worker.answers(sys.stdin.buffer):
        console.emit(answer, json=True)


def preview_view(speed: SpeedOptions, *, json: bool, quiet: bool) -> "Show | None":
    """What shows previews on the terminal, where that can and there are to be any."""
    return None if speed.preview_every is None else console.image_view(quiet=quiet or json)


def check_prompts(
    prompt: "Sequence[str]",
    prompts: str | None,
    mode: str | None,
    captioner: str | None,
    images: "Sequence[str | None]",
) -> None:
    """UsageError where prompts are given twice, or two things are to be read from standard input."""
    if captioner is not None and mode != "auto":
        raise UsageError("--captioner is for --prompt-mode auto")
    if prompts is not None and (prompt or mode not in (None, "auto")):
        raise UsageError("--prompts takes no --prompt, and no --prompt-mode but auto: its lines are the prompts")
    if [prompts, "-" if "-" in prompt else None, *images].count("-") > 1:
        raise UsageError("standard input is read once: give - for the prompts or for one image")


def of_lines(request: "SampleRequest", prompts: str, detect: str | None) -> "list[SampleRequest]":
    """A request for each line of --prompts."""
    from cn.sample.lines import read_requests

    requests = read_requests(request, prompts)
    if request.auto and not any(one.auto for one in requests):
        raise UsageError(f"--prompt-mode auto: all lines of {prompts} have prompts of their own")
    photographs = {id(condition.image) for condition in request.conditions}
    if detect is not None and any(id(c.image) not in photographs for one in requests for c in one.conditions):
        raise UsageError("--detect is for the --cond of the command: with it, lines of --prompts have no conditions")
    return requests


def request(
    conditions: "tuple[Condition, ...]",
    prompt: list[str],
    mode: "PromptMode | None",
    start: "GivenImage | None",
    given: Given,
) -> "SampleRequest":
    """What the options ask for."""
    from cn.sample.prompts import from_command_line
    from cn.sample.request import SampleRequest
    from cn.sample.weights import with_own_base

    request = SampleRequest(from_command_line(prompt, mode), conditions, start, auto=mode == "auto", **given)
    return request if "base" in given else with_own_base(request)


def again(
    path: str,
    cond: list[str],
    detect: str | None,
    invert: bool,
    each: Given,
    prompt: list[str],
    mode: "PromptMode | None",
    start: "GivenImage | None",
    given: Given,
) -> "tuple[SampleRequest, Mapping[str, str]]":
    """The request of an image, where the options replace what it says; and the hashes of its weights."""
    from cn.sample import png_metadata
    from cn.sample.again import again
    from cn.sample.prompts import from_command_line
    from cn.sample.weights import check_release, with_found_files

    recipe = png_metadata.from_file(path)
    for warning in recipe.warnings:
        console.warn(f"{path} {warning}")
    prompts = from_command_line(prompt, mode) if prompt or mode else ()
    check_release(recipe.request, recipe.hashes, path, {*given, *each})
    with about(path):
        request = again(
            recipe.request,
            given,
            each,
            prompts=prompts,
            auto=mode == "auto",
            cond=cond,
            detect=detect,
            invert=invert,
            start=start,
        )
    return with_found_files(request, recipe.hashes, path), recipe.hashes


def many_of(cond: "Sequence[str]", data: str | None) -> "str | None":
    """What gives many conditions: a dataset, a folder, a pattern, or "-" where standard input is a list of paths.

    UsageError where it is not the only one.
    """
    from cn.sample.many import is_several

    if data is not None:
        refuse({"--cond": cond}, "--data")
        if not data:
            raise UsageError("--data is empty: give a dataset")
        return data
    if any(map(is_several, cond)) and len(cond) > 1:
        raise UsageError("--cond: a folder or pattern is given alone, an image for each of its conditions")
    return cond[0] if any(map(is_several, cond)) else None


def listed(cond: "Sequence[str]") -> "list[str] | None":
    """The paths on standard input that `--cond -` stands for; None where it is an image. InputError: neither."""
    if list(cond) != ["-"]:
        return None
    from cn.commands.detect.standard_input import stdin_paths
    from cn.images import SUFFIXES

    # Poses in JSON are no list: what is said of them as an image says what to do.
    paths = stdin_paths("-", SUFFIXES | {".json"}, name="--cond")
    if paths == []:
        raise InputError("is empty: neither an image nor a list of paths", path="standard input")
    if any(ord(character) < ord(" ") for path in paths or () for character in path):
        raise InputError("is neither an image that cn reads nor a list of paths", path="standard input")
    return paths


def refuse(words: "Mapping[str, object]", beside: str) -> None:
    """UsageError for any of these options, flag → value."""
    if given := [flag for flag, value in words.items() if value]:
        raise UsageError(f"{beside} takes no {', '.join(given)}")


@dataclass(frozen=True)
class ManySources:
    """What gives many conditions: the `paths` of --cond, a dataset, or the paths `listed` on standard input."""

    cond: "Sequence[str]"
    data: str | None
    listed: "Sequence[str] | None"
    recursive: bool


def folder_job(
    sources: ManySources,
    prompt: list[str],
    mode: "PromptMode | None",
    each: "Mapping[str, Any]",
    given: Given,
    out: str | None,
    settings: "Mapping[str, Any]",
) -> "FolderJob":
    """The job of many conditions. InputError where there are none."""
    from cn.sample.folder import FolderJob, output_folder
    from cn.sample.many import Many, ManyFiles, ManyPairs
    from cn.sample.prompts import from_command_line
    from cn.sample.request import SampleRequest

    # Guessing needs a condition, which each of these requests is going to have.
    request = SampleRequest(from_command_line(prompt, mode), auto=mode == "auto", **{**given, "guess": False})
    own: dict[str, Any] = {
        "guess": bool(given.get("guess")),
        "own_prompts": not prompt and mode is None,
        "own_base": "base" not in given,
    }
    cond, data = sources.cond, sources.data
    folder = output_folder(out, f"--data {data}" if data is not None else f"--cond {cond[0]} are several conditions")
    found: Many
    if data is not None:
        found = ManyPairs.open(data, folder, control=next(iter(each.get("control", ())), None))
    else:
        found = ManyFiles.find(cond[0], folder, recursive=sources.recursive, listed=sources.listed)
    return FolderJob(request, found, each=each, out=folder, **own, **settings)


def many(job: "FolderJob", *, json: bool, quiet: bool) -> None:
    """Sample many conditions."""
    listed, request = job.listed(), job.request
    there = sum(len(one.there) for one in listed)
    # Reading many conditions takes a while.
    with console.progress(there, "comparing", unit="image", quiet=quiet or not there) as advance:
        left = job.left(listed, advance)
    console.plan("Sampling", _plan_of_many(job, left), quiet=quiet)
    for warning in job.conditions.warnings:
        console.warn(warning)
    show = preview_view(job.speed, json=json, quiet=quiet)
    steps = left.images * (request.total_steps // request.total)
    with console.progress(steps, "sampling", unit="step", quiet=quiet) as advance:
        for written in job.run(left, on_step=advance, warn=console.warn, show=show):
            report(written, auto=request.auto, json=json, quiet=quiet)


def _plan_of_many(job: "FolderJob", left: "Left") -> dict[str, str]:
    """What is known before conditions are read and networks are loaded."""
    from cn.sample.plan import of_which_there

    request, images = job.request, left.total * job.request.total
    done = of_which_there(images - left.images)
    last = request.seed + request.count - 1
    size = "that of each condition" if request.resolution is None else f"a short side of {request.resolution}"
    return {
        "conditions": f"{left.total}",
        "control": ", ".join(job.each.get("control", ())) or "that of each map's kind",
        "base": request.base,
        "prompt": "of each condition, where it has one" if job.own_prompts else request.prompts[0] or "(none)",
        "images": f"{images}{done}; {request.total} for each condition",
        "sampling": f"{request.steps} steps of {request.sampler}, {_guidance(request)}",
        "size": size if request.size is None else f"{request.size[1]}×{request.size[0]}",
        "seeds": f"{request.seed}" if request.count == 1 else f"{request.seed} to {last}",
        "out": str(job.out),
    }


def _guidance(request: "SampleRequest") -> str:
    return "guidance of the base" if request.scale is None else f"guidance {request.scale:g}"


def report(written: "Written", *, auto: bool, json: bool, quiet: bool) -> None:
    """One image or sheet that was written; with `auto` its prompt too, which nobody knew before."""
    if written.path != "-":
        console.emit(written, json=json)
    if auto and written.prompt is not None:
        console.status(f"{written.path}: {written.prompt}", quiet=quiet or json)
