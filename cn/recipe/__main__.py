"""`python -m cn.recipe STAGE --work DIR`: one leg of one stage of the bundled weights (argparse: no extra packages)."""

import argparse
import json
import os
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import torch

from cn.checkpoints import Control, load_base, load_control, save_base, save_control
from cn.data.scenes import EVAL_SEED, TRAIN_SEED
from cn.files import make_folder, write_atomic
from cn.model.base import Base
from cn.model.config import PRESETS
from cn.recipe.autoencoder import AutoencoderRecipe, train_autoencoder, whiten
from cn.recipe.control import ControlRecipe, train_control
from cn.recipe.denoiser import DenoiserRecipe, train_denoiser
from cn.recipe.evaluate import HeldOut, evaluate, write_report
from cn.recipe.latents import Latents
from cn.recipe.legs import Budget, Rates
from cn.recipe.pool import KINDS, Pool, render_pool

R = TypeVar("R", bound=Rates)
CONFIG = PRESETS["scenes"]
LICENCE = "CC0-1.0"
STAGES = ("render", "autoencoder", "denoiser", *(f"control-{kind}" for kind in KINDS), "evaluate")


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m cn.recipe", description=__doc__)
    parser.add_argument("stage", choices=STAGES)
    parser.add_argument("--work", type=Path, required=True, help="folder of the pool, the states and the weights")
    parser.add_argument("--pictures", type=int, default=20_000, help="scenes to render, or to hold in memory")
    parser.add_argument("--conditions", type=int, default=20_000, help="scenes that get condition maps too")
    parser.add_argument("--wait", type=int, default=2_000, help="scenes that must be there before training begins")
    parser.add_argument("--workers", type=int, default=os.cpu_count(), help="rendering processes")
    parser.add_argument("--steps", type=int, help="the stage's length in steps")
    parser.add_argument("--minutes", type=float, help="the stage's length in minutes, summed over its legs")
    parser.add_argument("--leg-minutes", type=float, default=9.0, help="stop this call early; the next goes on")
    parser.add_argument("--batch-size", type=int)
    parser.add_argument("--rate", type=float, help="peak learning rate")
    parser.add_argument("--compile", action="store_true", help="torch.compile (worth it on a GPU)")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    return parser.parse_args()


class Workshop:
    """The work folder and what each stage finds and leaves there."""

    def __init__(self, args: argparse.Namespace):
        self.args, self.work = args, make_folder(args.work)
        self.device = torch.device(args.device)
        torch.set_float32_matmul_precision("high")

    def rates(self, recipe: R) -> R:
        """The recipe with what the command line overrides."""
        given = {"batch_size": self.args.batch_size, "rate": self.args.rate}
        return replace(recipe, **{k: v for k, v in given.items() if v is not None})

    def budget(self) -> Budget:
        return Budget(self.args.steps, self.args.minutes, self.args.leg_minutes)

    def pool(self) -> Pool:
        pool = Pool.open(self.work / "pool", self.args.pictures, CONFIG.image_size, self.device)
        pool.wait(self.args.wait)
        return pool

    def note(self, stage: str, budget: Budget, recipe: Rates, **more: object) -> None:
        """Remember for the report how long a stage has been trained."""
        path = self.work / "stages.json"
        stages = json.loads(path.read_text()) if path.exists() else {}
        stages[stage] = {
            "steps": budget.step,
            "minutes": round(budget.seconds / 60, 1),
            "batch_size": recipe.batch_size,
            "rate": recipe.rate,
            **more,
        }
        write_atomic(path, json.dumps(stages).encode())


def autoencoder(shop: Workshop) -> None:
    pool, budget, recipe = shop.pool(), shop.budget(), shop.rates(AutoencoderRecipe())
    vae = train_autoencoder(CONFIG.vae, pool, shop.work / "autoencoder.pt", budget, recipe, compiled=shop.args.compile)
    whiten(vae, pool)
    base = Base.create(CONFIG, shop.device)
    base.vae.load_state_dict(vae.state_dict())
    save_base(shop.work / "autoencoder.safetensors", base, half=False)
    shop.note("autoencoder", budget, recipe, pictures=pool.count)


def denoiser(shop: Workshop) -> None:
    base = load_base(shop.work / "autoencoder.safetensors", shop.device)
    latents = Latents.of(shop.pool(), base.vae, CONFIG.text)
    budget, recipe = shop.budget(), shop.rates(DenoiserRecipe())
    train_denoiser(base, latents, shop.work / "denoiser.pt", budget, recipe, compiled=shop.args.compile)
    save_base(shop.work / "base.safetensors", base, tokens=latents.vocabulary, licence=LICENCE)
    shop.note("denoiser", budget, recipe, pictures=latents.count)


def control(shop: Workshop, kind: str) -> None:
    base = load_base(shop.work / "base.safetensors", shop.device)
    latents = Latents.of(shop.pool(), base.vae, CONFIG.text)
    budget, recipe = shop.budget(), shop.rates(ControlRecipe())
    count = min(shop.args.conditions, latents.count)
    state = shop.work / f"control-{kind}.pt"
    model = train_control(base, kind, latents, count, state, budget, recipe, compiled=shop.args.compile)
    save_control(
        shop.work / f"{kind}.safetensors", model, kind=kind, base_sha256=base.sha256, half=True, licence=LICENCE
    )
    shop.note(f"control {kind}", budget, recipe, pictures=count)


def evaluation(shop: Workshop) -> None:
    base = load_base(shop.work / "base.safetensors", shop.device)
    held_out = HeldOut(EVAL_SEED, 64, CONFIG.image_size)
    paths = [shop.work / f"{kind}.safetensors" for kind in KINDS]
    controls: list[Control] = [load_control(path, shop.device) for path in paths if path.exists()]
    figures = evaluate(base, controls, held_out, shop.work, batch_size=32 if shop.device.type == "cuda" else 1)
    stages = json.loads((shop.work / "stages.json").read_text()) if (shop.work / "stages.json").exists() else {}
    write_report(shop.work / "report.json", figures, stages, base)


def main() -> None:
    args = parse()
    if args.stage == "render":
        render_pool(
            args.work / "pool",
            seed=TRAIN_SEED,
            count=args.pictures,
            conditions=args.conditions,
            size=CONFIG.image_size,
            workers=args.workers,
        )
        return
    shop = Workshop(args)
    if args.stage == "autoencoder":
        autoencoder(shop)
    elif args.stage == "denoiser":
        denoiser(shop)
    elif args.stage == "evaluate":
        evaluation(shop)
    else:
        control(shop, args.stage.removeprefix("control-"))


if __name__ == "__main__":
    main()
