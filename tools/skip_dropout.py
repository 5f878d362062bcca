"""Trains the U-Net of a base on, with all skip connections of some images set to zero, and writes the base.

    python tools/skip_dropout.py --share 0.5 --steps 200 --out dropped.safetensors
    python tools/study_middle.py sizes exchange --base dropped.safetensors

An experiment on what makes a base listen to its middle block (`docs/train.md`), too short to make a better base.
Every 20 steps it prints a line of JSON: the loss of the images with skips, and of those without.
"""

import argparse
import json
from collections.abc import Iterator
from pathlib import Path

import torch
from study_inputs import inputs, predict, scenes

from cn.checkpoints.read.load import open_base
from cn.checkpoints.write.native import save_base
from cn.model.base import Base
from cn.weights.bundled import find


def train(base: Base, options: argparse.Namespace) -> Iterator[dict[str, float]]:
    """Plain training of the U-Net on scenes, but for the skips that are dropped; the text encoder stays as it is."""
    torch.manual_seed(0)
    known = scenes(base, options.images, seed=1, first=0)
    latents, texts = torch.cat([s.latent for s in known]), base.text.encode([s.example.prompt for s in known])
    empty, count = base.text.encode([""]), options.batch
    base.unet.requires_grad_(True)
    optimizer = torch.optim.AdamW(base.unet.parameters(), lr=options.lr)
    for step in range(options.steps):
        rows = torch.randint(0, len(latents), (count,))
        z0, text = latents[rows], torch.where(torch.rand(count, 1, 1) < 0.1, empty, texts[rows])
        t, noise = torch.randint(0, base.schedule.steps, (count,)), torch.randn_like(z0)
        features, emb = inputs(base, base.schedule.add_noise(z0, noise, t), t, text)
        keep = (torch.rand(count, 1, 1, 1) >= options.share).float()
        prediction = predict(base, [*(skip * keep for skip in features[:-1]), features[-1]], emb, text)
        each = (prediction - base.schedule.target(z0, noise, t)).square().mean(dim=(1, 2, 3))
        optimizer.zero_grad()
        each.mean().backward()
        optimizer.step()
        if step % 20 == 0:
            kept = keep.flatten().bool()
            yield {"step": step, "loss": float(each[kept].mean()), "without skips": float(each[~kept].mean())}
    base.lock()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--base", default="base", help="a bundled name, a file or a folder")
    parser.add_argument("--share", type=float, default=0.5, help="of the images, without skips")
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--lr", type=float, default=5e-4)
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--images", type=int, default=64)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    base = open_base(find(options.base, role="base"))
    for record in train(base, options):
        print(json.dumps(record), flush=True)
    save_base(options.out, base, half=False, trained_with=f"{options.share:g} of the images without skips")


if __name__ == "__main__":
    main()
