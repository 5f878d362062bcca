"""`cn sample --sweep`: the cells of the grids over one or two options, each a request of its own, and their paths.

The first option changes from column to column, the second from row to row. Several prompts, seeds (`--count`) and
conditions make a grid each. No torch.
"""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from cn.errors import CnError, UsageError
from cn.sample import png_metadata, recipes
from cn.sample.axis import LORA_WEIGHT, Axis, Value, weighted
from cn.sample.lines import applied
from cn.sample.output_paths import DEFAULT_FOLDER
from cn.sample.png_metadata import Recipe
from cn.sample.request import SampleRequest
from cn.sample.weights import with_own_base
from cn.text import shown

SHEET = "sweep.png"
TEXT_KEY = png_metadata.SHEET_KEY
MAX_CELLS = 2000
"""Of one grid: each has at least a few hundred pixels of the sheet."""


@dataclass(frozen=True, eq=False)
class Cell:
    """One image of a grid."""

    request: SampleRequest
    path: Path
    values: Mapping[str, Any]
    """Option → value."""
    of: str = ""
    """Its condition, of several: the path of its results without suffix."""

    @cached_property
    def there(self) -> Recipe | None:
        """Of the image that is in its place; None: there is none. InputError where something else is.

        Read once, so that images which are sampled meanwhile do not count.
        """
        return recipes.read(self.path) if self.path.exists() else None


@dataclass(frozen=True, eq=False)
class Grid:
    """The cells of a sheet, row by row."""

    cells: tuple[Cell, ...]
    sheet: Path
    title: str
    of: str = ""
    """As in its cells."""


@dataclass(frozen=True)
class Sweep:
    """One or two axes: columns, then rows."""

    axes: tuple[Axis, ...]
    each: Mapping[str, Sequence[Any]]
    """What the command says of conditions, for those that the sweep names (`cond`)."""
    own_base: bool = False
    """Whether each control brings the base that it was trained together with, if there is one."""
    other_base: str | None = None
    """That of a control without one; None: as the requests have it."""

    @classmethod
    def parse(cls, words: Sequence[str], each: Mapping[str, Sequence[Any]], **bases: Any) -> "Sweep":
        """Raises UsageError for more than two options, one given twice, and what `Axis.parse` refuses."""
        axes = tuple(map(Axis.parse, words))
        names = [axis.option for axis in axes]
        if len(axes) > 2:
            raise UsageError("--sweep is given at most twice: for the columns of the grid, and for its rows")
        if len({*names}) < len(names):
            raise UsageError(f"--sweep {names[0]} is given twice: write all its values after one =")
        if {*names} == {"size", "resolution"} or {*names} == {"lora", LORA_WEIGHT}:
            raise UsageError(f"--sweep {names[0]} and --sweep {names[1]} say the same: give one of them")
        total = 1
        for axis in axes:
            total *= len(axis.values)
        if total > MAX_CELLS:
            raise UsageError(f"a grid of {total} images is too large to look at: give at most {MAX_CELLS} in all")
        return cls(axes, each, **bases)

    @property
    def options(self) -> tuple[str, ...]:
        """The names of the options."""
        return tuple(axis.option for axis in self.axes)

    @cached_property
    def cells(self) -> tuple[tuple[Value, ...], ...]:
        """The values of each cell, row by row: one for each axis."""
        columns, *rows = self.axes
        return tuple(tuple(reversed(pair)) for pair in itertools.product(*(axis.values for axis in [*rows, columns])))

    def grids(self, bases: Sequence[SampleRequest], folder: Path, sheet: Path | None, prefix: str = "") -> list[Grid]:
        """A grid for each prompt and seed of these requests, in `folder`.

        A single one is `sheet` (default: sweep.png in the folder), with its images in `folder` itself; several have
        folders and names of their own, and so have those of a `prefix`. Raises UsageError, with the values of the cell,
        for those that do not go together, InputError for conditions that cannot be read, and WeightsError for controls.
        """
        self._check_together(bases)
        prompts, found = sum(len(base.prompts) for base in bases), list[Grid]()
        number = 0
        for base in bases:
            made = self._requests(base)
            for k in range(len(base.prompts)):
                number += 1
                for i in range(base.count):
                    parts = [prefix, f"prompt{number}" * (prompts > 1), f"seed{base.seed + i}" * (base.count > 1)]
                    name = "-".join(filter(None, parts))
                    requests = [one.alone(one.prompts[0 if len(one.prompts) == 1 else k], one.seed + i) for one in made]
                    found.append(self._grid(requests, folder, name, sheet, prefix))
        return found

    def _grid(
        self, requests: Sequence[SampleRequest], folder: Path, name: str, sheet: Path | None, condition: str
    ) -> Grid:
        within = folder / name if name else folder
        paths = [within / f"{'_'.join(value.name for value in values)}.png" for values in self.cells]
        cells = tuple(
            Cell(request, path, {o: v.value for o, v in zip(self.options, values, strict=True)}, condition)
            for request, path, values in zip(requests, paths, self.cells, strict=True)
        )
        # Beside the folder of its images, so that those of a/b and a-b are two.
        sheet = sheet or (within.with_name(f"sweep-{within.name}.png") if name else within / SHEET)
        return Grid(cells, sheet, self._title(requests[0]), condition)

    def _title(self, request: SampleRequest) -> str:
        """What all cells have in common, as far as it is usually asked for."""
        said = [] if "prompt" in self.options else [" ".join(request.prompts[0].split()) or "(no prompt)"]
        return ", ".join([*said, *([] if "seed" in self.options else [f"seed {request.seed}"])])

    def _check_together(self, bases: Sequence[SampleRequest]) -> None:
        for base in bases:
            if "seed" in self.options and base.count > 1:
                raise UsageError("--sweep seed takes no --count: its values are the seeds")
            if "prompt" in self.options and len(base.prompts) > 1:
                raise UsageError("--sweep prompt takes one --prompt at most: its values are the prompts")
            if (of_conditions := self._of_conditions()) and not base.conditions:
                raise UsageError(f"--sweep {of_conditions[0]} is about condition images: give one with --cond")
            if LORA_WEIGHT in self.options and not base.lora:
                raise UsageError(f"--sweep {LORA_WEIGHT} is about LoRA files: give them with --lora")

    def _of_conditions(self) -> list[str]:
        """The options of conditions, where those of the command are meant."""
        return [] if "cond" in self.options else [axis.option for axis in self.axes if axis.is_of_conditions]

    def _requests(self, base: SampleRequest) -> list[SampleRequest]:
        """A request for each cell; conditions are read once for each file and control."""
        read: dict[tuple[Any, ...], SampleRequest] = {}
        found = []
        for values in self.cells:
            given = {axis.option: value.value for axis, value in zip(self.axes, values, strict=True)}
            reads = {axis.option: given[axis.option] for axis in self.axes if axis.reads}
            key = tuple(reads.values())
            try:
                if key not in read:
                    read[key] = self._with_conditions(base, reads)
                found.append(self._applied(read[key], {n: v for n, v in given.items() if n not in reads}))
            except CnError as error:
                error.what = (
                    f"--sweep {' '.join(_said(axis, v) for axis, v in zip(self.axes, values, strict=True))}: {error}"
                )
                error.path = None
                raise
        return found

    def _with_conditions(self, base: SampleRequest, reads: Mapping[str, Any]) -> SampleRequest:
        if "cond" in reads:
            lines = {"start": "control-start", "end": "control-end"}
            reads = {lines.get(name, name): list(values) for name, values in self.each.items()} | dict(reads)
        request = applied(base, reads) if reads else base
        if not self.own_base or "base" in self.options:
            return request
        return with_own_base(replace(request, base=self.other_base or request.base))

    def _applied(self, request: SampleRequest, given: Mapping[str, Any]) -> SampleRequest:
        rest = dict(given)
        if LORA_WEIGHT in rest:
            request = replace(request, lora=weighted(request.lora, rest.pop(LORA_WEIGHT)))
        return applied(request, rest)


def _said(axis: Axis, value: Value) -> str:
    return f"{axis.option}={shown(value.text)}"


def default_folder(options: Sequence[str]) -> Path:
    """Without --out: a folder for sweeps of these options."""
    return DEFAULT_FOLDER / "-".join(["sweep", *options])


def by_batch(cells: Sequence[Cell]) -> Iterator[list[Cell]]:
    """The cells of the same base, VAE and LoRA, a group each; those that can share a batch are neighbours in it."""
    networks: dict[Any, dict[Any, list[Cell]]] = {}
    for cell in cells:
        r = cell.request
        alike = networks.setdefault((r.base, r.lora, r.vae, r.prediction, r.precision), {})
        alike.setdefault(_batch_key(r), []).append(cell)
    for groups in networks.values():
        yield [cell for group in groups.values() for cell in group]


def _batch_key(r: SampleRequest) -> tuple[Any, ...]:
    """The same for images that differ by prompt, seed or condition image alone."""
    controls = tuple((c.control, c.strength, c.start, c.end, c.masked) for c in r.conditions)
    own = (r.size, r.resolution, r.steps, r.scale, r.eta, r.guess, r.sampler, r.sigmas, r.denoise, r.fit)
    return (*own, controls)
