"""The stages of pretraining: what each reads from the work folder and writes there."""

import argparse
import json
import shutil
import time
from dataclasses import replace
from functools import cached_property
from typing import Any, TypeVar

import torch

from cn.checkpoints.read.load import open_base, open_control
from cn.checkpoints.write.native import save_base, save_control
from cn.data.seeds import EVAL_SEED, TRAIN_SEED
from cn.files import make_folder, write_atomic
from cn.model.base import Base
from cn.model.config import PRESETS
from cn.model.controlnet import ControlNet
from cn.pretrain.autoencoder import AutoencoderConfig, train_autoencoder, whiten
from cn.pretrain.control import ControlConfig, train_control
from cn.pretrain.denoiser import DenoiserConfig, train_denoiser
from cn.pretrain.evaluate import HeldOut, evaluate, hardware, write_report
from cn.pretrain.latents import Latents
from cn.pretrain.pool import KINDS, Pool, render_pool
from cn.pretrain.session import Budget, StageConfig
from cn.weights import bundled

Config = TypeVar("Config", bound=StageConfig)

MODEL = PRESETS["scenes"]
LICENSE = "CC0-1.0"
STAGES = ("render", "autoencoder", "denoiser", *(f"control-{kind}" for kind in KINDS), "evaluate", "install")
HELD_OUT = 64
"""The number of scenes that the weights are evaluated on."""


class StageRunner:
    """Runs stages in one work folder. `args` are the command line's (see `__main__`)."""

    def __init__(self, args: argparse.Namespace):
        self.args, self.work = args, make_folder(args.work)
        self.device = torch.device(args.device)
        self.deadline = time.monotonic() + 60 * args.session_minutes
        torch.set_float32_matmul_precision("high")

    @cached_property
    def pool(self) -> Pool:
        """The rendered scenes; waits until there are enough to start."""
        pool = Pool.open(self.work / "pool", self.args.images, MODEL.image_size, self.device)
        pool.wait(self.args.wait)
        return pool

    @cached_property
    def latents(self) -> Latents:
        """The scenes encoded by the latest autoencoder."""
        made = [self.work / f"{name}.safetensors" for name in ("autoencoder", "base")]
        vae = open_base(next((path for path in made if path.exists()), made[0]), self.device).vae
        latents = Latents.of(self.pool, vae, MODEL.text)
        kept = self.work / "latents.pt"
        if kept.exists():
            latents.load(kept)
        if latents.count < latents.refresh():
            latents.save(kept)
        return latents

    @property
    def stages(self) -> dict[str, Any]:
        """The records of the stages trained so far, for the report and for skipping complete ones."""
        path = self.work / "stages.json"
        return json.loads(path.read_text()) if path.exists() else {}

    def configure(self, settings: Config) -> Config:
        """The settings of a stage with the command line's overrides."""
        given = {"batch_size": self.args.batch_size, "learning_rate": self.args.lr}
        return replace(settings, **{k: v for k, v in given.items() if v is not None})

    def record(self, stage: str, budget: Budget, settings: StageConfig, images: int) -> None:
        """Record what a stage has been trained for; training finished weights further adds a record."""
        record = {
            "steps": budget.step,
            "minutes": round(budget.seconds / 60, 1),
            "batch_size": settings.batch_size,
            "learning_rate": settings.learning_rate,
            "images": images,
            "hardware": hardware(self.device),
            "complete": budget.fraction >= 1,
        }
        earlier = self.stages.get(stage, [])
        earlier = earlier[:-1] if earlier and not earlier[-1]["complete"] else earlier
        write_atomic(
            self.work / "stages.json", json.dumps(self.stages | {stage: [*earlier, record]}, indent=2).encode()
        )

    def done(self, stage: str) -> bool:
        """Whether a stage was completed in this folder (weights copied into it do not count)."""
        records = self.stages.get(stage, [])
        return bool(records) and records[-1]["complete"] and (self.work / f"{stage}.pt").exists()

    def autoencoder(self, budget: Budget) -> None:
        """Train the VAE; its latents are whitened at the end."""
        settings = self.configure(AutoencoderConfig())
        vae = train_autoencoder(MODEL.vae, self.pool, self.work / "autoencoder.pt", budget, settings)
        whiten(vae, self.pool)
        base = Base.create(MODEL, self.device)
        base.vae.load_state_dict(vae.state_dict())
        save_base(self.work / "autoencoder.safetensors", base, half=False)
        self.record("autoencoder", budget, settings, self.pool.count)

    def denoiser(self, budget: Budget) -> None:
        """Train U-Net and text encoder."""
        path = self.work / "base.safetensors"
        if not path.exists():
            path = self.work / "autoencoder.safetensors"
        base = open_base(path, self.device)
        settings, latents = self.configure(DenoiserConfig()), self.latents
        train_denoiser(base, latents, self.work / "denoiser.pt", budget, settings)
        save_base(self.work / "base.safetensors", base, tokens=latents.vocabulary, license=LICENSE)
        latents.save(self.work / "latents.pt")  # includes the scenes rendered during training
        self.record("denoiser", budget, settings, latents.count)

    def control(self, kind: str, budget: Budget) -> None:
        """Train the ControlNet of one kind."""
        base = open_base(self.work / "base.safetensors", self.device)
        settings, count = self.configure(ControlConfig()), min(self.args.conditions, self.latents.count)
        path, state = self.work / f"{kind}.safetensors", self.work / f"control-{kind}.pt"
        start = open_control(path, self.device).model if path.exists() else None
        assert start is None or isinstance(start, ControlNet)
        model = train_control(base, kind, self.latents, count, state, budget, settings, start)
        save_control(path, model, kind=kind, base_sha256=base.sha256, half=True, license=LICENSE)
        self.record(f"control-{kind}", budget, settings, count)

    def render(self) -> None:
        """Render the scenes and their condition maps; those already rendered are kept."""
        render_pool(
            self.work / "pool",
            seed=TRAIN_SEED,
            count=self.args.images,
            conditions=self.args.conditions,
            size=MODEL.image_size,
            workers=self.args.workers,
        )

    def evaluate(self) -> None:
        """Evaluate the weights on held-out scenes and write the report."""
        base = open_base(self.work / "base.safetensors", self.device)
        held_out = HeldOut(EVAL_SEED, HELD_OUT, MODEL.image_size)
        paths = [self.work / f"{kind}.safetensors" for kind in KINDS]
        controls = [open_control(path, self.device) for path in paths if path.exists()]
        batch_size = 32 if self.device.type == "cuda" else 1
        figures = evaluate(base, controls, held_out, self.work, batch_size=batch_size)
        write_report(self.work / "report.json", figures, self.stages, self.device)

    def install(self) -> None:
        """Copy the weights and their report into the package."""
        for name in ("base", *KINDS):
            shutil.copy(self.work / f"{name}.safetensors", bundled.FOLDER / f"{name}.safetensors")
        shutil.copy(self.work / "report.json", bundled.FOLDER / "report.json")

    def run(self, stage: str, minutes: float | None) -> None:
        """Run one stage, unless it is complete or the session is over."""
        if stage == "render":
            self.render()
            return
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
