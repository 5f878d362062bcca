"""The stages of pretraining: what each reads from the work folder and writes there."""

import argparse
import json
import shutil
import time
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, TypeVar

import torch

from cn.caption.weights import SCENE_READER
from cn.checkpoints.read.load import open_base, open_control
from cn.checkpoints.write.native import save_base, save_control
from cn.conditions import KINDS
from cn.data.seeds import TRAIN_SEED
from cn.files import make_folder, write_atomic
from cn.model.base import Base
from cn.model.config import PRESETS
from cn.model.controlnet import ControlNet
from cn.pretrain import replicas
from cn.pretrain.autoencoder import AutoencoderConfig, train_autoencoder, whiten
from cn.pretrain.budget import Budget
from cn.pretrain.control import STARTS, ControlConfig, train_control
from cn.pretrain.denoiser import DenoiserConfig, train_denoiser
from cn.pretrain.evaluate import ATTRIBUTION, evaluate
from cn.pretrain.evaluation.report import is_complete, stages_of
from cn.pretrain.hardware import hardware
from cn.pretrain.judges import DENSE_CONFIG, READER, READER_CONFIG, train_dense, train_reader
from cn.pretrain.latents import Latents
from cn.pretrain.master_weights import StageConfig
from cn.pretrain.pool import Pool, render_pool
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
        before = 0
        while before < latents.count:
            before = latents.count
            latents.refresh()
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
        settings, pool, base = self.configure(AutoencoderConfig()), self.pool, self._begun()
        train_autoencoder(base.vae, pool, self.work / "autoencoder.pt", budget, settings)
        if replicas.is_first():
            whiten(base.vae, pool)
            save_base(self.work / "autoencoder.safetensors", base, half=False)
            self.record("autoencoder", budget, settings, replicas.count() * pool.count)

    def _begun(self) -> Base:
        """The base to go on from, or a new one; of a base of other sizes only the VAE."""
        base = Base.create(MODEL, self.device)
        for path in self._autoencoders():
            if path.exists():
                earlier = open_base(path, self.device)
                if earlier.config.unet == MODEL.unet:
                    return earlier
                base.vae.load_state_dict(earlier.vae.state_dict())
                break
        return base

    def _autoencoders(self) -> list[Path]:
        """Where there may be a VAE to go on from, the latest first."""
        return [
            self.work / "base.safetensors",
            self.work / "autoencoder.safetensors",
            *([] if self.args.start is None else [self.args.start / "base.safetensors"]),
        ]

    def denoiser(self, budget: Budget) -> None:
        """Train U-Net and text encoder, from those of a finished base where there is one."""
        path = next(path for path in self._autoencoders() if path.exists())
        base = open_base(path, self.device)
        settings, latents = self.configure(DenoiserConfig()), self.latents(base, self.args.images)
        train_denoiser(base, latents, self.work / "denoiser.pt", budget, settings)
        if replicas.is_first():
            tokens = known_tokens(MODEL.text)
            save_base(self.work / "base.safetensors", base, bits=BITS, tokens=tokens, license=LICENSE)
            self.record("denoiser", budget, settings, replicas.count() * latents.count)

    @cached_property
    def _encoded(self) -> Latents:
        """The rendered scenes with condition maps, for all ControlNets that this process trains."""
        base = open_base(self.work / "base.safetensors", self.device)
        return self.latents(base, min(self.args.images, self.args.conditions))

    def control(self, kind: str, budget: Budget) -> None:
        """Train the ControlNet of one kind."""
        latents, settings = self._encoded, self.configure(ControlConfig())
        path, state = self.work / f"{kind}.safetensors", self.work / f"control-{kind}.pt"
        base = open_base(self.work / "base.safetensors", self.device)
        model = train_control(base, kind, latents, state, budget, settings, self._start(kind))
        # Training has put the U-Net of its base into half precision.
        base = open_base(self.work / "base.safetensors", self.device)
        save_control(path, model, kind=kind, base=base, base_sha256=base.sha256, bits=BITS, license=LICENSE)
        self.record(f"control-{kind}", budget, settings, latents.count)

    def _start(self, kind: str) -> ControlNet | None:
        """What training starts from: weights of this kind, earlier ones for another base, or those of another kind."""
        if (self.work / f"{kind}.safetensors").exists():
            return self._control(self.work / f"{kind}.safetensors")
        if self.args.start is not None and (self.args.start / f"{kind}.safetensors").exists():
            return self._moved(self.args.start / f"{kind}.safetensors")
        other = self.work / f"{STARTS.get(kind, kind)}.safetensors"
        return self._control(other) if other.exists() else None

    def _control(self, path: Path) -> ControlNet:
        model = open_control(path, self.device).model
        assert isinstance(model, ControlNet)
        return model

    @torch.no_grad()
    def _moved(self, path: Path) -> ControlNet:
        """A ControlNet of the base beside it, moved to the base of this folder as `cn transfer` does."""
        control = self._control(path)
        before, now = (open_base(folder / "base.safetensors", self.device) for folder in (path.parent, self.work))
        encoders = (network.parameters() for network in (control.encoder, before.unet.encoder, now.unet.encoder))
        for own, old, new in zip(*encoders, strict=True):
            own += new - old
        return control

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
