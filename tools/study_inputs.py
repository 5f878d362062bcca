"""What `study_middle.py` and `skip_dropout.py` share: held-out scenes, and the inputs of a U-Net's decoder."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from cn.data.examples import Example
from cn.data.scenes import SceneDataset
from cn.data.seeds import EVAL_SEED
from cn.detect.lines.canny import canny
from cn.eval.measures.edges import edge_f1
from cn.model.base import Base
from cn.model.samplers.step import draw_noise

FIRST_SCENE = 3_000_000


@dataclass(frozen=True)
class Scene:
    """A held-out scene: its latent (1, 4, h, w), its Canny map and its caption."""

    example: Example
    latent: Tensor

    def edges_found(self, image: np.ndarray) -> float:
        """Edge F1 of an image against this scene's map."""
        return edge_f1(self.example.condition, canny(image))


def scenes(base: Base, count: int, seed: int = EVAL_SEED, first: int = FIRST_SCENE) -> list[Scene]:
    dataset = SceneDataset("canny", base.config.image_size, seed, first)
    found = []
    for example in (dataset[i] for i in range(count)):
        image = torch.from_numpy(example.target).permute(2, 0, 1)[None].float() / 127.5 - 1
        with torch.no_grad():
            found.append(Scene(example, base.vae.encode(image).mean))
    return found


def groups(base: Base) -> dict[str, list[int]]:
    """The decoder's inputs by name: the middle (-1), and the skips of each level, from the coarsest on."""
    per_level = base.config.unet.res_blocks + 1
    count = len(base.unet.encoder.widths)
    levels = {f"skips of level {n // per_level + 1}": list(range(n, n + per_level)) for n in range(0, count, per_level)}
    return {"middle": [-1], **dict(reversed(levels.items()))}


def inputs(base: Base, z: Tensor, t: Tensor, text: Tensor) -> tuple[list[Tensor], Tensor]:
    """All inputs of the decoder, the middle's last, and the time embedding."""
    skips, middle, emb = base.unet.encoder(z, t, text)
    return [*skips, middle], emb


def predict(base: Base, features: list[Tensor], emb: Tensor, text: Tensor) -> Tensor:
    return base.unet.decoder(features[-1], emb, text, features[:-1], [None] * (len(features) - 1))


def noised(base: Base, scene: Scene, t: int, seed: int) -> tuple[Tensor, Tensor]:
    """z_t (1, 4, h, w) and t (1,), with the noise that sampling starts from with this seed."""
    time = torch.tensor([t])
    noise = draw_noise([torch.Generator().manual_seed(seed)], scene.latent.shape[1:])
    return base.schedule.add_noise(scene.latent, noise, time), time


def rms(x: Tensor) -> float:
    return float(x.detach().square().mean().sqrt())


def exchanged(ours: list[Tensor], theirs: list[Tensor], members: list[int]) -> list[Tensor]:
    chosen = {i % len(ours) for i in members}
    return [b if i in chosen else a for i, (a, b) in enumerate(zip(ours, theirs, strict=True))]


def summary(values: list[float]) -> dict:
    return {
        "edge F1": round(float(np.mean(values)), 3),
        "standard error": round(float(np.std(values)) / len(values) ** 0.5, 3),
        "n": len(values),
    }
