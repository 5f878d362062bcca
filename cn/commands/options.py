"""Options that several commands share, declared once: same words, same help, same panel everywhere."""

from typing import TYPE_CHECKING, Annotated, cast

import typer

from cn.errors import UsageError

if TYPE_CHECKING:
    from cn.model.config import Prediction as PredictionName

COMPUTE_PANEL = "Computing"
OUTPUT_PANEL = "Output"

Device = Annotated[
    str,
    typer.Option(
        "--device",
        metavar="DEVICE",
        help="Where to compute: auto, cpu, cuda, cuda:N or mps.",
        rich_help_panel=COMPUTE_PANEL,
    ),
]
Precision = Annotated[
    str,
    typer.Option(
        "--precision",
        metavar="TYPE",
        help="Number format: auto, fp32, bf16 or fp16.",
        rich_help_panel=COMPUTE_PANEL,
    ),
]
Seed = Annotated[
    int,
    typer.Option(
        "--seed", metavar="N", min=0, help="The same seed gives the same result.", rich_help_panel=COMPUTE_PANEL
    ),
]
Workers = Annotated[
    int | None,
    typer.Option(
        "--workers",
        metavar="N",
        min=1,
        help="Processes that work side by side (for networks: threads). Default: as many as there is work, processors "
        "and memory for.",
        rich_help_panel=COMPUTE_PANEL,
    ),
]
Prediction = Annotated[
    str | None,
    typer.Option(
        "--prediction",
        metavar="TYPE",
        help="What the base's U-Net predicts, eps or v, where its file does not say (Stable Diffusion 2: those of "
        "512 pixels eps, those of 768 v).",
        rich_help_panel="Base",
    ),
]
Overwrite = Annotated[
    bool,
    typer.Option(
        "--overwrite", help="Make again what is already there, instead of skipping it.", rich_help_panel=OUTPUT_PANEL
    ),
]
Json = Annotated[
    bool,
    typer.Option("--json", help="Report results on stdout as one JSON object per line.", rich_help_panel=OUTPUT_PANEL),
]
Quiet = Annotated[
    bool,
    typer.Option(
        "--quiet",
        "-q",
        help="No progress and no plans: only results, warnings and errors.",
        rich_help_panel=OUTPUT_PANEL,
    ),
]


def checked_prediction(name: str | None) -> "PredictionName | None":
    """What `--prediction` says; UsageError unless it is eps or v."""
    if name not in (None, "eps", "v"):
        raise UsageError(f"--prediction is eps or v, not {name!r}")
    return cast("PredictionName | None", name)


def parse_size(text: str, option: str = "--size") -> tuple[int, int]:
    """`512x768` (width × height, as everywhere in this field) or `512` → (height, width), each up to 7 digits."""
    parts = text.lower().replace("×", "x").split("x")
    if len(parts) > 2 or not all(p.isdecimal() and p.isascii() and len(p) < 8 for p in parts):
        raise UsageError(f"{option} is WIDTHxHEIGHT in pixels, such as 512x512, not {text!r}")
    return int(parts[-1]), int(parts[0])
