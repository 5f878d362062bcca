"""The training steps that `bench_train.py` measures: ours, diffusers' as its script does it, fine-tuning the U-Net."""

import importlib
import itertools
import json
import sys
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cn import images
from cn.checkpoints.read.load import open_base
from cn.conditions import ConditionInfo
from cn.data.batch import scaled
from cn.model.base import Base
from cn.model.config import ModelConfig, TextConfig, UNetConfig, VAEConfig
from cn.model.graphs import Graphs
from cn.model.transfers import upload
from cn.train import networks as assembling
from cn.train.config import TrainConfig
from cn.train.fast import locked
from cn.train.fast.choice import Way
from cn.train.fast.encoding import make_encode
from cn.train.fast.engines import Compiled, Engine, Plain
from cn.train.fast.graphs import Captured
from cn.train.fast.update import Numbers, gradient_norm, update
from cn.train.latent_batches import LatentBatch
from cn.train.networks import assemble, fresh_control
from cn.train.step_inputs import StepInputs
from cn.train.trainer import Trainer
from cn.weights import bundled

Step = Callable[[], object]
PROMPTS = tuple(f"a red house in a meadow, number {i}" for i in range(64))


@dataclass(frozen=True)
class Setting:
    """A base, a batch size, and which improvements are on."""

    base: str = "sd15"
    batch: int = 4
    engine: str = "plain"
    """Of the step and of encoding: plain, compiled, captured, or both."""
    links: str = "full"
    encode: bool = True
    """Whether each step encodes its images, as without a cache of latents."""
    off: frozenset[str] = field(default_factory=frozenset)
    """Improvements that are left out: held, norms, fused, embeddings, asynchronous."""
    channels_last: bool = False


def make_base(name: str, device: torch.device) -> Base:
    """The bundled base, one of Stable Diffusion 1.5's size with random weights, or a tiny one."""
    if name == "scenes":
        return open_base(bundled.find(bundled.BASE_NAME), device)
    if name == "sd15":
        return Base.create(ModelConfig(name="sd15"), device)
    unet = UNetConfig(channels=(32, 32, 64, 64), heads=4, context_dim=64)
    text, vae = TextConfig(width=64, heads=1, layers=1, run_layers=1), VAEConfig(channels=(32, 32, 64, 64))
    return Base.create(ModelConfig(name="tiny", unet=unet, vae=vae, text=text, image_size=64), device)


def pixels(size: int, batch: int) -> Tensor:
    """(B, 3, size, size) uint8, in pinned memory where there is a GPU."""
    drawn = torch.randint(0, 256, (batch, 3, size, size), dtype=torch.uint8)
    return drawn.pin_memory() if torch.cuda.is_available() else drawn


def config_of(base: Base, setting: Setting, device: torch.device, **given: object) -> TrainConfig:
    options = {
        "cond": "canny",
        "base": base.config.name,
        "base_sha256": "",
        "size": base.config.image_size,
        "steps": 1_000_000,
        "lr": 1e-5,
        "batch_size": setting.batch,
        "links": setting.links,
        "condition_encoder": "released",
        "precision": "bf16",
        "compile": False,
        **given,
    }
    return TrainConfig(**options)  # type: ignore[arg-type]


def our_trainer(setting: Setting, device: torch.device) -> Trainer:
    """A trainer as `cn train` has it, with what `setting` leaves out put back as it was before."""
    base = make_base(setting.base, device)
    config = config_of(base, setting, device)
    control = fresh_control(base, config).to(device)
    before = assembling.hold_locked, assembling.half_norms
    if "held" in setting.off:
        assembling.hold_locked = lambda *args, **kwargs: None  # type: ignore[assignment]
    if "norms" in setting.off:
        assembling.half_norms = lambda *args: None  # type: ignore[assignment]
    networks = assemble(base, control, config)
    assembling.hold_locked, assembling.half_norms = before
    if setting.channels_last:
        for part in (base.unet.encoder, base.unet.decoder):
            part.to(memory_format=torch.channels_last)
    trainer = Trainer(networks, config, warn=print_warning)
    if "fused" in setting.off:
        trainer.optimizer = torch.optim.AdamW(networks.trainable.values(), lr=config.lr)
    if "embeddings" in setting.off:
        networks.embeddings.max_bytes = 0
    assert isinstance(trainer.engine, Plain)
    trainer.engine = make_engine(setting.engine, trainer.engine, networks.trainable.values(), trainer.graphs)
    return trainer


def make_engine(name: str, plain: Plain, parameters: Iterator[nn.Parameter], graphs: Graphs) -> Engine:
    engine = Compiled(plain, print_warning) if name in ("compiled", "both") else plain
    return Captured(engine, parameters, graphs, accumulates=False) if name in ("captured", "both") else engine


def print_warning(message: str) -> None:
    print(message, file=sys.stderr)


def batches(base: Base, setting: Setting, graphs: Graphs | None = None) -> Iterator[LatentBatch]:
    """The same images again and again, encoded each time or once; prompts that are different each time."""
    way = Way(setting.engine in ("compiled", "both"), setting.engine in ("captured", "both"))
    encode = make_encode(base.vae.encode, way, graphs or Graphs(print_warning), print_warning)
    device, size = base.device, base.config.image_size
    targets, hints, prompts = pixels(size, setting.batch), pixels(size, setting.batch), itertools.cycle(PROMPTS)

    @torch.no_grad()
    def batch() -> LatentBatch:
        posterior = encode(scaled(targets.to(device, non_blocking=True)))
        hint = hints.to(device, non_blocking=True)
        return LatentBatch(posterior.mean, posterior.std, hint, list(itertools.islice(prompts, setting.batch)))

    kept = batch()
    while True:
        yield batch() if setting.encode else replace(kept, prompts=list(itertools.islice(prompts, setting.batch)))


def our_step(setting: Setting, device: torch.device) -> Step:
    """One step of `cn train`, its numbers read a step late on a GPU; "asynchronous" off: at once."""
    trainer = our_trainer(setting, device)
    stream, pending = batches(trainer.networks.base, setting, trainer.graphs), []

    def step() -> None:
        pending.append(trainer.take_step(stream))
        while len(pending) > (1 if device.type == "cuda" and "asynchronous" not in setting.off else 0):
            pending.pop(0).numbers()

    return step


def fine_tuning_step(setting: Setting, device: torch.device) -> Step:
    """The whole U-Net trained by the same means: autocast, fused AdamW, the same engine, no ControlNet."""
    base = make_base(setting.base, device)
    base.lock()
    base.unet.requires_grad_(True).train()
    for part in (base.vae.encoder, base.text):
        locked.hold(part, torch.bfloat16, returns=torch.float32)
    if "norms" not in setting.off:
        locked.half_norms(base.unet, torch.bfloat16)
    parameters = list(base.unet.parameters())
    optimizer = torch.optim.AdamW(parameters, lr=1e-5, fused=True)
    scaler, schedule = torch.amp.GradScaler(device.type, enabled=False), base.schedule.to(device)
    text = base.text.encode(PROMPTS[: setting.batch]).bfloat16()

    def loss_of(z0: Tensor, hint: Tensor, text: Tensor, t: Tensor, noise: Tensor) -> Tensor:
        with torch.autocast(device.type, torch.bfloat16):
            prediction = base.unet(schedule.add_noise(z0, noise, t), t, text)
        return F.mse_loss(prediction.float(), schedule.target(z0, noise, t))

    def backward(loss: Tensor) -> Tensor:
        loss.backward()
        return loss.detach()

    graphs = Graphs(print_warning)
    engine = make_engine(setting.engine, Plain(loss_of, backward), iter(parameters), graphs)
    stream, pending = batches(base, setting, graphs), deque[Numbers]()

    def step() -> None:
        optimizer.zero_grad()
        batch, cpu = next(stream), torch.Generator()
        z0 = batch.sample(cpu)
        t = upload(torch.randint(0, 1000, (setting.batch,), generator=cpu), device)
        noise = upload(torch.randn(z0.shape, generator=cpu), device)
        loss = engine.gradient(StepInputs(z0, batch.hint, text, t, noise))
        norm = gradient_norm(parameters)
        update(optimizer, scaler, norm, loss)
        pending.append(Numbers.of(loss, norm))
        if len(pending) > 1:
            pending.popleft().wait()

    return step


def their_step(setting: Setting, device: torch.device, path: Path | None) -> Step:
    """The step of diffusers' train_controlnet.py with --mixed_precision bf16 and otherwise its defaults.

    What it does by way of accelerate is written out: autocast around the ControlNet, whose outputs become fp32, AdamW
    of torch's choice over an fp32 ControlNet, gradients clipped to a norm of 1 and set to zero in place, and the loss
    read at each step. U-Net, autoencoder and text encoder are in bf16. Raises ImportError without diffusers.
    """
    if path is not None:
        sys.path.insert(0, str(path))
    diffusers, transformers = importlib.import_module("diffusers"), importlib.import_module("transformers")
    half = torch.bfloat16
    sizes = make_base(setting.base, torch.device("meta")).config
    with device:
        unet = diffusers.UNet2DConditionModel(
            block_out_channels=sizes.unet.channels, cross_attention_dim=sizes.unet.context_dim
        )
        vae = diffusers.AutoencoderKL(
            block_out_channels=sizes.vae.channels,
            down_block_types=("DownEncoderBlock2D",) * 4,
            up_block_types=("UpDecoderBlock2D",) * 4,
            layers_per_block=2,
        )
        text_encoder = transformers.CLIPTextModel(
            transformers.CLIPTextConfig(
                hidden_size=sizes.text.width, intermediate_size=4 * sizes.text.width,
                num_hidden_layers=sizes.text.layers, num_attention_heads=sizes.text.heads, projection_dim=768,
            )
        )  # fmt: skip
        controlnet = diffusers.ControlNetModel.from_unet(unet).train()
    for network in (unet, vae, text_encoder):
        network.requires_grad_(False).to(device, half)
    noise_scheduler = diffusers.DDPMScheduler(
        beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", num_train_timesteps=1000
    )
    optimizer = torch.optim.AdamW(controlnet.parameters(), lr=5e-6, weight_decay=1e-2)
    rates = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1.0)
    size, count = sizes.image_size, setting.batch
    targets, hints = (pixels(size, count).float() / 127.5 - 1 for _ in range(2))
    ids = torch.randint(0, 49408, (count, 77))

    def step() -> None:
        latents = vae.encode(targets.to(device).to(half)).latent_dist.sample() * vae.config.scaling_factor
        noise = torch.randn_like(latents)
        t = torch.randint(0, 1000, (count,), device=device).long()
        noisy = noise_scheduler.add_noise(latents.float(), noise.float(), t).to(half)
        text = text_encoder(ids.to(device), return_dict=False)[0]
        with torch.autocast(device.type, half):
            down, middle = controlnet(
                noisy, t, encoder_hidden_states=text, controlnet_cond=hints.to(device).to(half), return_dict=False
            )
        down, middle = [sample.float() for sample in down], middle.float()
        prediction = unet(
            noisy, t, encoder_hidden_states=text, return_dict=False,
            down_block_additional_residuals=[sample.to(half) for sample in down],
            mid_block_additional_residual=middle.to(half),
        )[0]  # fmt: skip
        loss = F.mse_loss(prediction.float(), noise.float(), reduction="mean")
        loss.backward()
        torch.nn.utils.clip_grad_norm_(controlnet.parameters(), 1.0)
        optimizer.step()
        rates.step()
        optimizer.zero_grad(set_to_none=False)
        loss.detach().item()

    return step


def write_pairs(folder: Path, count: int, size: int) -> None:
    """A dataset of `count` pairs: parts of smooth random images as PNG, with edge maps, as `cn dataset` writes them."""
    rng = np.random.default_rng(0)
    for name in ("source", "target"):
        (folder / name).mkdir(parents=True)
    lines = []
    for number in range(count):
        coarse = rng.integers(0, 256, (size // 16, size // 16, 3), dtype=np.uint8)
        image = cv2.resize(coarse, (size, size), interpolation=cv2.INTER_CUBIC)
        image = np.clip(image + rng.normal(0, 3, image.shape), 0, 255).astype(np.uint8)
        images.write(folder / f"target/{number}.png", image)
        edges = cv2.Canny(image, 100, 200)
        images.write(folder / f"source/{number}.png", edges, ConditionInfo("canny", "cv2").to_text())
        prompt = PROMPTS[number % len(PROMPTS)]
        lines.append(json.dumps({"source": f"source/{number}.png", "target": f"target/{number}.png", "prompt": prompt}))
    (folder / "prompt.json").write_text("\n".join(lines) + "\n")
