"""What a figure is: commands, and a sheet of the files that they write."""

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

AUTOMATIC = "\0prompt"
"""As a cell's label: the prompt that the sampled image itself states."""


@dataclass(frozen=True)
class Settings:
    """What the command line of the tool changes in all figures."""

    seeds: int | None = None
    """Images for each prompt; None: as many as the figure is made for."""
    steps: int | None = None
    """Steps of the sampler; None: the default of `cn sample`."""
    kinds: tuple[str, ...] | None = None
    """The conditions of which there are maps and controls, where others are to be left out; None: all."""

    def count(self, usual: int) -> int:
        return self.seeds or usual

    def usable(self, kinds: Sequence[str]) -> list[str]:
        return [kind for kind in kinds if self.kinds is None or kind in self.kinds]


@dataclass(frozen=True)
class Command:
    """A command line, which is run as it is shown: `cn …` or `python -m tools.gallery.inputs …`."""

    words: tuple[str, ...]
    makes: tuple[str, ...]
    """The files that the figure needs of it."""
    samples: int = 0
    """How many images it samples; an automatic prompt takes two."""
    again: tuple[str, ...] = ()
    """What continues it after it was stopped, where that is another command line."""


@dataclass(frozen=True)
class Cell:
    """An image of the sheet, by the file's path in the figure's work folder (or a pattern), and the text under it."""

    path: str
    label: str = ""


def sampled(files: Sequence[Sequence[str]], prompts: Sequence[str]) -> list[Cell]:
    """The cells of samples: for each prompt the files of all its seeds."""
    cells = []
    for prompt, row in zip(prompts, files, strict=True):
        cells += [Cell(path, f"seed {seed}: {prompt}" if len(row) > 1 else prompt) for seed, path in enumerate(row)]
    return cells


@dataclass(frozen=True)
class Plan:
    """All that a figure's image depends on, but for the weights."""

    commands: tuple[Command, ...]
    cells: tuple[Cell | None, ...]
    """Row by row; None stays empty."""
    columns: int
    column_titles: tuple[str, ...] = ()
    row_titles: tuple[str, ...] = ()
    cell: int = 224
    """Side of a cell in pixels."""
    listed: tuple[str, ...] = ()
    """Lines that the page shows beside the commands, such as the prompts of many images."""
    facts: str = ""
    """A JSON file that a command writes, to be kept in the record."""

    @property
    def is_copy(self) -> bool:
        """Whether the image is a file that a command writes, as it is."""
        return len(self.cells) == 1

    @property
    def samples(self) -> int:
        return sum(command.samples for command in self.commands)

    def digest(self, weights: dict[str, str], sources: Sequence[str] = ()) -> str:
        """A hash of the plan, of the weights (name → SHA-256) and of `sources`, the code that draws inputs."""
        # `repr` of frozen data of strings and numbers is the same in each process.
        text = json.dumps([repr(self), sorted(weights.items()), list(sources)])
        return hashlib.sha256(text.encode()).hexdigest()


@dataclass(frozen=True)
class Figure:
    """One image of the gallery."""

    name: str
    title: str
    text: str
    """What it shows, where the section does not say it."""
    plan: Callable[[Settings], Plan] = field(repr=False)
    kinds: tuple[str, ...] = ()
    """The conditions that it needs, of which the base has a control."""
    some: bool = False
    """Whether it can also be made with some of these conditions, for a preview."""
    suffix: str = ".jpg"

    @property
    def file(self) -> str:
        return f"{self.name}{self.suffix}"


@dataclass(frozen=True)
class Section:
    """A heading of the page and the figures below it."""

    title: str
    text: str
    figures: tuple[Figure, ...]
