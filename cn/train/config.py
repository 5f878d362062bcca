"""A training run's options: one frozen dataclass, which `cn train` and config.toml come from."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from cn import conditions, errors, options
from cn.errors import InputError, UsageError
from cn.files import reason, write_atomic
from cn.model.config import PREDICTION_HELP, ConditionEncoderKind, Links, ModelConfig
from cn.options import COMPUTE_PANEL, Option, Switch
from cn.precision import Precision, PrecisionChoice

Unlock = Literal["none", "decoder", "all"]

PAPER_LR = 1e-5
"""Fig. 21: AdamW at 1e-5, without tricks like EMA."""
PAPER_STEPS, SMALL_BASE_STEPS = 50_000, 300
"""§3.4: a ControlNet is trained for "usually more than 50k steps" before anything else is unlocked. For a base as small
as the bundled one 300 steps are a few minutes on two CPU cores."""
SAVE_EVERY, SMALL_BASE_SAVE_EVERY = 500, 100
"""So often that a killed run loses minutes, and so rarely that writing gigabytes does not slow it down."""

CONFIG_FILE = "config.toml"
DATA, MODEL, TRAINING, RUN = "Data", "Model", "Training", "Run"


def _kind(name: str) -> str:
    return conditions.get(name).kind


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """Everything that decides the weights of a run, and how often it saves and previews them.

    `data` is "" for the built-in scenes; `base_sha256` and `init_sha256` say which files `base` and `init_from` were;
    `prediction` is "" where the base's file says it. Raises UsageError for values out of range.
    """

    cond: Annotated[
        str,
        Option(
            "The condition to learn: "
            f"{', '.join(conditions.scene_kinds())} from the built-in scenes, any kind with --data.",
            panel=DATA,
            metavar="KIND",
            parse=_kind,
            default="the kind that the maps of --data state",
            completions=conditions.KINDS,
        ),
    ]
    data: Annotated[
        str,
        Option(
            "A dataset in any layout: a folder with prompt.json, WebDataset shards, imagefolder, parquet …",
            panel=DATA,
            metavar="PATH",
            default="the built-in scenes",
        ),
    ] = ""
    scenes: Annotated[
        int,
        Option(
            "Number of built-in scenes; their latents stay in memory. 0: a new scene every time.", panel=DATA, min=0
        ),
    ] = 256
    size: Annotated[
        int,
        Option(
            "Width and height of the images.",
            panel=DATA,
            metavar="PIXELS",
            min=1,
            default="what the base was trained at",
        ),
    ]
    random_thresholds: Annotated[
        bool,
        Option(
            "Canny thresholds of the built-in scenes: random for each scene, as in the paper, or 100 and 200.",
            panel=DATA,
            flags=("--random-thresholds/--fixed-thresholds",),
        ),
    ] = True
    cache: Annotated[
        bool,
        Option(
            "Use the dataset's cache of latents, where cn dataset cache made one that fits.",
            panel=DATA,
            flags=("--cache/--no-cache",),
        ),
    ] = True
    base: Annotated[str, Option("The base model.", panel=MODEL, metavar="NAME|PATH", default="the bundled one")]
    base_sha256: str
    prediction: Annotated[
        Literal["", "eps", "v"],
        Option(PREDICTION_HELP, panel=MODEL),
    ] = ""
    init_from: Annotated[
        str,
        Option(
            "Start from another control, as the paper's Hough lines start from Canny.", panel=MODEL, metavar="CONTROL"
        ),
    ] = ""
    init_sha256: str = ""
    links: Annotated[
        Links,
        Switch(
            "--small-scale",
            "middle",
            "Connect the middle block only (§3.4): faster. --reconnect adds the other connections later.",
            MODEL,
        ),
    ] = "full"
    unlock: Annotated[
        Unlock,
        Option("What --large-scale unlocks of the U-Net.", panel=MODEL, choices=("all", "decoder"), default="all"),
        Switch(
            "--large-scale",
            "all",
            f"Train the base too (§3.4), usually after {PAPER_STEPS:,} steps; the run then writes base.safetensors.",
            MODEL,
        ),
    ] = "none"
    condition_encoder: Annotated[
        ConditionEncoderKind,
        Option(
            "The condition encoder: four layers as in the paper, or eight as released (other tools can read it).",
            panel=MODEL,
            flags=("--cond-encoder",),
        ),
    ] = "paper"
    steps: Annotated[
        int,
        Option(
            "Optimizer steps in total, including those before --resume. 0 writes the untrained control.",
            panel=TRAINING,
            min=0,
            default=f"{SMALL_BASE_STEPS} for the bundled base, {PAPER_STEPS:,} for one of Stable Diffusion's size",
        ),
    ]
    batch_size: Annotated[int, Option("Images per batch.", panel=TRAINING, min=1)] = 4
    accumulate: Annotated[int, Option("Gradient accumulation: batches per optimizer step.", panel=TRAINING, min=1)] = 1
    lr: Annotated[
        float,
        Option(
            "AdamW's learning rate.",
            panel=TRAINING,
            metavar="RATE",
            above=0,
            default=f"the paper's {PAPER_LR:g}, or what suits a smaller base",
        ),
    ]
    prompt_drop: Annotated[
        float,
        Option("Share of the prompts replaced by the empty string (§3.3).", panel=TRAINING, min=0, max=1),
    ] = 0.5
    seed: Annotated[int, Option("Seed of everything random.", panel=TRAINING, min=0)] = 0
    save_every: Annotated[
        int,
        Option(
            "Steps between saves.",
            panel=RUN,
            min=1,
            default=f"{SMALL_BASE_SAVE_EVERY} for the bundled base, {SAVE_EVERY} for one of Stable Diffusion's size",
        ),
    ] = SAVE_EVERY
    preview_every: Annotated[int, Option("Steps between previews; 0: none.", panel=RUN, min=0)] = 100
    precision: Annotated[
        Precision,
        Option(
            "Precision of the forward and backward pass; weights and optimizer stay fp32.",
            panel=COMPUTE_PANEL,
            choices=get_args(PrecisionChoice),
            default="auto",
        ),
    ] = "fp32"
    checkpoint_activations: Annotated[
        bool,
        Option(
            "Recompute activations in the backward pass: less memory, about a third slower.",
            panel=COMPUTE_PANEL,
            flags=("--checkpoint-activations",),
        ),
    ] = False

    def __post_init__(self) -> None:
        options.check(self)

    def save(self, run: Path) -> None:
        """Write RUN/config.toml."""
        write_atomic(run / CONFIG_FILE, options.to_toml(self).encode())

    @classmethod
    def load(cls, run: Path) -> "TrainConfig":
        """Read RUN/config.toml. Raises InputError when it is missing or damaged."""
        file = run / CONFIG_FILE
        try:
            text = file.read_text(encoding="utf-8")
        except (FileNotFoundError, NotADirectoryError):
            what = "but a file; give the folder of the run" if run.is_file() else f"it has no {CONFIG_FILE}"
            raise InputError(f"not a training run, {what}", path=run) from None
        except (OSError, UnicodeDecodeError) as error:
            why = reason(error) if isinstance(error, OSError) else str(error)
            raise InputError(f"cannot be read ({why})", path=file) from error
        with errors.about(file):
            return options.from_toml(cls, text)


def default_lr(base: ModelConfig) -> float:
    """The paper's learning rate for bases of Stable Diffusion's size; a smaller base's description holds its own."""
    return base.train_lr


def default_save_every(base: ModelConfig) -> int:
    return SAVE_EVERY if base.train_lr <= PAPER_LR else SMALL_BASE_SAVE_EVERY


def default_steps(base: ModelConfig) -> int:
    return PAPER_STEPS if base.train_lr <= PAPER_LR else SMALL_BASE_STEPS


CHANGEABLE = ("steps", "lr", "save_every", "preview_every", "cache")
"""What can change in a resumed run; everything else stays as it was."""


def changed(config: TrainConfig, given: Mapping[str, Any], *, reconnect: bool = False) -> TrainConfig:
    """A resumed run's configuration: the saved one with the options that are given now.

    `reconnect` adds the decoder connections of a small-scale run (§3.4). Raises UsageError for an option that cannot
    change during a run.
    """
    for name, value in given.items():
        if name not in CHANGEABLE and value != getattr(config, name):
            raise UsageError(
                f"{options.declared(TrainConfig)[name].label} cannot change in a resumed run "
                f"(it has {getattr(config, name)!r}); start a new run with --init-from instead"
            )
    if reconnect and config.links == "full":
        raise UsageError("--reconnect is for a small-scale run, and this one has its decoder connections already")
    given = {name: value for name, value in given.items() if name in CHANGEABLE}
    return replace(config, **given, links="full" if reconnect else config.links)
