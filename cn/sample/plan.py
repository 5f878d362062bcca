"""What `cn sample` says before it samples."""

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from cn.sample.lora_choice import Lora
from cn.sample.request import SampleRequest
from cn.sample.run import Job

if TYPE_CHECKING:
    from cn.sample.pipeline import SamplingPipeline

MAX_LINES = 12
"""Of prompts, controls or settings that the plan lists."""


def plan(job: Job) -> dict[str, str | None]:
    """What will be sampled, as name → value rows."""
    if not job.pipelines:
        sheet = job.paths.sheet
        return {"images": _all_there(len(job.paths.there)), "sheet": None if sheet is None else str(sheet)}
    pipelines = job.left
    requests = [pipeline.request for pipeline in pipelines]
    how = [_how(pipeline) for pipeline in pipelines]
    prompts = [_shown_prompt(prompt, job) for request in requests for prompt in _prompts(request)]
    return {
        "base": requests[0].base,
        "vae": requests[0].vae,
        "lora": lines(f"{lora.path}, weight {lora.weight:g}" for lora in map(Lora.parse, requests[0].lora)),
        "control": lines(text for request in requests for text in _controls(request)),
        "image": lines(text for pipeline in pipelines for text in _start(pipeline)),
        "mask": lines(text for pipeline in pipelines for text in _mask(pipeline)),
        "mode": "guess" if any(request.guess for request in requests) else None,
        "prompt": lines(prompts),
        "negative": lines(request.negative for request in requests if request.negative),
        "images": f"{len(job.paths.images)} of {lines(how)}, {_seeds(requests)}{_more_there(len(job.paths.there))}",
        "device": f"{job.pipelines[0].base.device}, {requests[0].precision}",
    }


def _prompts(request: SampleRequest) -> Sequence[str | None]:
    """None for an automatic one, which is not known yet."""
    return (None,) if request.auto else request.prompts


def _shown_prompt(prompt: str | None, job: Job) -> str:
    if prompt is None:
        assert job.writer is not None
        return f"automatic: captions of the results of the default prompt, by {job.writer.by.name}"
    return " ".join(prompt.split()) or "(none)"


def _how(pipeline: "SamplingPipeline") -> str:
    request, (height, width) = pipeline.request, pipeline.size
    eta = f", eta {request.eta:g}" if request.eta else ""
    sampler = request.sampler + ("" if request.sigmas == "default" else f" with {request.sigmas} sigmas")
    return f"{width}×{height}, {request.steps} steps of {sampler}, guidance {request.scale:g}{eta}"


def _more_there(count: int) -> str:
    return f"; {count} more {'is' if count == 1 else 'are'} there already" if count else ""


def of_which_there(count: int) -> str:
    """What a plan says beside a number of images, of which so many are there; "" for none."""
    return f", of which {count} {'is' if count == 1 else 'are'} there already" if count else ""


def _all_there(count: int) -> str:
    return "the only one is there already" if count == 1 else f"all {count} are there already"


def _seeds(requests: Sequence[SampleRequest]) -> str:
    """Neighbors as a range: "seeds 0 to 3, 7"."""
    runs: list[list[int]] = []
    for first, count in sorted({(request.seed, request.count) for request in requests}):
        last = first + count - 1
        if runs and first <= runs[-1][1] + 1:
            runs[-1][1] = max(runs[-1][1], last)
        else:
            runs.append([first, last])
    shown = [f"{first}" if first == last else f"{first} to {last}" for first, last in runs[:MAX_LINES]]
    return f"seed{'s' * (runs != [[runs[0][0]] * 2])} {', '.join(shown)}" + (", …" if len(runs) > MAX_LINES else "")


def _controls(request: SampleRequest) -> Iterator[str]:
    for c in request.conditions:
        window = "" if (c.start, c.end) == (0, 1) else f", from {c.start:g} to {c.end:g} of the steps"
        yield f"{c.control}, strength {c.strength:g}{window}, follows {c.name}"


def _start(pipeline: "SamplingPipeline") -> Iterator[str]:
    request, start = pipeline.request, pipeline.start_image
    if start is not None:
        yield f"{start.name}, denoise {request.share:g}: {request.steps_made} of {request.steps} steps"


def _mask(pipeline: "SamplingPipeline") -> Iterator[str]:
    request, start = pipeline.request, pipeline.start_image
    if start is not None and start.mask is not None:
        feather = f", feathered over {request.mask_feather} pixels" if request.mask_feather else ""
        yield f"{start.mask_name}, {start.mask.mean():.0%} is redrawn{feather}"


def lines(texts: Iterable[str]) -> str | None:
    """Each different text on a line of its own, as many as a screen shows well; None for no text."""
    found = list(dict.fromkeys(texts))
    left = [f"… and {len(found) - MAX_LINES} more"] if len(found) > MAX_LINES else []
    return "\n".join([*found[:MAX_LINES], *left]) or None
