"""`cn sample --cond FOLDER` and `--data SET`: an image for each of many conditions, in a folder with the same names.

What is there already is skipped, so that a stopped job goes on, and an image of another recipe is an error. Conditions
that cannot be read are named, and the rest is sampled. Few conditions are in memory at a time.
"""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cn.errors import CnError, InputError, PartialError, UsageError
from cn.files import make_folder
from cn.options import check_device, declared
from cn.sample import recipes
from cn.sample.automatic import PromptWriter, open_writer
from cn.sample.comparison import Comparison
from cn.sample.many import Many
from cn.sample.options import AUTO, ConditionOptions, SpeedOptions
from cn.sample.output_paths import DEFAULT_FOLDER, OutputPaths
from cn.sample.request import SampleRequest, broadcast, make_conditions, with_detected
from cn.sample.run import Job, Written, sample
from cn.sample.weights import check_files, with_own_base
from cn.startup import without_collection
from cn.weights import bundled

if TYPE_CHECKING:
    from cn.checkpoints.read.load import Control
    from cn.model.base import Base
    from cn.sample.pipeline import SamplingPipeline
    from cn.sample.previews import Show

AT_ONCE = 64
"""Conditions that are read before their images are sampled."""


def output_folder(out: str | None, many: str) -> Path:
    """`--out`, or its default. UsageError where it is no folder, for `many` conditions."""
    folder = Path(out) if out is not None else DEFAULT_FOLDER
    if out in ("-", "") or (folder.suffix and not folder.is_dir() and not str(out).endswith(os.sep)):
        raise UsageError(f"{many}: --out must be a folder")
    return folder


@dataclass(frozen=True)
class Wanted:
    """An image of a condition: the number of its prompt and its seed."""

    path: Path
    prompt: int
    seed: int

    def request(self, of: SampleRequest) -> SampleRequest:
        """Of the request of its condition that for this image alone."""
        return of.alone(of.prompts[self.prompt], self.seed)


@dataclass(frozen=True)
class Listed:
    """The images of a condition, and those of them that are there and are to stay."""

    images: list[Wanted]
    there: list[Wanted]


@dataclass(frozen=True)
class Left:
    """What is left to do: how many conditions there are, and the number of each that is left, with those images."""

    total: int
    numbers: list[tuple[int, list[Wanted]]]

    @property
    def images(self) -> int:
        return sum(len(images) for _, images in self.numbers)


@dataclass
class FolderJob:
    """`request` has no conditions; its prompts are for all of them, unless `own_prompts`: then those come first that
    belong to a condition.

    `each` are lists for the fields of `ConditionOptions`, `detect` and `invert` as in `make_conditions`.
    """

    request: SampleRequest
    conditions: Many
    each: Mapping[str, Sequence[Any]]
    out: Path
    detect: str | None = None
    invert: bool = False
    guess: bool = False
    """Of all requests, instead of that of `request`, which has no condition."""
    own_prompts: bool = False
    own_base: bool = False
    """Whether the base is that which the control was trained together with, if there is one."""
    limit: int | None = None
    """Only so many conditions, the first ones."""
    overwrite: bool = False
    captioner: str | None = None
    """Of automatic prompts."""
    device: str = "auto"
    speed: SpeedOptions = AUTO
    failed: list[str] = field(default_factory=list)
    """What could not be sampled, and why."""

    def images(self, result: str) -> list[Wanted]:
        """Of a condition, whose result has this path without suffix; all prompts, for each all seeds."""
        r, name = self.request, Path(result).name
        found = []
        for k in range(len(r.prompts)):
            prefix = f"{name}-prompt{k + 1}" if len(r.prompts) > 1 else name
            for seed in range(r.seed, r.seed + r.count):
                file = f"{prefix}-seed{seed}.png" if r.count > 1 else f"{prefix}.png"
                found.append(Wanted(self.out / Path(result).parent / file, k, seed))
        return found

    def results(self) -> list[str]:
        """Of each condition that is to be sampled the path of its result, without suffix."""
        return list(islice(self.conditions.results(), self.limit))

    def listed(self) -> list[Listed]:
        """What is there of each condition; nothing is read."""
        found = map(self.images, self.results())
        return [Listed(one, [] if self.overwrite else [w for w in one if w.path.exists()]) for one in found]

    def left(self, listed: Sequence[Listed], on_image: Callable[[int], object] = lambda count: None) -> Left:
        """What is to be sampled. InputError where an image is there that has another recipe.

        `on_image` is told how many more have been compared. A condition that cannot be read, and so not be compared, is
        left, whatever is there: `run` names it.
        """
        numbers, comparison = [], Comparison(self.device, self.captioner)
        for number, one in enumerate(listed):
            compared = not one.there or self._compare(number, one.there, comparison)
            on_image(len(one.there))
            if len(one.there) < len(one.images) or not compared:
                numbers.append((number, [wanted for wanted in one.images if wanted not in one.there]))
        return Left(len(listed), numbers)

    def _compare(self, number: int, there: list[Wanted], comparison: Comparison) -> bool:
        """Whether a condition can be compared with that of its images; InputError where one has another recipe."""
        found = [recipes.read(one.path) for one in there]
        try:
            request = self.request_for(number)
        except CnError:
            return False
        for one, recipe in zip(there, found, strict=True):
            comparison.refuse(one.path, recipe, one.request(request))
        return True

    def run(
        self,
        left: "Left",
        *,
        on_step: Callable[[int], object] = lambda count: None,
        warn: Callable[[str], None] = lambda message: None,
        show: "Show | None" = None,
    ) -> Iterator[Written]:
        """Sample the conditions that are `left`, and write each image as soon as it is finished.

        `show` shows previews, where there are to be any. Raises PartialError in the end where some could not be
        sampled, and InputError where none could.
        """
        if not left.numbers:
            return
        self.check()
        writer = self._writer(left)
        with without_collection():
            from cn.sample.pipeline import engine_of

        opened: SamplingPipeline | None = None
        controls: dict[str, Control] = {}
        engine = None
        for first in range(0, len(left.numbers), AT_ONCE):
            ready: list[tuple[SamplingPipeline, list[Wanted]]] = []
            for number, wanted in left.numbers[first : first + AT_ONCE]:
                try:
                    one = self._open(number, opened.base if opened is not None else None, controls)
                except CnError as error:
                    self.fail(error, warn)
                    continue
                opened = opened or one
                controls |= dict(zip((c.control for c in one.request.conditions), one.controls, strict=True))
                for warning in one.warnings():
                    warn(warning)
                ready += _only(one, wanted)
            if not ready:
                continue
            pipelines = tuple(one for one, _ in ready)
            engine = engine or engine_of(pipelines, self.speed, warn, images=left.images)
            images = tuple(str(one.path) for _, wanted in ready for one in wanted)
            for folder in {os.path.dirname(path) for path in images}:
                make_folder(folder)
            job = Job(pipelines, OutputPaths(images, None), self.speed, writer)
            yield from sample(job, on_step=on_step, warn=warn, engine=engine, show=show)
        self.raise_failed(left.total)

    def check(self) -> None:
        """What would be wrong with every condition is said once: missing files, or options for several of them."""
        check_device(self.device)
        check_files(self.request)
        self.check_each()

    def check_each(self) -> None:
        """`check` of the options of conditions: one value of each, and controls that are there."""
        for name, values in self.each.items():
            broadcast(declared(ConditionOptions)[name].label, values, 1)
        for control in self.each.get("control", ()):
            bundled.find(control, role="control")

    def _writer(self, left: "Left") -> "PromptWriter | None":
        """Of automatic prompts, which the base decides on: that of the first condition that can be used."""
        for number, _ in left.numbers if self.request.auto else ():
            try:
                request = self.request_for(number)
            except CnError:
                # It is named when its turn comes.
                continue
            return open_writer([request], self.captioner, self.device)
        return None

    def request_for(self, number: int) -> SampleRequest:
        """The request of one condition; with `detect` of a photograph, for `with_detected`.

        Raises InputError for one that cannot be used.
        """
        given = self.conditions[number]
        conditions = make_conditions(
            [given.image], kind=given.kind, detect=self.detect, invert=self.invert, inpainting=None, **self.each
        )
        prompts = self.request.prompts if given.prompt is None or not self.own_prompts else (given.prompt,)
        request = replace(self.request, conditions=conditions, prompts=prompts, guess=self.guess)
        return with_own_base(request) if self.own_base else request

    def fail(self, error: CnError, warn: Callable[[str], None]) -> None:
        """Note what could not be sampled."""
        self.failed.append(str(error))
        warn(f"not sampled: {error}")

    def raise_failed(self, total: int) -> None:
        """Where some of `total` conditions could not be sampled PartialError, and where none could InputError."""
        if self.failed:
            what = f"{len(self.failed)} of {total} conditions were not sampled"
            raise PartialError(what) if len(self.failed) < total else InputError(f"{what}: {self.failed[0]}")

    def _open(self, number: int, base: "Base | None", controls: "Mapping[str, Control]") -> "SamplingPipeline":
        from cn.sample.pipeline import SamplingPipeline

        request = self.request_for(number)
        if self.detect is not None:
            request = replace(request, conditions=with_detected(request.conditions))
        return SamplingPipeline.open(request, device=self.device, base=base, controls=controls)


def _only(pipeline: "SamplingPipeline", wanted: list[Wanted]) -> "list[tuple[SamplingPipeline, list[Wanted]]]":
    """The pipeline of a condition with its images; where some of these are there already, one for each of the rest."""
    request = pipeline.request
    if len(wanted) == request.total:
        return [(pipeline, wanted)]
    return [(replace(pipeline, request=one.request(request)), [one]) for one in wanted]
