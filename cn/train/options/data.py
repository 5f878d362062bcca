"""Options of `cn train`: what a run is trained on."""

from dataclasses import dataclass
from typing import Annotated

from cn import conditions
from cn.options import Option

PANEL = "Data"
DEFAULT_MAX_RATIO = 2.0


def _kind(name: str) -> str:
    return conditions.get(name).kind


@dataclass(frozen=True, kw_only=True)
class DataOptions:
    """Data of a run; `data` is empty for the built-in scenes."""

    cond: Annotated[
        str,
        Option(
            f"The condition to learn: {', '.join(conditions.KINDS)}.",
            panel=PANEL,
            metavar="KIND",
            parse=_kind,
            default="the kind that the maps of --data state",
            completions=conditions.KINDS,
        ),
    ]
    data: Annotated[
        tuple[str, ...],
        Option(
            "A dataset in any layout: a folder with prompt.json, WebDataset shards, imagefolder, parquet … "
            "Repeatable: they are mixed.",
            panel=PANEL,
            metavar="PATH",
            default="the built-in scenes",
        ),
    ] = ()
    repeats: Annotated[
        tuple[int, ...],
        Option(
            "How often each image of a dataset is seen in an epoch. Repeatable: the k-th belongs to the k-th --data.",
            panel=PANEL,
            min=1,
            default="1",
        ),
    ] = ()
    scenes: Annotated[
        int,
        Option(
            "Number of built-in scenes; their latents stay in memory. 0: a new scene every time.", panel=PANEL, min=0
        ),
    ] = 256
    size: Annotated[
        int,
        Option(
            "Width and height of the images.",
            panel=PANEL,
            metavar="PIXELS",
            min=1,
            default="what the base was trained at",
        ),
    ]
    buckets: Annotated[
        bool,
        Option(
            "Train on images of their own aspect ratios, in batches of one shape, instead of on centered squares.",
            panel=PANEL,
            flags=("--buckets/--no-buckets",),
        ),
    ] = False
    max_ratio: Annotated[
        float,
        Option(
            "With --buckets: how much longer one side of an image may be than the other; what is beyond is cut off.",
            panel=PANEL,
            metavar="RATIO",
            min=1,
            max=8,
        ),
    ] = DEFAULT_MAX_RATIO
    flip: Annotated[
        bool,
        Option(
            "Mirror half of the pairs, chosen at random anew each time: text in images is mirrored, too. "
            "Poses and normals get their left and right exchanged.",
            panel=PANEL,
            flags=("--flip/--no-flip",),
        ),
    ] = False
    random_thresholds: Annotated[
        bool,
        Option(
            "Lines of the built-in scenes: drawn with random choices for each scene, as in the paper (Canny's "
            "thresholds, augmented scribbles), or always in the same way (Canny's 100 and 200).",
            panel=PANEL,
            flags=("--random-thresholds/--fixed-thresholds",),
        ),
    ] = True
    cache: Annotated[
        bool,
        Option(
            "Use the dataset's cache of latents, where cn dataset cache made one that fits.",
            panel=PANEL,
            flags=("--cache/--no-cache",),
        ),
    ] = True
