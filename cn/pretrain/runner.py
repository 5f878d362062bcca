"""The stages of pretraining: what each reads from the work folder and writes there."""

import argparse
import json
import shutil
import time
from dataclasses import replace
from functools import cached_property
from typing import Any, Literal, TypeVar

import torch

from cn.caption.weights import SCENE_READER
from cn.checkpoints.read.load import open_base
from cn.checkpoints.write.native import save_base, save_control
from cn.conditions import KINDS
from cn.data.seeds import TRAIN_SEED
from cn.errors import CnError
from cn.files import make_folder, write_atomic
from cn.model.base import Base
from cn.model.config import PRESETS
from cn.pretrain import replicas
from cn.pretrain.autoencoder import AutoencoderConfig, train_autoencoder, whiten
from cn.pretrain.budget import Budget
from cn.pretrain.control import ControlConfig, train_control
from cn.pretrain.denoiser import DenoiserConfig, train_denoiser
from cn.pretrain.evaluate import ATTRIBUTION, evaluate
from cn.pretrain.evaluation.report import is_complete, stages_of
from cn.pretrain.hardware import hardware
from cn.pretrain.judges import DENSE, DENSE_CONFIG, READER, READER_CONFIG, train_dense, train_reader
from cn.pretrain.latents import Latents
from cn.pretrain.master_weights import StageConfig
from cn.pretrain.pool import Pool, render_pool
from cn.pretrain.starts import Starts
from cn.pretrain.vocabulary import known_tokens
from cn.weights import bundled

Config = TypeVar("Config", bound=StageConfig)

MODEL = PRESETS["scenes"]
LICENSE = "CC0-1.0"
BITS: Literal[8] = 8
CONTROLS = tuple(f"control-{kind}" for kind in KINDS)
STAGES = ("render", "autoencoder", "denoiser", "reader", "dense", *CONTROLS, "evaluate", "install")


class StageRunner:
    """Runs stages in one work folder. `args` are the command line's (see `__main__`)."""

    def __init__(self, args: argparse.Namespace):
        self.args, self.work = args, make_folder(args.work)
        self.device = replicas.launched_device(torch.device(args.device))
        self.deadline = time.monotonic() + 60 * args.session_minutes
        torch.set_float32_matmul_precision("high")

    @property
    def starts(self) -> Starts:
        """What the stages start from."""
        return Starts(self.work, self.args.start, self.device, MODEL)

    @property
    def pool(self) -> Pool:
        """The rendered images of this process; waits until there are enough to start."""
        share = -(-min(self.args.images, self.args.pixels) // replicas.count())
        pool = Pool.open(self.work / "pool", share, MODEL.image_size, self.device)
        pool.wait(self.args.wait // replicas.count())
        return pool

    def latents(self, base: Base, images: int) -> Latents:
        """Memory for the scenes of this process, encoded by the base's autoencoder, some of them now."""
        share = -(-images // replicas.count())
        latents = Latents.of(self.work / "pool", share, MODEL.image_size, base.vae, MODEL.text)
        latents.wait(min(share, self.args.wait // replicas.count()))
        latents.catch_up()
        return latents

    @property
    def stages(self) -> dict[str, Any]:
        """The records of the stages trained so far, for the report and for skipping complete ones."""
        return stages_of(self.work)

    def configure(self, settings: Config) -> Config:
        """The settings of a stage with the command line's overrides."""
        given = {"batch_size": self.args.batch_size, "learning_rate": self.args.lr}
        return replace(settings, **{k: v for k, v in given.items() if v is not None})

    def record(self, stage: str, budget: Budget, settings: StageConfig, images: int) -> None:
        """Record what a stage has been trained for; training finished weights further adds a record.

        A file for each stage, because stages may run at once, each on a GPU.
        """
        batch = settings.batch_size * replicas.count()
        record = {
            "steps": budget.step,
            "minutes": round(budget.seconds / 60, 1),
            "batch_size": batch,
            "samples": budget.step * batch,
            "learning_rate": settings.learning_rate,
            "loss": self._loss(stage),
            "images": images,
            "hardware": hardware(self.device, replicas.count()),
            "complete": budget.fraction >= 1,
        }
        earlier = self.stages.get(stage, [])
        earlier = earlier[:-1] if earlier and not earlier[-1]["complete"] else earlier
        write_atomic(self.work / f"stage-{stage}.json", json.dumps([*earlier, record], indent=2).encode())

    def _loss(self, stage: str) -> float | None:
        log = self.work / f"{stage}.jsonl"
        lines = log.read_text().splitlines() if log.exists() else []
        return json.loads(lines[-1])["loss"] if lines else None

    def autoencoder(self, budget: Budget) -> None:
        """Train the VAE; its latents are whitened at the end."""
        settings, pool, base = self.configure(AutoencoderConfig()), self.pool, self.starts.base()
        train_autoencoder(base.vae, pool, self.work / "autoencoder.pt", budget, settings)
        if replicas.is_first():
            whiten(base.vae, pool)
            save_base(self.work / "autoencoder.safetensors", base, half=False)
            self.record("autoencoder", budget, settings, replicas.count() * pool.count)

    def denoiser(self, budget: Budget) -> None:
        """Train U-Net and text encoder, from those of a finished base where there is one."""
        base = self.starts.with_autoencoder()
        settings, latents = self.configure(DenoiserConfig()), self.latents(base, self.args.images)
        train_denoiser(base, latents, self.work / "denoiser.pt", budget, settings)
        if replicas.is_first():
            tokens = known_tokens(MODEL.text)
            save_base(self.work / "base.safetensors", base, bits=BITS, tokens=tokens, license=LICENSE)
            self.record("denoiser", budget, settings, replicas.count() * latents.count)

    @cached_property
    def _encoded(self) -> Latents:
        """The rendered scenes with condition maps, for all ControlNets that this process trains."""
        if not (path := self.work / "base.safetensors").exists():
            raise CnError("is missing: run the stages autoencoder and denoiser first, or put a base there", path=path)
        base = open_base(path, self.device)
        return self.latents(base, min(self.args.images, self.args.conditions))

    def control(self, kind: str, budget: Budget) -> None:
        """Train the ControlNet of one kind."""
        latents, settings = self._encoded, self.configure(ControlConfig())
        latents.catch_up()
        path, state = self.work / f"{kind}.safetensors", self.work / f"control-{kind}.pt"
        base = open_base(self.work / "base.safetensors", self.device)
        model = train_control(base, kind, latents, state, budget, settings, self.starts.control(kind))
        # Training has put the U-Net of its base into half precision.
        base = open_base(self.work / "base.safetensors", self.device)
        save_control(path, model, kind=kind, base=base, base_sha256=base.sha256, bits=BITS, license=LICENSE)
        self.record(f"control-{kind}", budget, settings, latents.count)

    def reader(self, budget: Budget) -> None:
        """Train the captioner, which also judges samples."""
        settings, count = self.configure(READER_CONFIG), min(self.args.images, self.args.conditions)
        train_reader(self.work, count, self.device, budget, settings)
        self.record("reader", budget, settings, count)

    def dense(self, budget: Budget) -> None:
        """Train the dense probe, which judges samples."""
        settings, count = self.configure(DENSE_CONFIG), min(self.args.images, self.args.conditions)
        train_dense(self.work, count, self.device, budget, settings)
        self.record("dense", budget, settings, count)

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
        for name, stage in ((READER, "reader"), (DENSE, "dense"), ("base.safetensors", "denoiser")):
            if not (path := self.work / name).exists():
                raise CnError(f"is missing: run the stage {stage} first", path=path)
        versions = min(ATTRIBUTION, self.args.held_out)
        evaluate(self.work, self.args.held_out, self.device, self.args.workers, versions=versions)

    def install(self) -> None:
        """Copy the weights, their captioner and their report into the package."""
        for name in ("base", *KINDS):
            shutil.copy(self.work / f"{name}.safetensors", bundled.FOLDER / f"{name}.safetensors")
        shutil.copy(self.work / "report.json", bundled.FOLDER / "report.json")
        shutil.copy(self.work / READER, SCENE_READER)

    def run(self, stage: str, minutes: float | None) -> None:
        """Run one stage, unless it is complete or the session is over."""
        if stage == "render":
            self.render()
            return
        if is_complete(self.work, stage) or time.monotonic() > self.deadline:
            return
        if stage == "evaluate":
            self.evaluate()
            return
        if stage == "install":
            self.install()
            return
        budget = Budget(None if minutes else self.args.steps, minutes, self.deadline)
        if stage.startswith("control-"):
            self.control(stage.removeprefix("control-"), budget)
        else:
            getattr(self, stage)(budget)
        replicas.wait()
