"""A training step of the base's U-Net on random data: how long it takes, in which way, and what takes the time.

    python tools/bench_pretrain_step.py
    python tools/bench_pretrain_step.py --nets 64/96/96/128 --batches 512 --ways channels_last kernels --profile kernels
    python tools/bench_pretrain_step.py --device cpu --nets tiny --batches 2 --steps 1

A step is forward, backward and fused AdamW: in bf16 on a GPU, in fp32 on a CPU, where only the first two ways exist.
"""

import argparse
import gc
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd import DeviceType
from torch.profiler import ProfilerActivity, profile

from cn.model.config import PRESETS, UNetConfig
from cn.model.graphs import CudaCapture, Graphs
from cn.model.kernel_choice import use_training_kernels
from cn.model.unet import UNet
from cn.pretrain.gpu import Gradient, warn
from cn.pretrain.session import MasterWeights, StageConfig

Step = Callable[[], Any]
BASE = PRESETS["scenes"].unet
NETS = {
    "64/96/96/128": BASE,
    "64/128/192/256": replace(BASE, channels=(64, 128, 192, 256)),
    "96/192/256/256": replace(BASE, channels=(96, 192, 256, 256)),
    "tiny": replace(BASE, channels=(32, 64), strides=(2,), attention_levels=(1,), res_blocks=1, context_dim=16),
}
SIDE, TOKENS = 32, 77
"""Latent cells along a side, for images of 256 pixels; tokens of a prompt."""
MOST_EXPENSIVE = 10


@dataclass(frozen=True)
class Way:
    """How a step is computed; all but the first two need a GPU."""

    channels_last: bool = True
    kernels: bool = False
    graph: bool = False
    compiled: bool = False
    session: bool = False
    """As pretraining does it: master weights in fp32, clipping and EMA, which the graph does not hold."""


WAYS = {
    "contiguous": Way(channels_last=False),
    "channels_last": Way(),
    "contiguous-graph": Way(channels_last=False, graph=True),
    "channels_last-graph": Way(graph=True),
    "compile": Way(compiled=True),
    "compile-graph": Way(compiled=True, graph=True),
    # Kernels last: they stay on.
    "kernels": Way(kernels=True),
    "kernels-graph": Way(kernels=True, graph=True),
    "kernels-session": Way(kernels=True, graph=True, session=True),
}


class Loss(nn.Module):
    """The mean squared error of a U-Net's prediction."""

    def __init__(self, config: UNetConfig):
        super().__init__()
        self.unet = UNet(config)

    def forward(self, z: Tensor, t: Tensor, text: Tensor, target: Tensor) -> Tensor:
        dtype = self.unet.decoder.conv_out.weight.dtype
        return F.mse_loss(self.unet(z.to(dtype), t, text.to(dtype)).float(), target)


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="bench_pretrain_step.py", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    device = "cuda" if torch.cuda.is_available() else "cpu"
    parser.add_argument("--device", default=device, help="default: %(default)s")
    parser.add_argument("--nets", nargs="+", choices=NETS, default=[net for net in NETS if net != "tiny"])
    parser.add_argument("--batches", nargs="+", type=int, default=[128, 512, 1024], help="images of a step")
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=list(WAYS))
    parser.add_argument("--steps", type=int, default=10, help="steps that are measured, after three")
    parser.add_argument(
        "--profile", nargs="*", choices=WAYS, default=["channels_last", "kernels"],
        help="ways whose most expensive kernels are shown, for the first network and the middle batch",
    )  # fmt: skip
    return parser.parse_args()


def make_step(config: UNetConfig, batch: int, way: Way, device: torch.device) -> Step:
    """One step of a new network. Raises RuntimeError where kernels are wanted and cannot be compiled."""
    torch.manual_seed(0)
    loss = Loss(config).to(device)
    if way.channels_last:
        loss.to(memory_format=torch.channels_last)
    if way.kernels:
        reason = use_training_kernels([loss], device, torch.bfloat16)
        if reason is not None:
            raise RuntimeError(reason)
    z, target = torch.randn(2, batch, config.in_channels, SIDE, SIDE, device=device)
    text = torch.randn(batch, TOKENS, config.context_dim, device=device)
    data = z, torch.randint(0, 1000, (batch,), device=device), text, target
    if way.session:
        return _session_step(loss, data)
    if device.type == "cuda":
        loss.bfloat16()
    optimizer = torch.optim.AdamW(loss.parameters(), lr=1e-4, fused=True, capturable=device.type == "cuda")
    compute = torch.compile(loss, dynamic=False) if way.compiled else loss

    def step() -> Tensor:
        optimizer.zero_grad(set_to_none=True)
        value = compute(*data)
        value.backward()
        optimizer.step()
        return value.detach()

    return CudaCapture()(step) if way.graph else step


def _session_step(loss: Loss, data: tuple[Tensor, ...]) -> Step:
    weights = MasterWeights(loss, StageConfig())
    gradient = Gradient(loss, weights.parameters, Graphs(warn))

    def step() -> Tensor:
        value = gradient(*data)
        weights.update(1e-4, 1000)
        return value

    return step


def seconds_of(step: Step, steps: int, device: torch.device) -> float:
    """The mean time of a step, without waiting for the device in between."""
    for _ in range(3):
        step()
    _wait(device)
    start = time.perf_counter()
    for _ in range(steps):
        step()
    _wait(device)
    return (time.perf_counter() - start) / steps


def expensive(step: Step, device: torch.device) -> list[tuple[str, int, float]]:
    """The kernels (on a CPU: operations) of a step that take longest: name, number, milliseconds."""
    on_gpu = device.type == "cuda"
    step()
    _wait(device)
    with profile(activities=[ProfilerActivity.CUDA if on_gpu else ProfilerActivity.CPU]) as profiled:
        step()
        _wait(device)
    found = []
    for event in profiled.key_averages():
        if on_gpu and event.device_type == DeviceType.CUDA and not event.is_user_annotation:
            found.append((event.key, event.count, event.self_device_time_total / 1000))
        elif not on_gpu:
            found.append((event.key, event.count, event.self_cpu_time_total / 1000))
    return sorted(found, key=lambda row: -row[2])


def measure(net: str, batch: int, name: str, args: argparse.Namespace) -> None:
    """Print a row for a way, and the most expensive kernels where they are asked for."""
    device, way = torch.device(args.device), WAYS[name]
    row = f"{net:>16} {batch:>6} {name:<20}"
    if device.type != "cuda" and way not in (WAYS["contiguous"], WAYS["channels_last"]):
        print(f"{row} on a GPU only", flush=True)
        return
    try:
        step = make_step(NETS[net], batch, way, device)
        seconds = seconds_of(step, args.steps, device)
    except torch.OutOfMemoryError:
        print(f"{row} out of memory", flush=True)
        return
    except RuntimeError as error:
        # Of a capture, of Triton, or of torch's compiler: the other ways are measured all the same.
        print(f"{row} failed: {str(error).splitlines()[0]}", flush=True)
        return
    memory = torch.cuda.max_memory_allocated() / 2**30 if device.type == "cuda" else 0
    print(f"{row} {1000 * seconds:>9.1f} {batch / seconds:>10,.0f} {memory:>7.1f}", flush=True)
    if name in args.profile and (net, batch) == (args.nets[0], args.batches[len(args.batches) // 2]):
        rows = expensive(step, device)
        total = sum(ms for _, _, ms in rows)
        print(f"\n{'ms':>8} {'share':>6} {'number':>7}  of {total:.1f} ms: {net}, batch {batch}, {name}")
        for key, count, ms in rows[:MOST_EXPENSIVE]:
            print(f"{ms:>8.2f} {ms / total:>6.1%} {count:>7}  {key[:110]}")
        print(flush=True)


def main() -> None:
    """Measure what the command line names."""
    args = parse()
    device = torch.device(args.device)
    torch.backends.cudnn.benchmark = True
    torch.set_float32_matmul_precision("high")
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU"
    print(f"torch {torch.__version__}, {name}")
    print(f"{'channels':>16} {'batch':>6} {'way':<20} {'ms a step':>9} {'samples/s':>10} {'GiB':>7}")
    for way in (way for way in WAYS if way in args.ways):
        for net in args.nets:
            for batch in args.batches:
                measure(net, batch, way, args)
                torch.compiler.reset()
                gc.collect()
                if device.type == "cuda":
                    torch.cuda.empty_cache()
                    torch.cuda.reset_peak_memory_stats()


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


if __name__ == "__main__":
    main()
