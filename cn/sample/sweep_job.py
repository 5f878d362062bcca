"""A sweep from beginning to end: what is there is skipped, the rest is sampled, each grid becomes a sheet.

job = SweepJob(sweep, folder, requests=[request])
for written in job.run(): ...
"""

import math
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cn.errors import CnError, InputError, PartialError, UsageError
from cn.files import make_folder
from cn.sample import png_metadata, run
from cn.sample.folder import FolderJob
from cn.sample.options import AUTO, SpeedOptions
from cn.sample.output_paths import OutputPaths, inputs_of
from cn.sample.request import SampleRequest
from cn.sample.run import Job, Written
from cn.sample.sweep import Cell, Grid, Sweep, by_batch
from cn.sample.sweep_sheet import check_sheet, write_sheet
from cn.sample.weights import check_files

if TYPE_CHECKING:
    from cn.checkpoints.read.load import Control
    from cn.model.base import Base
    from cn.model.engine import SamplingEngine
    from cn.sample.pipeline import SamplingPipeline
    from cn.sample.previews import Show

AT_ONCE = 16
"""Conditions of a folder whose grids are sampled together."""


@dataclass(frozen=True, kw_only=True)
class SweepWritten(Written):
    """A cell, with its values (option → value); or a sheet, without prompt and seed."""

    sweep: dict[str, Any]


@dataclass
class _Networks:
    """What the last images were sampled with."""

    base: "Base"
    controls: "dict[str, Control]"
    engine: "SamplingEngine"


@dataclass
class SweepJob:
    """`requests` have the conditions of the command; of a folder of conditions, `conditions` makes them.

    With `detect` they are photographs. `sheet` is as in `Sweep.grids`.
    """

    sweep: Sweep
    folder: Path
    sheet: Path | None = None
    requests: Sequence[SampleRequest] = ()
    conditions: FolderJob | None = None
    detect: bool = False
    overwrite: bool = False
    device: str = "auto"
    speed: SpeedOptions = AUTO
    _networks: _Networks | None = None
    _key: Any = None
    _warned: set[str] = field(default_factory=set)

    def check(self) -> list[Grid]:
        """The grids, checked: weights and paths are there, every value is allowed, nothing foreign is in the way.

        Of a folder only those of the first condition that can be read, which stand for the others. Raises what
        `Sweep.grids`, `check_files` and `Cell.is_there` raise.
        """
        for grids in self._chunks(lambda error: None, 1):
            return grids
        assert self.conditions is not None
        raise InputError("none of the conditions can be read")

    def run(
        self,
        *,
        on_step: Callable[[int], object] = lambda count: None,
        warn: Callable[[str], None] = lambda message: None,
        show: "Show | None" = None,
    ) -> Iterator[SweepWritten]:
        """Sample what is missing, and write the sheet of each grid once all of its images are there.

        Raises PartialError in the end where conditions of a folder could not be read.
        """
        folder = self.conditions
        for grids in self._chunks(lambda error: folder.fail(error, warn) if folder else None, AT_ONCE):
            cells = [cell for grid in grids for cell in grid.cells]
            there = [cell for cell in cells if cell.is_there(self.overwrite)]
            for cell in there:
                on_step(cell.request.steps_made)
            left = self._mapped([cell for cell in cells if cell not in there])
            for group in by_batch(left):
                yield from self._sampled(group, there, on_step, warn, show)
            for grid in grids:
                write_sheet(grid, self.sweep)
                yield SweepWritten(path=str(grid.sheet), sweep={})
        if folder is not None and folder.failed:
            raise PartialError(f"{len(folder.failed)} of {len(folder.results())} conditions were not sampled")

    def _chunks(self, fail: Callable[[CnError], object], at_once: int) -> Iterator[list[Grid]]:
        if self.conditions is None:
            yield self._checked(self.sweep.grids(self.requests, self.folder, self.sheet))
            return
        results = list(enumerate(self.conditions.results()))
        for first in range(0, len(results), at_once):
            grids = list[Grid]()
            for number, result in results[first : first + at_once]:
                try:
                    request = self.conditions.request_for(number)
                except CnError as error:
                    fail(error)
                    continue
                grids += self.sweep.grids([request], self.folder, None, prefix=result)
            if grids:
                yield self._checked(grids)

    def _checked(self, grids: list[Grid]) -> list[Grid]:
        seen = set()
        for grid in grids:
            for cell in grid.cells:
                r = cell.request
                if (files := (r.base, r.lora, r.vae, *(c.control for c in r.conditions))) not in seen:
                    check_files(r)
                    seen.add(files)
                cell.is_there(self.overwrite)
                _check_inputs(cell, grid)
            check_sheet(grid, self.sweep, self.overwrite)
        return grids

    def _mapped(self, cells: list[Cell]) -> list[Cell]:
        """With the conditions that are detected in photographs, each once."""
        if not (cells and self.detect):
            return cells
        requests = run.with_maps([cell.request for cell in cells])
        return [replace(cell, request=request) for cell, request in zip(cells, requests, strict=True)]

    def _sampled(
        self,
        cells: list[Cell],
        there: Sequence[Cell],
        on_step: Callable[[int], object],
        warn: Callable[[str], None],
        show: "Show | None",
    ) -> Iterator[SweepWritten]:
        pipelines = self._opened(cells, warn)
        for cell in cells:
            make_folder(cell.path.parent)
        job = Job(pipelines, OutputPaths(tuple(str(cell.path) for cell in cells), None), self.speed)
        for warning in [*job.warnings(), *_changed_weights(pipelines, there)]:
            if warning not in self._warned:
                warn(warning)
                self._warned.add(warning)
        assert self._networks is not None
        written = run.sample(job, on_step=on_step, warn=warn, engine=self._networks.engine, show=show)
        for cell, one in zip(cells, written, strict=True):
            yield SweepWritten(path=one.path, prompt=one.prompt, seed=one.seed, sweep=dict(cell.values))

    def _opened(self, cells: list[Cell], warn: Callable[[str], None]) -> "tuple[SamplingPipeline, ...]":
        """Pipelines with the networks of the cells before, where these are the same."""
        from cn.sample.pipeline import engine_of

        r = cells[0].request
        key = (r.base, r.lora, r.vae, r.prediction, r.precision)
        if key != self._key:
            # Two bases are not in memory at once.
            self._networks, self._key = None, key
        kept = self._networks
        pipelines = run.open_pipelines(
            [cell.request for cell in cells],
            self.device,
            base=kept.base if kept else None,
            controls=kept.controls if kept else {},
        )
        controls = dict(kept.controls) if kept else {}
        for one in pipelines:
            controls |= dict(zip((c.control for c in one.request.conditions), one.controls, strict=True))
        chunks = 1 if self.conditions is None else math.ceil(len(self.conditions.results()) / AT_ONCE)
        engine = kept.engine if kept else engine_of(pipelines, self.speed, warn, images=len(cells) * chunks)
        self._networks = _Networks(pipelines[0].base, controls, engine)
        return pipelines


def _check_inputs(cell: Cell, grid: Grid) -> None:
    """UsageError where an image would replace one that it is made of."""
    for path in (cell.path, grid.sheet):
        if path.exists() and any(os.path.exists(n) and path.samefile(n) for n in inputs_of(cell.request)):
            raise UsageError("the image would replace its own condition or start; give another --out", path=path)


def _changed_weights(pipelines: "Sequence[SamplingPipeline]", there: Sequence[Cell]) -> Iterator[str]:
    """What is there already, but of weights that have changed since."""
    now = {name: value for pipeline in pipelines for name, value in pipeline.hashes.items()}
    networks = {(pipeline.request.base, pipeline.request.lora, pipeline.request.vae) for pipeline in pipelines}
    for cell in there:
        if (cell.request.base, cell.request.lora, cell.request.vae) in networks:
            hashes = png_metadata.from_file(str(cell.path)).hashes
            if any(now.get(name, value) != value for name, value in hashes.items()):
                yield f"{cell.path} was sampled with other weights than those that are there now: --overwrite it"
