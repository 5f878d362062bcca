"""The sheet of `cn sample --grid`: all conditions and images with their prompts and seeds."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Protocol

import numpy as np

from cn import images
from cn.sample import png_metadata
from cn.sample.png_metadata import Recipe
from cn.sample.request import SampleRequest


class Row(Protocol):
    """A request and its conditions, uint8 (h, w, 3): a pipeline, or what images say that were there before."""

    @property
    def request(self) -> SampleRequest: ...

    @property
    def hints(self) -> Sequence[np.ndarray]: ...


class Pictured(Protocol):
    """An image of the sheet, uint8 (h, w, 3), and its prompt: a sample, or one that was there before."""

    @property
    def image(self) -> np.ndarray: ...

    @property
    def prompt(self) -> str: ...


@dataclass(frozen=True)
class Kept:
    """An image that was there before."""

    image: np.ndarray
    prompt: str

    @classmethod
    def read(cls, path: str, recipe: Recipe) -> "Kept":
        """InputError where it was removed or broken meanwhile."""
        return cls(images.read(path), recipe.request.prompts[0])


@dataclass(frozen=True)
class KeptRow:
    """A request whose images were all there before, and the conditions that they hold."""

    request: SampleRequest
    hints: tuple[np.ndarray, ...]


def kept_rows(requests: Iterable[SampleRequest], paths: Iterable[str]) -> list[KeptRow]:
    """The rows of requests, of which these are the images; a JPEG had no room for its conditions, if they are empty."""
    left, rows = iter(paths), list[KeptRow]()
    for request in requests:
        first, *_ = islice(left, request.total)
        stored = png_metadata.from_file(first).request.conditions
        rows.append(KeptRow(request, tuple(condition.image for condition in stored)))
    return rows


def sheet(given: Sequence[Row], samples: Sequence[Pictured]) -> np.ndarray:
    """A row per prompt: the conditions, then its images; short rows have empty cells. Returns uint8 (h, w, 3)."""
    requests = [row.request for row in given]
    conditions, count = max(len(r.conditions) for r in requests), max(r.count for r in requests)
    cells: list[np.ndarray | None] = []
    left = iter(samples)
    rows: list[list[Pictured]] = []
    for one in given:
        hints = [hint if hint.size else None for hint in one.hints]
        for _ in one.request.prompts:
            rows.append(list(islice(left, one.request.count)))
            made = [sample.image for sample in rows[-1]]
            cells += [*hints, *[None] * (conditions - len(hints)), *made, *[None] * (count - len(made))]
    kinds = {tuple(c.kind or "condition" for c in r.conditions) for r in requests}
    titles = [*kinds.pop()] if len(kinds) == 1 else ["condition"] * conditions
    same_seed = len({r.seed for r in requests}) == 1
    titles += [f"seed {requests[0].seed + i}" if same_seed else f"image {i + 1}" for i in range(count)]
    prompts = [_row_title(made.prompt for made in row) for row in rows]
    if len(rows) == 1 and "\n" in prompts[0]:
        # Captions: each image has a prompt of its own.
        titles[conditions:] = [
            f"{title}: {made.prompt}" for title, made in zip(titles[conditions:], rows[0], strict=True)
        ]
        prompts = [""]
    return images.grid(cells, column_titles=titles, row_titles=prompts)


def _row_title(prompts: Iterable[str]) -> str:
    """The prompt of a row, whose images have one of their own each where they are captions."""
    return "\n".join(dict.fromkeys(prompt or "(no prompt)" for prompt in prompts))
