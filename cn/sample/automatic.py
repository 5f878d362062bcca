"""Automatic prompts (`--prompt-mode auto`, §4.1): an image is sampled with the default prompt, captioned, and sampled
again, from the same noise, with its caption as the prompt.

Each image has its own caption, so that it does not depend on how many are sampled, and carries it as its prompt: to
reproduce it takes no captioner.
"""

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING

from cn.caption import weights
from cn.caption.settings import ENGINES, SCENES
from cn.errors import WeightsError
from cn.files import begin_sha256, sha256
from cn.sample.options import AUTO, SpeedOptions
from cn.sample.prompts import CaptionedBy
from cn.sample.request import SampleRequest
from cn.weights.bundled import BASE_NAME

if TYPE_CHECKING:
    from cn.caption.captioner import Captioner
    from cn.model.engine import SamplingEngine
    from cn.sample.pipeline import Sample, SamplingPipeline
    from cn.sample.previews import Previews

_SPECIAL = "\\()[]"
"""What has a meaning in weighted prompts."""


@dataclass(frozen=True)
class PromptWriter:
    """A captioner that is ready, and what images say of it."""

    by: CaptionedBy
    captioner: "Captioner"


@dataclass(frozen=True)
class ChosenCaptioner:
    """A captioner whose weights are there: what images say of it, and how `open_captioner` calls it."""

    by: CaptionedBy
    engine: str | None
    path: Path | None = None


def captioner_of(automatic: Sequence[SampleRequest], captioner: str | None = None) -> ChosenCaptioner:
    """The captioner of requests with automatic prompts.

    `captioner` is `SCENES` (default for the bundled base), one of `ENGINES` (default for others: the first), or a file
    or folder of weights. Raises WeightsError, with what to do, where they are missing.
    """
    if captioner is not None and captioner not in (SCENES, *ENGINES) and not os.path.exists(captioner):
        known = ", ".join([SCENES, *ENGINES])
        raise WeightsError(
            f"--captioner: there is no such file or folder, and the captioners are {known}", path=captioner
        )
    name = captioner or (SCENES if all(request.base == BASE_NAME for request in automatic) else ENGINES[0])
    if name == SCENES:
        return ChosenCaptioner(CaptionedBy(name, _sha256_once(weights.SCENE_READER)), name)
    engine, given = (name, None) if name in ENGINES else (None, name)
    path = weights.find(engine, given, flag="--captioner").path
    return ChosenCaptioner(CaptionedBy(name, _sha256_once(path)), engine, path)


def _sha256_once(path: Path) -> str:
    # Of a job that is run again, it is asked for before and after its images are compared.
    begin_sha256(path)
    return sha256(path)


def open_writer(
    requests: Iterable[SampleRequest], captioner: str | None = None, device: str = "auto"
) -> PromptWriter | None:
    """The captioner of the automatic prompts of these requests; None where there are none.

    `captioner` is as in `captioner_of`. Raises WeightsError, with what to do, for weights that are missing or do not
    fit.
    """
    if not (automatic := [request for request in requests if request.auto]):
        return None
    # First: torch and the networks take seconds.
    chosen = captioner_of(automatic, captioner)
    from cn.caption.create import open_captioner

    return PromptWriter(chosen.by, open_captioner(chosen.engine, chosen.path, device))


def batches_of(
    pipelines: "Sequence[SamplingPipeline]",
    writer: PromptWriter | None,
    on_step: Callable[[int], object] = lambda count: None,
    *,
    speed: SpeedOptions = AUTO,
    warn: Callable[[str], None] = lambda message: None,
    engine: "SamplingEngine | None" = None,
    previews: "Previews | None" = None,
) -> "Iterator[list[Sample]]":
    """`cn.sample.pipeline.batches_of`, where requests may have automatic prompts, which `writer` writes.

    An image for which it finds no words stays as it is with the default prompt, with a warning. `previews` show images
    with their own prompts.
    """
    from cn.sample import pipeline
    from cn.sample.speed import batch_size, free_gpu_bytes

    if writer is None or not any(one.request.auto for one in pipelines):
        yield from pipeline.batches_of(pipelines, on_step, speed=speed, warn=warn, engine=engine, previews=previews)
        return
    job = pipeline.job_size(pipelines)
    engine = engine or pipeline.engine_of(pipelines, speed, warn, images=job.images)
    # No more than are sampled at once, so that each is written as soon as it can be.
    size = batch_size(job, speed, lambda: free_gpu_bytes(job.base.device))
    each, done = (single for one in pipelines for single in _divided(one)), 0
    while group := list(islice(each, size)):
        drafts = [one for one in group if one.request.auto]
        sampled = pipeline.batches_of(drafts, on_step, speed=speed, warn=warn, engine=engine) if drafts else ()
        first = list(chain.from_iterable(sampled))
        captions = _captions(writer, first, warn)
        again = iter([_captioned(one, caption, writer.by) for one, caption in zip(drafts, captions, strict=True)])
        final = [next(again) if one.request.auto else one for one in group]
        later = None if previews is None else previews.later(done)
        yield from pipeline.batches_of(final, on_step, speed=speed, warn=warn, engine=engine, previews=later)
        done += sum(one.request.total for one in group)


def _divided(pipeline: "SamplingPipeline") -> "Iterator[SamplingPipeline]":
    """A pipeline for each image, where they are to be captioned."""
    if not pipeline.request.auto:
        yield pipeline
        return
    for one in pipeline.request.singles():
        yield replace(pipeline, request=one)


def _captions(writer: PromptWriter, samples: "Sequence[Sample]", warn: Callable[[str], None]) -> Iterator[str | None]:
    from cn.caption.run import caption_arrays

    for number, outcome in enumerate(
        caption_arrays(writer.captioner, {str(k): s.image for k, s in enumerate(samples)})
    ):
        if outcome.error is not None:
            reason = outcome.error.what.partition(";")[0]
            warn(f"an image of seed {samples[number].seed} keeps the default prompt: {reason}")
        yield outcome.caption


def _captioned(pipeline: "SamplingPipeline", caption: str | None, by: CaptionedBy) -> "SamplingPipeline":
    """The same image with its caption as the prompt; without one, with the prompt that it has.

    Both say who was asked: that is how a job which is run again knows its own images.
    """
    request = replace(pipeline.request, auto=False, captioned_by=by)
    if caption is not None:
        request = replace(request, prompts=(_quoted(caption, request),))
    return replace(pipeline, request=request)


def _quoted(caption: str, request: SampleRequest) -> str:
    """A caption is plain text, also where prompts have a syntax."""
    if request.prompt_syntax == "plain":
        return caption
    return "".join(f"\\{character}" if character in _SPECIAL else character for character in caption)
