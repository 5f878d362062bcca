"""A sweep from beginning to end: what is there is skipped, the rest is sampled, each grid becomes a sheet.

job = SweepJob(sweep, folder, requests=[request])
for written in job.run(): ...
"""

import contextlib
import math
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cn.errors import CnError, InputError, UsageError
from cn.files import make_folder
from cn.options import check_device
from cn.sample import run
from cn.sample.comparison import Comparison
from cn.sample.folder import FolderJob
from cn.sample.options import AUTO, SpeedOptions
from cn.sample.output_paths import OutputPaths, inputs_of
from cn.sample.recipes import OtherRecipeError
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

    With `detect` they are photographs, also where that is of `conditions`. `sheet` is as in `Sweep.grids`.
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
    _known: dict[int, list[Grid]] = field(default_factory=dict)
    """What is checked already, by the number of the condition."""
    _failed: set[str] = field(default_factory=set)
    """Results of conditions that cannot be sampled."""

    @cached_property
    def results(self) -> list[str]:
        """Those of `conditions`, each read once; a single one without a name for `requests`."""
        return self.conditions.results() if self.conditions is not None else [""]

    def check(self) -> list[Grid]:
        """The grids, checked: weights and paths are there, every value is allowed, nothing else is in the way.

        Of a folder only those of the first condition that can be sampled, which stand for the others. Raises what
        `Sweep.grids`, `check_files` and `Comparison.refuse` raise; where no condition can be sampled, for the first
        one.
        """
        check_device(self.device)
        if self.conditions is None:
            self._known[0] = self._grids(0)
            return self._known[0]
        self.conditions.check_each()
        failed: list[CnError] = []
        for number in range(len(self.results)):
            try:
                request = self.conditions.request_for(number)
            except CnError as error:
                failed.append(error)
                continue
            try:
                # What is wrong with options or weights is so for the other conditions too, and so are other recipes.
                self._known[number] = self._grids(number, request)
            except OtherRecipeError:
                raise
            except InputError as error:
                failed.append(error)
                continue
            return self._known[number]
        raise failed[0] if failed else InputError("there are no conditions")

    def run(
        self,
        *,
        on_step: Callable[[int], object] = lambda count: None,
        warn: Callable[[str], None] = lambda message: None,
        show: "Show | None" = None,
    ) -> Iterator[SweepWritten]:
        """Sample what is missing, and write the sheet of each grid once all of its images are there.

        Raises PartialError in the end where conditions of a folder could not be sampled, and InputError where none
        could.
        """
        for first in range(0, len(self.results), AT_ONCE):
            grids = list[Grid]()
            for number, result in enumerate(self.results[first : first + AT_ONCE], first):
                with self._failing(result, warn):
                    grids += self._grids(number)
            cells = [cell for grid in grids for cell in grid.cells]
            for cell in filter(self._is_there, cells):
                on_step(cell.request.steps_made)
            left = self._mapped([cell for cell in cells if not self._is_there(cell)], warn)
            for group in by_batch(left):
                yield from self._sampled(group, on_step, warn, show)
            for grid in grids:
                if grid.of in self._failed:
                    continue
                with self._failing(grid.of, warn):
                    write_sheet(grid, self.sweep)
                    yield SweepWritten(path=str(grid.sheet), sweep={})
        if self.conditions is not None:
            self.conditions.raise_failed(len(self.results))

    @contextlib.contextmanager
    def _failing(self, result: str, warn: Callable[[str], None]) -> Iterator[None]:
        """Of several conditions, one that cannot be sampled is noted, and left out from then on."""
        try:
            yield
        except CnError as error:
            if self.conditions is None:
                raise
            self.conditions.fail(error, warn)
            self._failed.add(result)

    def _grids(self, number: int, request: SampleRequest | None = None) -> list[Grid]:
        """Those of a condition, checked; or of `requests`."""
        if number in self._known:
            return self._known.pop(number)
        if self.conditions is None:
            return self._checked(self.sweep.grids(self.requests, self.folder, self.sheet))
        request = request or self.conditions.request_for(number)
        return self._checked(self.sweep.grids([request], self.folder, None, prefix=self.results[number]))

    @cached_property
    def _comparison(self) -> Comparison:
        return Comparison(self.device)

    def _is_there(self, cell: Cell) -> bool:
        """Whether it is sampled already. InputError where something else is in its place."""
        return not self.overwrite and cell.there is not None

    def _checked(self, grids: list[Grid]) -> list[Grid]:
        seen = set()
        for grid in grids:
            for cell in grid.cells:
                r = cell.request
                if (files := (r.base, r.lora, r.vae, *(c.control for c in r.conditions))) not in seen:
                    check_files(r)
                    seen.add(files)
                if self._is_there(cell) and cell.there is not None:
                    self._comparison.refuse(cell.path, cell.there, cell.request)
                _check_inputs(cell, grid)
            check_sheet(grid, self.sweep, self.overwrite)
        return grids

    def _mapped(self, cells: list[Cell], warn: Callable[[str], None]) -> list[Cell]:
        """With the conditions that are detected in photographs, each once."""
        if not (self.detect or (self.conditions is not None and self.conditions.detect is not None)):
            return cells
        found = list[Cell]()
        for result, own in _by_condition(cells).items():
            with self._failing(result, warn):
                requests = run.with_maps([cell.request for cell in own])
                found += [replace(cell, request=request) for cell, request in zip(own, requests, strict=True)]
        return found

    def _sampled(
        self,
        cells: list[Cell],
        on_step: Callable[[int], object],
        warn: Callable[[str], None],
        show: "Show | None",
    ) -> Iterator[SweepWritten]:
        opened = self._opened([cell for cell in cells if cell.of not in self._failed], warn)
        if not opened:
            return
        for cell in opened:
            make_folder(cell.path.parent)
        pipelines = tuple(opened.values())
        job = Job(pipelines, OutputPaths(tuple(str(cell.path) for cell in opened), None), self.speed)
        for warning in job.warnings():
            if warning not in self._warned:
                warn(warning)
                self._warned.add(warning)
        assert self._networks is not None
        written = run.sample(job, on_step=on_step, warn=warn, engine=self._networks.engine, show=show)
        for cell, one in zip(opened, written, strict=True):
            yield SweepWritten(path=one.path, prompt=one.prompt, seed=one.seed, sweep=dict(cell.values))

    def _opened(self, cells: Sequence[Cell], warn: Callable[[str], None]) -> "dict[Cell, SamplingPipeline]":
        """Pipelines with the networks of the cells before, where these are the same; without conditions that fail."""
        if not cells:
            return {}
        from cn.sample.pipeline import engine_of

        r = cells[0].request
        key = (r.base, r.lora, r.vae, r.prediction, r.precision)
        if key != self._key:
            # Two bases are not in memory at once.
            self._networks, self._key = None, key
        kept = self._networks
        base, controls = (kept.base, dict(kept.controls)) if kept else (None, {})
        found: dict[Cell, SamplingPipeline] = {}
        for result, own in _by_condition(cells).items():
            with self._failing(result, warn):
                opened = run.open_pipelines([cell.request for cell in own], self.device, base=base, controls=controls)
                base = opened[0].base
                for one in opened:
                    controls |= dict(zip((c.control for c in one.request.conditions), one.controls, strict=True))
                found |= dict(zip(own, opened, strict=True))
        pipelines = tuple(found.values())
        if base is not None and pipelines:
            chunks = math.ceil(len(self.results) / AT_ONCE)
            engine = kept.engine if kept else engine_of(pipelines, self.speed, warn, images=len(cells) * chunks)
            self._networks = _Networks(base, controls, engine)
        return {cell: found[cell] for cell in cells if cell in found}


def _by_condition(cells: Sequence[Cell]) -> dict[str, list[Cell]]:
    found: dict[str, list[Cell]] = {}
    for cell in cells:
        found.setdefault(cell.of, []).append(cell)
    return found


def _check_inputs(cell: Cell, grid: Grid) -> None:
    """UsageError where an image would replace one that it is made of."""
    for path in (cell.path, grid.sheet):
        if path.exists() and any(os.path.exists(n) and path.samefile(n) for n in inputs_of(cell.request)):
            raise UsageError("the image would replace its own condition or start; give another --out", path=path)
