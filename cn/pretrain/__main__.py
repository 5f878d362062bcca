"""`python -m cn.pretrain STAGE[=MINUTES] … --work DIR`: one leg of the bundled weights (argparse: no extra packages).

Stages run in the order given; those that are complete are skipped, so the same words continue an unfinished recipe.
To go on from finished weights, put them into a new work folder: a stage without a state begins from what is there.
"""

import argparse
import json
import math
import os
import shutil
import time
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

import torch

from cn.checkpoints.read.load import open_base, open_control
from cn.checkpoints.write.native import save_base, save_control
from cn.data.scenes import EVAL_SEED, TRAIN_SEED
from cn.files import make_folder, write_atomic
from cn.model.base import Base
from cn.model.config import PRESETS
from cn.pretrain.autoencoder import AutoencoderRecipe, train_autoencoder, whiten
from cn.pretrain.control import ControlRecipe, train_control
from cn.pretrain.denoiser import DenoiserRecipe, train_denoiser
from cn.pretrain.evaluate import HeldOut, evaluate, hardware, write_report
from cn.pretrain.latents import Latents
from cn.pretrain.legs import Budget, Rates
from cn.pretrain.pool import KINDS, Pool, render_pool
from cn.weights import bundled

R = TypeVar("R", bound=Rates)
CONFIG = PRESETS["scenes"]
LICENSE = "CC0-1.0"
STAGES = ("render", "autoencoder", "denoiser", *(f"control-{kind}" for kind in KINDS), "evaluate", "install")
HELD_OUT = 64


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m cn.pretrain", description=__doc__)
    parser.add_argument("stages", nargs="+", metavar="STAGE[=MINUTES]", help=", ".join(STAGES))
    parser.add_argument("--work", type=Path, required=True, help="folder of the pool, the states and the weights")
    parser.add_argument("--images", type=int, default=20_000, help="scenes to render, or to hold in memory")
    parser.add_argument("--conditions", type=int, default=20_000, help="scenes that get condition maps too")
    parser.add_argument("--wait", type=int, default=1_000, help="scenes that must be there before training begins")
    parser.add_argument("--workers", type=int, default=os.cpu_count(), help="rendering processes")
    parser.add_argument("--leg-minutes", type=float, default=math.inf, help="stop this call early; the next goes on")
    parser.add_argument("--steps", type=int, help="steps of a stage that has no minutes")
    parser.add_argument("--batch-size", type=int)
    parser.add_argument("--rate", type=float, help="peak learning rate")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    args = parser.parse_args()
    for stage in args.stages:
        if stage.partition("=")[0] not in STAGES:
            parser.error(f"{stage}: the stages are {', '.join(STAGES)}")
    return args


class Workshop:
    """The work folder, and what each stage finds and leaves there."""

    def __init__(self, args: argparse.Namespace):
        self.args, self.work = args, make_folder(args.work)
        self.device = torch.device(args.device)
        self.deadline = time.monotonic() + 60 * args.leg_minutes
        torch.set_float32_matmul_precision("high")

    @cached_property
    def pool(self) -> Pool:
        pool = Pool.open(self.work / "pool", self.args.images, CONFIG.image_size, self.device)
        pool.wait(self.args.wait)
        return pool

    @cached_property
    def latents(self) -> Latents:
        made = [self.work / f"{name}.safetensors" for name in ("autoencoder", "base")]
        vae = open_base(next((path for path in made if path.exists()), made[0]), self.device).vae
        latents = Latents.of(self.pool, vae, CONFIG.text)
        kept = self.work / "latents.pt"
        if kept.exists():
            latents.load(kept)
        if latents.count < latents.refresh():
            latents.save(kept)
        return latents

    @property
    def stages(self) -> dict[str, Any]:
        """What has been done so far, for the report and for skipping."""
        path = self.work / "stages.json"
        return json.loads(path.read_text()) if path.exists() else {}

    def rates(self, recipe: R) -> R:
        """The recipe with what the command line overrides."""
        given = {"batch_size": self.args.batch_size, "rate": self.args.rate}
        return replace(recipe, **{k: v for k, v in given.items() if v is not None})

    def note(self, stage: str, budget: Budget, recipe: Rates, pictures: int) -> None:
        """Keep for the report what a stage has had; going on from finished weights adds a record to the earlier."""
        record = {
            "steps": budget.step,
            "minutes": round(budget.seconds / 60, 1),
            "batch_size": recipe.batch_size,
            "rate": recipe.rate,
            "pictures": pictures,
            "hardware": hardware(self.device),
            "complete": budget.fraction >= 1,
        }
        earlier = self.stages.get(stage, [])
        earlier = earlier[:-1] if earlier and not earlier[-1]["complete"] else earlier
        write_atomic(
            self.work / "stages.json", json.dumps(self.stages | {stage: [*earlier, record]}, indent=2).encode()
        )

    def done(self, stage: str) -> bool:
        """Whether a stage is complete in this very folder; weights that were put here begin a stage anew."""
        records = self.stages.get(stage, [])
        return bool(records) and records[-1]["complete"] and (self.work / f"{stage}.pt").exists()

    def autoencoder(self, budget: Budget) -> None:
        recipe = self.rates(AutoencoderRecipe())
        vae = train_autoencoder(CONFIG.vae, self.pool, self.work / "autoencoder.pt", budget, recipe)
        whiten(vae, self.pool)
        base = Base.create(CONFIG, self.device)
        base.vae.load_state_dict(vae.state_dict())
        save_base(self.work / "autoencoder.safetensors", base, half=False)
        self.note("autoencoder", budget, recipe, self.pool.count)

    def denoiser(self, budget: Budget) -> None:
        path = self.work / "base.safetensors"
        if not path.exists():
            path = self.work / "autoencoder.safetensors"
        base = open_base(path, self.device)
        recipe, latents = self.rates(DenoiserRecipe()), self.latents
        train_denoiser(base, latents, self.work / "denoiser.pt", budget, recipe)
        save_base(self.work / "base.safetensors", base, tokens=latents.vocabulary, license=LICENSE)
        latents.save(self.work / "latents.pt")  # with what was rendered meanwhile
        self.note("denoiser", budget, recipe, latents.count)

    def control(self, kind: str, budget: Budget) -> None:
        base = open_base(self.work / "base.safetensors", self.device)
        recipe, count = self.rates(ControlRecipe()), min(self.args.conditions, self.latents.count)
        path, state = self.work / f"{kind}.safetensors", self.work / f"control-{kind}.pt"
        start = open_control(path, self.device).model if path.exists() else None
        model = train_control(base, kind, self.latents, count, state, budget, recipe, start)
        save_control(path, model, kind=kind, base_sha256=base.sha256, half=True, license=LICENSE)
        self.note(f"control-{kind}", budget, recipe, count)

    def evaluate(self) -> None:
        base = open_base(self.work / "base.safetensors", self.device)
        held_out = HeldOut(EVAL_SEED, HELD_OUT, CONFIG.image_size)
        paths = [self.work / f"{kind}.safetensors" for kind in KINDS]
        controls = [open_control(path, self.device) for path in paths if path.exists()]
        batch_size = 32 if self.device.type == "cuda" else 1
        figures = evaluate(base, controls, held_out, self.work, batch_size=batch_size)
        write_report(self.work / "report.json", figures, self.stages, self.device)

    def install(self) -> None:
        """Put the weights and their report into the package."""
        for name in ("base", *KINDS):
            shutil.copy(self.work / f"{name}.safetensors", bundled.FOLDER / f"{name}.safetensors")
        shutil.copy(self.work / "report.json", bundled.FOLDER / "report.json")

    def run(self, stage: str, minutes: float | None) -> None:
        """One stage, unless it is complete or the leg is over."""
        if self.done(stage) or time.monotonic() > self.deadline:
            return
        if stage == "evaluate":
            self.evaluate()
        elif stage == "install":
            self.install()
        else:
            budget = Budget(None if minutes else self.args.steps, minutes, self.deadline)
            if stage.startswith("control-"):
                self.control(stage.removeprefix("control-"), budget)
            else:
                (self.autoencoder if stage == "autoencoder" else self.denoiser)(budget)


def main() -> None:
    args = parse()
    shop = Workshop(args)
    for word in args.stages:
        stage, _, minutes = word.partition("=")
        if stage == "render":
            render_pool(
                args.work / "pool",
                seed=TRAIN_SEED,
                count=args.images,
                conditions=args.conditions,
                size=CONFIG.image_size,
                workers=args.workers,
            )
        else:
            shop.run(stage, float(minutes) if minutes else None)


if __name__ == "__main__":
    main()
