"""What a training step computes at Stable Diffusion 1.5's size, 512×512, one image: operations, without running any.

`python tools/count_flops.py` prints TFLOP (a multiplication and an addition are two) of each part, forwards and
backwards, and what that makes for all links, for small-scale training and for fine-tuning the whole U-Net.
"""

from collections.abc import Callable

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils.flop_counter import FlopCounterMode

from cn.model.config import ScheduleConfig, UNetConfig
from cn.model.controlnet import ControlNet
from cn.model.schedule import Schedule
from cn.model.unet import UNet
from cn.train.loss import diffusion_loss


def counted(function: Callable[[], Tensor]) -> tuple[Tensor, float]:
    """The result of a function, and the TFLOP that it took."""
    with FlopCounterMode(display=False) as counter:
        result = function()
    return result, counter.get_total_flops() / 1e12


def step(kind: str) -> tuple[float, float]:
    """TFLOP of the loss and of its backward pass."""
    with FakeTensorMode():
        config = UNetConfig()
        unet = UNet(config).requires_grad_(kind == "fine-tuning")
        z, noise, text = torch.empty(1, 4, 64, 64), torch.empty(1, 4, 64, 64), torch.empty(1, 77, config.context_dim)
        t, schedule = torch.zeros(1, dtype=torch.long), Schedule(ScheduleConfig())
        if kind == "fine-tuning":
            loss, forward = counted(lambda: (unet(z, t, text) - noise).square().mean())
        else:
            links = "middle" if kind == "small-scale" else "full"
            control = ControlNet(config, condition_encoder="released", links=links)
            control.zero_convolutions.requires_grad_(links == "full")
            hint = torch.empty(1, 3, 512, 512)
            loss, forward = counted(lambda: diffusion_loss(unet, control, schedule, z, hint, text, t, noise))

        def backward() -> Tensor:
            loss.backward()
            return loss

        return forward, counted(backward)[1]


def main() -> None:
    print(f"{'TFLOP':14}{'forward':>10}{'backward':>10}{'step':>10}")
    for kind in ("all links", "small-scale", "fine-tuning"):
        forward, backward = step(kind)
        print(f"{kind:14}{forward:10.3f}{backward:10.3f}{forward + backward:10.3f}")


if __name__ == "__main__":
    main()
