"""One kind of training step on the bundled base, in its own process so that its peak memory can be measured.

`python tools/bench_step.py KIND` prints JSON: steps per second, and megabytes above those that the imports take.
"""

import json
import resource
import sys
import time

import torch
import torch.nn.functional as F
from torch import Tensor

from cn.checkpoints.read.load import open_base
from cn.model.controlnet import ControlNet
from cn.train.loss import diffusion_loss
from cn.weights import bundled

KINDS = ("control", "small-scale", "fine-tuning")
BATCH_SIZE, WARMUP, STEPS = 4, 2, 8


def peak_megabytes() -> float:
    """The most memory that this process has held so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1024 if sys.platform != "darwin" else 1024**2)


def main(kind: str) -> None:
    imports = peak_megabytes()
    torch.manual_seed(0)
    base = open_base(bundled.find(bundled.BASE_NAME))
    side = base.config.image_size // base.config.vae.factor
    z0, noise = torch.randn(2, BATCH_SIZE, 4, side, side)
    hint = torch.rand(BATCH_SIZE, 3, base.config.image_size, base.config.image_size)
    with torch.no_grad():
        text = base.text.encode(["a red car on sand at dusk"] * BATCH_SIZE)
    schedule = base.schedule
    control = None
    if kind == "fine-tuning":
        base.unet.requires_grad_(True).train()
    else:
        control = ControlNet.from_unet(base.unet, links="middle" if kind == "small-scale" else "full").train()
    optimizer = torch.optim.AdamW((control or base.unet).parameters(), lr=1e-5)

    def loss(t: Tensor) -> Tensor:
        if control is not None:
            return diffusion_loss(base.unet, control, schedule, z0, hint, text, t, noise)
        z_t = schedule.add_noise(z0, noise, t)
        return F.mse_loss(base.unet(z_t, t, text), schedule.target(z0, noise, t))

    for step in range(WARMUP + STEPS):
        if step == WARMUP:
            start = time.perf_counter()
        loss(torch.randint(0, schedule.steps, (BATCH_SIZE,))).backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
    rate = STEPS / (time.perf_counter() - start)
    print(json.dumps({"steps_per_second": rate, "megabytes": peak_megabytes() - imports}))


if __name__ == "__main__":
    main(sys.argv[1])
