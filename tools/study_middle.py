"""How much of an image's layout the middle block of a base can carry: why small-scale training (§3.4) works or not.

    python tools/study_middle.py sizes exchange                       # minutes on two CPU cores
    python tools/study_middle.py sampled --scenes 8
    python tools/study_middle.py overfit --scenes 3 --steps 300

Each experiment prints lines of JSON. Scenes are held out from all training. `docs/train.md` has the results.

sizes      how large each group of the decoder's inputs is, and how strongly the prediction depends on it
exchange   one group of inputs is that of another image, in one prediction: the share of the difference that follows it
free       the middle's numbers are optimized for one prediction: how far can they move it?
sampled    one group of inputs is that of a true image, at every step of sampling: does the sample get its edges?
overfit    a ControlNet with some of the links, trained on one pair: does a sample get the edges of that pair?
"""

import argparse
import json
from collections.abc import Iterator
from dataclasses import replace
from typing import cast

import numpy as np
import torch
import torch.nn.functional as F
from study_inputs import Scene, exchanged, groups, inputs, noised, predict, rms, scenes, summary
from torch import Tensor, nn

from cn.checkpoints.read.load import open_base
from cn.model.base import Base
from cn.model.config import Links
from cn.model.controlnet import ControlNet
from cn.model.generate import Request, Sampling, generate, to_hint
from cn.model.guidance import ControlInput
from cn.model.unet import Control
from cn.train.loss import diffusion_loss
from cn.weights.bundled import find

TIMES = (50, 250, 500, 750, 950)


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


def free(base: Base, options: argparse.Namespace) -> Iterator[dict]:
    """For pairs of scenes A, B with the same noise: the middle for A is optimized until the prediction is that for B.

    No control of the middle can do more in a prediction than its best numbers; the share is what they reach of the way
    from A to B (1 - squared distance left), and the size theirs in multiples of the middle's own.
    """
    text, known = base.text.encode([""]), scenes(base, options.scenes)
    for t in TIMES:
        found = []
        for number, (a, b) in enumerate(zip(known, [*known[1:], known[0]], strict=True)):
            with torch.no_grad():
                (ours, emb), (theirs, _) = (inputs(base, *noised(base, scene, t, number), text) for scene in (a, b))
                wanted = predict(base, theirs, emb, text)
                distance = (wanted - predict(base, ours, emb, text)).square().sum()
            added = torch.zeros_like(ours[-1], requires_grad=True)
            optimizer = torch.optim.Adam([added], lr=options.free_lr * rms(ours[-1]))
            for _ in range(options.steps):
                left = (wanted - predict(base, [*ours[:-1], ours[-1] + added], emb, text)).square().sum()
                optimizer.zero_grad()
                left.backward()
                optimizer.step()
            found.append((1 - float(left / distance), rms(added) / rms(ours[-1])))
        share, size = np.mean(found, axis=0)
        yield {"t": t, "share": round(float(share), 4), "size": round(float(size), 2), "n": len(found)}


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
            sampling = Sampling(size, size, scale=base.config.guidance_scale)
            found = [scene.edges_found(image) for image in generate(base, requests, sampling, controls)]
            loss = float(mean_loss(base, control, scene, hint))
            results[links] += [(value, loss) for value in found]
            one = {"scene": number, "links": links, "loss": round(loss, 4), **summary(found)}
            if control is not None:
                norm = control.zero_middle.weight.detach().norm()
                one["norm of the middle's zero convolution"] = round(float(norm), 2)
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


EXPERIMENTS = {"sizes": sizes, "exchange": exchange, "free": free, "sampled": sampled, "overfit": overfit}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("experiments", nargs="+", choices=EXPERIMENTS)
    parser.add_argument("--base", default="base", help="a bundled name, a file or a folder")
    parser.add_argument("--scenes", type=int, default=16)
    parser.add_argument("--links", nargs="+", default=["none", "middle", "full"], help="overfit: what to train")
    parser.add_argument("--steps", type=int, default=300, help="overfit, free: optimizer steps")
    parser.add_argument("--free-lr", type=float, default=0.1, help="free: step size in multiples of the middle's own")
    parser.add_argument("--lr", type=float, default=1e-3)
    parser.add_argument("--batch", type=int, default=4, help="overfit: images per step")
    options = parser.parse_args()
    for name in options.experiments:
        base = open_base(find(options.base, role="base"))
        for record in EXPERIMENTS[name](base, options):
            print(json.dumps({"experiment": name, **record}), flush=True)


if __name__ == "__main__":
    main()
