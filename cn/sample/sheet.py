"""The sheet of `cn sample --grid`: all conditions and images with their prompts and seeds."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Protocol

import numpy as np

from cn import images

if TYPE_CHECKING:
    from cn.sample.pipeline import SamplingPipeline


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


def sheet(pipelines: "Sequence[SamplingPipeline]", samples: Sequence[Pictured]) -> np.ndarray:
    """A row per prompt: the conditions, then its images; short rows have empty cells. Returns uint8 (h, w, 3)."""
    requests = [pipeline.request for pipeline in pipelines]
    conditions, count = max(len(r.conditions) for r in requests), max(r.count for r in requests)
    cells: list[np.ndarray | None] = []
    left = iter(samples)
    rows: list[list[Pictured]] = []
    for pipeline in pipelines:
        for _ in pipeline.request.prompts:
            rows.append(list(islice(left, pipeline.request.count)))
            made = [one.image for one in rows[-1]]
            empty = [None] * (conditions - len(pipeline.hints)), [None] * (count - len(made))
            cells += [*pipeline.hints, *empty[0], *made, *empty[1]]
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
