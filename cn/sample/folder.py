"""`cn sample --cond FOLDER`: an image for each condition of a folder or pattern, in a folder with the same names.

Like `cn detect`: what is there already is skipped, so that a stopped job goes on; what cannot be read is named, and the
rest is sampled. Few conditions are in memory at a time.
"""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cn.detect.run import inputs, jobs
from cn.errors import CnError, InputError, PartialError, UsageError
from cn.images import SUFFIXES
from cn.sample.automatic import open_writer, samples_of
from cn.sample.options import AUTO, SpeedOptions
from cn.sample.output_paths import DEFAULT_FOLDER
from cn.sample.request import SampleRequest, make_conditions, with_detected
from cn.sample.run import Written

if TYPE_CHECKING:
    from cn.checkpoints.read.load import Control
    from cn.model.base import Base
    from cn.sample.pipeline import SamplingPipeline

AT_ONCE = 64
"""Conditions that are read before their images are sampled."""
SIDECAR = ".txt"
"""Beside a condition: its prompt, where the command has none."""


def is_several(path: str) -> bool:
    """Whether `--cond` names a folder or a pattern."""
    return os.path.isdir(path) or (not os.path.lexists(path) and any(mark in path for mark in "*?["))


@dataclass
class FolderJob:
    """`request` has no conditions; its prompts are for all of them, unless `own_prompts`: then sidecars come first.

    `each` are lists for the fields of `ConditionOptions`, `detect` and `invert` as in `make_conditions`.
    """

    request: SampleRequest
    sources: inputs.Sources
    each: Mapping[str, Sequence[Any]]
    out: Path
    detect: str | None = None
    invert: bool = False
    guess: bool = False
    """Of all requests, instead of that of `request`, which has no condition."""
    own_prompts: bool = False
    own_base: bool = False
    """Whether the base is that which the control was trained together with, if there is one."""
    overwrite: bool = False
    captioner: str | None = None
    """Of automatic prompts."""
    device: str = "auto"
    speed: SpeedOptions = AUTO
    failed: list[str] = field(default_factory=list)
    """What could not be sampled, and why."""

    @classmethod
    def of(
        cls, cond: str, request: SampleRequest, out: str | None, *, recursive: bool = False, **given: Any
    ) -> "FolderJob":
        """Find the conditions. Raises InputError where there are none, UsageError for an `out` that is no folder."""
        folder = Path(out) if out is not None else DEFAULT_FOLDER
        if out == "-" or (folder.suffix and not folder.is_dir() and not str(out).endswith(os.sep)):
            raise UsageError(f"--cond {cond} are several conditions: --out must be a folder")
        sources = inputs.find(
            cond, os.fspath(folder), suffixes=SUFFIXES, recursive=recursive, companions=frozenset({SIDECAR})
        )
        jobs.check_destination(replace(sources, single=False), os.fspath(folder))
        return cls(request, sources, out=folder, **given)

    def paths(self, result: str) -> list[Path]:
        """Of the images of a condition, whose result has this path without suffix."""
        r, name = self.request, Path(result).name
        prefixes = [f"{name}-prompt{k}" for k in range(1, len(r.prompts) + 1)] if len(r.prompts) > 1 else [name]
        names = (
            [f"{prefix}-seed{r.seed + i}" for prefix in prefixes for i in range(r.count)] if r.count > 1 else prefixes
        )
        return [self.out / Path(result).parent / f"{each}.png" for each in names]

    def left(self) -> list[tuple[str, list[Path]]]:
        """The path of each condition that has images to be sampled, and theirs."""
        found = [(key, self.paths(result)) for key, result in jobs.results(self.sources)]
        missing = [(key, paths) for key, paths in found if self.overwrite or not all(path.exists() for path in paths)]
        return [(os.path.join(self.sources.root, key), paths) for key, paths in missing]

    def run(
        self,
        left: Sequence[tuple[str, list[Path]]],
        *,
        on_step: Callable[[int], object] = lambda count: None,
        warn: Callable[[str], None] = lambda message: None,
    ) -> Iterator[Written]:
        """Sample the conditions that are `left`, and write each image as soon as it is finished.

        Raises PartialError in the end where some could not be sampled, and InputError where none could.
        """
        from cn.sample.pipeline import engine_of

        # Before anything is sampled; and nothing is loaded where nothing is left.
        writer = open_writer([self.request] if left else [], self.captioner if left else None, self.device)
        opened: SamplingPipeline | None = None
        controls: dict[str, Control] = {}
        engine = None
        for first in range(0, len(left), AT_ONCE):
            ready: list[tuple[SamplingPipeline, list[Path]]] = []
            for path, paths in left[first : first + AT_ONCE]:
                try:
                    one = self._open(path, opened.base if opened is not None else None, controls)
                except CnError as error:
                    self._fail(path, error, warn)
                    continue
                opened = opened or one
                controls |= dict(zip((c.control for c in one.request.conditions), one.controls, strict=True))
                for warning in one.warnings():
                    warn(warning)
                ready.append((one, paths))
            if not ready:
                continue
            pipelines = [one for one, _ in ready]
            engine = engine or engine_of(pipelines, self.speed, warn, images=len(left) * self.request.total)
            samples = samples_of(pipelines, writer, on_step, speed=self.speed, warn=warn, engine=engine)
            for one, paths in ready:
                for target, made in zip(paths, islice(samples, one.request.total), strict=True):
                    target.parent.mkdir(parents=True, exist_ok=True)
                    made.save(target)
                    yield Written(str(target), made.prompt, made.seed)
        if self.failed:
            what = f"{len(self.failed)} of {len(left)} conditions were not sampled"
            raise PartialError(what) if len(self.failed) < len(left) else InputError(f"{what}: {self.failed[0]}")

    def _open(self, path: str, base: "Base | None", controls: "Mapping[str, Control]") -> "SamplingPipeline":
        from cn.sample.pipeline import SamplingPipeline
        from cn.sample.weights import with_own_base

        conditions = make_conditions([path], detect=self.detect, invert=self.invert, inpainting=None, **self.each)
        if self.detect is not None:
            conditions = with_detected(conditions)
        request = replace(self.request, conditions=conditions, prompts=self._prompts(path), guess=self.guess)
        request = with_own_base(request) if self.own_base else request
        return SamplingPipeline.open(request, device=self.device, base=base, controls=controls)

    def _prompts(self, path: str) -> tuple[str, ...]:
        sidecar = Path(path).with_suffix(SIDECAR)
        if not self.own_prompts or not sidecar.is_file():
            return self.request.prompts
        try:
            text = sidecar.read_text(encoding="utf-8-sig")
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(f"its prompt cannot be read: {error}", path=sidecar) from None
        return (" ".join(text.split()),)

    def _fail(self, path: str, error: CnError, warn: Callable[[str], None]) -> None:
        self.failed.append(str(error))
        warn(f"not sampled: {error}")
