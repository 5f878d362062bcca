"""How much of an image's layout the middle block of a base can carry: why small-scale training (§3.4) works or not.

    python tools/study_middle.py sizes exchange                       # minutes on two CPU cores
    python tools/study_middle.py sampled --scenes 8
    python tools/study_middle.py overfit --scenes 3 --steps 300
    python tools/study_middle.py dropout --share 0.3 --out dropped.safetensors    # then all of it with --base

Each experiment prints lines of JSON. Scenes are held out from all training. `docs/train.md` has the results.

sizes      how large each group of the decoder's inputs is, and how strongly the prediction depends on it
exchange   one group of inputs is that of another image, in one prediction: the share of the difference that follows it
sampled    one group of inputs is that of a true image, at every step of sampling: does the sample get its edges?
overfit    a ControlNet with some of the links, trained on one pair: does a sample get the edges of that pair?
dropout    continues the training of the base with skips that are dropped at random, and writes it
"""

import argparse
import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cn.checkpoints.read.load import open_base
from cn.checkpoints.write.native import save_base
from cn.data.examples import Example
from cn.data.scenes import SceneDataset
from cn.data.score import edge_f1
from cn.data.seeds import EVAL_SEED
from cn.detect.lines.canny import canny
from cn.model.base import Base
from cn.model.config import Links
from cn.model.controlnet import ControlNet
from cn.model.ddim import draw_noise
from cn.model.generate import Request, Sampling, generate, to_hint
from cn.model.guidance import ControlInput
from cn.model.unet import Control
from cn.train.loss import diffusion_loss
from cn.weights.bundled import find

TIMES = (50, 250, 500, 750, 950)
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
    return base.unet.decoder(features[-1], emb, text, features[:-1])


def noised(base: Base, scene: Scene, t: int, seed: int) -> tuple[Tensor, Tensor]:
    """z_t (1, 4, h, w) and t (1,), with the noise that sampling starts from with this seed."""
    time = torch.tensor([t])
    noise = draw_noise([torch.Generator().manual_seed(seed)], scene.latent.shape[1:])
    return base.schedule.add_noise(scene.latent, noise, time), time


def sizes(base: Base, options: argparse.Namespace) -> Iterator[dict]:
    """Root mean square of each group; and the relative change of the prediction where a group is changed at random.

    The change is that of the linearized decoder for independent normal changes as large as the group itself:
    ‖J‖_F · rms / ‖prediction‖ with ‖J‖_F from products with random vectors.
    """
    text = base.text.encode([""])
    for t in TIMES:
        found: dict[str, list[tuple[float, float]]] = {name: [] for name in groups(base)}
        for number, scene in enumerate(scenes(base, options.scenes)):
            z, time = noised(base, scene, t, number)
            features, emb = inputs(base, z, time, text)
            features = [feature.detach().requires_grad_(True) for feature in features]
            prediction = predict(base, features, emb, text)
            vector = torch.randn(prediction.shape, generator=torch.Generator().manual_seed(number))
            gradients = torch.autograd.grad((prediction * vector).sum(), features)
            for name, members in groups(base).items():
                changes = [float(gradients[i].norm() / prediction.detach().norm()) * rms(features[i]) for i in members]
                size = float(np.mean([rms(features[i]) for i in members]))
                found[name].append((size, sum(change**2 for change in changes) ** 0.5))
        for name, values in found.items():
            size, change = np.mean(values, axis=0)
            yield {
                "t": t,
                "group": name,
                "rms": round(size, 3),
                "relative change": float(f"{change:.2g}"),
                "n": len(values),
            }


def rms(x: Tensor) -> float:
    return float(x.detach().square().mean().sqrt())


@torch.no_grad()
def exchange(base: Base, options: argparse.Namespace) -> Iterator[dict]:
    """For pairs of scenes A, B with the same noise: the prediction for A with a group of B, projected on A → B."""
    text, known = base.text.encode([""]), scenes(base, options.scenes)
    for t in TIMES:
        shares: dict[str, list[float]] = {name: [] for name in groups(base)}
        for number, (a, b) in enumerate(zip(known, [*known[1:], known[0]], strict=True)):
            (ours, emb), (theirs, _) = (inputs(base, *noised(base, scene, t, number), text) for scene in (a, b))
            from_a = predict(base, ours, emb, text)
            difference = predict(base, theirs, emb, text) - from_a
            for name, members in groups(base).items():
                mixed = predict(base, exchanged(ours, theirs, members), emb, text)
                shares[name].append(float(((mixed - from_a) * difference).sum() / difference.square().sum()))
        for name, values in shares.items():
            spread = np.std(values) / len(values) ** 0.5
            share = {"share": round(float(np.mean(values)), 4), "standard error": float(f"{spread:.1g}")}
            yield {"t": t, "group": name, **share, "n": len(values)}


def exchanged(ours: list[Tensor], theirs: list[Tensor], members: list[int]) -> list[Tensor]:
    chosen = {i % len(ours) for i in members}
    return [b if i in chosen else a for i, (a, b) in enumerate(zip(ours, theirs, strict=True))]


class Following(nn.Module):
    """A U-Net some of whose decoder inputs are those of a known image, noised to the same level."""

    def __init__(self, base: Base, scene: Scene, members: list[int], seed: int):
        super().__init__()
        self.base, self.scene, self.members, self.seed = base, scene, members, seed
        self.decoder = base.unet.decoder

    def forward(self, z: Tensor, t: Tensor, text: Tensor, control: Control | None = None) -> Tensor:
        assert control is None
        known, _ = noised(self.base, self.scene, int(t[0]), self.seed)
        ours, emb = inputs(self.base, z, t, text)
        theirs, _ = inputs(self.base, known.expand_as(z), t, text)
        return predict(self.base, exchanged(ours, theirs, self.members), emb, text)


def sampled(base: Base, options: argparse.Namespace) -> Iterator[dict]:
    """The edge F1 of samples that get one group of a true image at every step, without guidance.

    The image is noised with the noise that sampling starts from, so that all skips together lead back to it.
    """
    size, known = base.config.image_size, scenes(base, options.scenes)
    skips = list(range(len(base.unet.encoder.widths)))
    for name, members in {"nothing": [], **groups(base), "all skips": skips}.items():
        found = []
        for number, scene in enumerate(known):
            unet = cast("nn.Module", Following(base, scene, members, seed=number))
            following = replace(base, unet=unet)  # type: ignore[arg-type]
            requests, sampling = [Request(scene.example.prompt, number)], Sampling(size, size, scale=1.0)
            found += [scene.edges_found(image) for image in generate(following, requests, sampling)]
        yield {"known": name, **summary(found)}


def summary(values: list[float]) -> dict:
    return {
        "edge F1": round(float(np.mean(values)), 3),
        "standard error": round(float(np.std(values)) / len(values) ** 0.5, 3),
        "n": len(values),
    }


def overfit(base: Base, options: argparse.Namespace) -> Iterator[dict]:
    """Trains on one pair at a time, without a control and with some links, and samples that pair from 4 seeds."""
    size = base.config.image_size
    results: dict[str, list[tuple[float, float]]] = {links: [] for links in options.links}
    for number, scene in enumerate(scenes(base, options.scenes)):
        hint = to_hint(scene.example.condition, base.device, base.dtype)
        for links in results:
            control = (
                trained(base, scene, hint, cast("Links", links), options, seed=number) if links != "none" else None
            )
            requests = [Request(scene.example.prompt, seed) for seed in range(4)]
            controls = [ControlInput(control, hint)] if control is not None else []
            found = [scene.edges_found(image) for image in generate(base, requests, Sampling(size, size), controls)]
            loss = float(mean_loss(base, control, scene, hint))
            results[links] += [(value, loss) for value in found]
            one = {"scene": number, "links": links, "loss": round(loss, 4), **summary(found)}
            if control is not None:
                one["norm of the middle's zero convolution"] = round(float(control.zero_middle.weight.norm()), 2)
            yield one
    for links, values in results.items():
        yield {
            "links": links,
            "loss": round(float(np.mean([v[1] for v in values])), 4),
            **summary([v[0] for v in values]),
        }


def trained(base: Base, scene: Scene, hint: Tensor, links: Links, options: argparse.Namespace, seed: int) -> ControlNet:
    """A ControlNet after `options.steps` steps on one pair, half of the time without the prompt."""
    torch.manual_seed(seed)
    control = ControlNet.from_unet(base.unet, links=links)
    optimizer = torch.optim.AdamW([p for p in control.parameters() if p.requires_grad], lr=options.lr)
    texts, n = base.text.encode(["", scene.example.prompt]), options.batch
    for step in range(options.steps):
        for group in optimizer.param_groups:
            group["lr"] = options.lr * min(1.0, (step + 1) / 20)
        t, noise = torch.randint(0, base.schedule.steps, (n,)), torch.randn(n, *scene.latent.shape[1:])
        text = texts[torch.randint(0, 2, (n,))]
        z0 = scene.latent.expand(n, -1, -1, -1)
        loss = diffusion_loss(base.unet, control, base.schedule, z0, hint.expand(n, -1, -1, -1), text, t, noise)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return control.eval()


@torch.no_grad()
def mean_loss(base: Base, control: ControlNet | None, scene: Scene, hint: Tensor) -> Tensor:
    """The loss of this pair over 40 timesteps, evenly spread, with the prompt."""
    generator = torch.Generator().manual_seed(1)
    text, losses = base.text.encode([scene.example.prompt]), []
    for step in range(12, base.schedule.steps, 25):
        t, noise = torch.tensor([step]), torch.randn(scene.latent.shape, generator=generator)
        z = base.schedule.add_noise(scene.latent, noise, t)
        residuals = None if control is None else control(z, t, text, hint)
        losses.append(F.mse_loss(base.unet(z, t, text, residuals), base.schedule.target(scene.latent, noise, t)))
    return torch.stack(losses).mean()


def dropout(base: Base, options: argparse.Namespace) -> Iterator[dict]:
    """Trains the U-Net on, with all skips of a share of the images set to zero: then the middle has to carry them."""
    torch.manual_seed(0)
    known = scenes(base, options.images, seed=1, first=0)
    latents, texts = torch.cat([s.latent for s in known]), base.text.encode([s.example.prompt for s in known])
    empty = base.text.encode([""])
    base.unet.requires_grad_(True)
    optimizer = torch.optim.AdamW(base.unet.parameters(), lr=options.lr)
    for step in range(options.steps):
        rows = torch.randint(0, len(latents), (options.batch,))
        z0, text = latents[rows], torch.where(torch.rand(options.batch, 1, 1) < 0.1, empty, texts[rows])
        t, noise = torch.randint(0, base.schedule.steps, (options.batch,)), torch.randn_like(z0)
        features, emb = inputs(base, base.schedule.add_noise(z0, noise, t), t, text)
        keep = (torch.rand(options.batch, 1, 1, 1) >= options.share).float()
        prediction = predict(base, [*(skip * keep for skip in features[:-1]), features[-1]], emb, text)
        each = (prediction - base.schedule.target(z0, noise, t)).square().mean(dim=(1, 2, 3))
        optimizer.zero_grad()
        each.mean().backward()
        optimizer.step()
        if step % 20 == 0:
            kept = keep.flatten().bool()
            yield {"step": step, "loss": float(each[kept].mean()), "without skips": float(each[~kept].mean())}
    save_base(options.out, base.lock(), half=False, trained_with="skip dropout")


EXPERIMENTS = {"sizes": sizes, "exchange": exchange, "sampled": sampled, "overfit": overfit, "dropout": dropout}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("experiments", nargs="+", choices=EXPERIMENTS)
    parser.add_argument("--base", default="base", help="a bundled name, a file or a folder")
    parser.add_argument("--scenes", type=int, default=16)
    parser.add_argument("--links", nargs="+", default=["none", "middle", "full"], help="overfit: what to train")
    parser.add_argument("--steps", type=int, default=300, help="overfit, dropout: optimizer steps")
    parser.add_argument("--lr", type=float, default=1e-3)
    parser.add_argument("--share", type=float, default=0.3, help="dropout: share of the images without skips")
    parser.add_argument("--batch", type=int, default=4, help="overfit, dropout: images per step")
    parser.add_argument("--images", type=int, default=256)
    parser.add_argument("--out", type=Path, default=Path("base-with-dropout.safetensors"))
    options = parser.parse_args()
    for name in options.experiments:
        base = open_base(find(options.base, role="base"))
        for record in EXPERIMENTS[name](base, options):
            print(json.dumps({"experiment": name, **record}), flush=True)


if __name__ == "__main__":
    main()
