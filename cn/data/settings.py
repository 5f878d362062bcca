"""The settings of datasets from the built-in scenes, each declared once: `cn dataset synth`'s flags and their checks.

No torch and no NumPy, so that help is instant.
"""

from dataclasses import dataclass
from typing import Annotated

from cn import options
from cn.conditions import KINDS, get
from cn.errors import UsageError
from cn.options import COMPUTE_PANEL, Option

DATASET_PANEL = "The dataset"


@dataclass(frozen=True, kw_only=True)
class SynthSettings:
    """Scenes `start` … `start + count - 1` of `seed`, with maps of each of the `kinds`; size × size pixels.

    `kinds` may be aliases, which become the kinds themselves, each once. Raises UsageError for values out of range and
    unknown kinds.
    """

    count: Annotated[int, Option("How many pairs.", panel=DATASET_PANEL, flags=("--count", "-n"), min=1)]
    kinds: Annotated[
        tuple[str, ...],
        Option(
            f"Condition: {', '.join(KINDS)}. Given several times, each kind gets its own dataset, OUT/KIND, of the "
            "same images.",
            panel=DATASET_PANEL,
            flags=("--cond",),
            metavar="KIND",
            completions=KINDS,
        ),
    ]
    size: Annotated[int, Option("Width and height of the images.", panel=DATASET_PANEL, metavar="PIXELS", min=16)] = 256
    start: Annotated[int, Option("First scene's number.", panel=DATASET_PANEL, min=0)] = 0
    random_thresholds: Annotated[
        bool,
        Option(
            "Random choices for each image, as in the paper's training data: Canny's thresholds, augmented scribbles, "
            "other lines of varied width and strength.",
            panel=DATASET_PANEL,
        ),
    ] = False
    seed: Annotated[int, Option("The same seed gives the same scenes.", panel=COMPUTE_PANEL, min=0)] = 0

    def __post_init__(self) -> None:
        options.check(self)
        if not self.kinds:
            raise UsageError("--cond KIND is required")
        object.__setattr__(self, "kinds", tuple(dict.fromkeys(get(kind).kind for kind in self.kinds)))
