"""How training scales over the GPUs of a machine: images a second, memory, communication; written as it goes.

`torchrun --nproc-per-node N tools/bench_scaling.py --out DIR [--only SECTION ...]`; on the CPU with tiny networks it
shows that it works. Rank 0 measures one process alone first, while the others wait. Sections: weak, strong, large,
small, shard, compiled, data, saves, rounds.
"""

import argparse
import gc
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch.profiler import DeviceType, ProfilerActivity, profile

sys.path.insert(0, str(Path(__file__).parent))
import bench_train_steps as steps
from bench_train_steps import Setting

from cn.data.pairs import open_pairs
from cn.train import latent_batches
from cn.train.distributed.checkpoint import save_shards
from cn.train.distributed.group import joined
from cn.train.latent_batches import LatentBatch, default_workers, micro_batches
from cn.train.networks import assemble, fresh_control
from cn.train.run_data import open_source
from cn.train.trainer import Trainer
from cn.train.world import ALONE, World

CUDA = torch.cuda.is_available()
BASE, BATCH = ("sd15", 16) if CUDA else ("tiny", 2)
WARM_UP, STEPS, PROFILED = (5, 10, 4) if CUDA else (1, 2, 1)
GIB = 2**30


@dataclass(frozen=True)
class Case:
    """What is measured: options of a run, and the batches of a step in each process."""

    name: str
    batch: int
    given: dict[str, object]
    accumulate: int = 1

    @property
    def images(self) -> int:
        """Images of a step in each process."""
        return self.batch * self.accumulate


@dataclass(frozen=True)
class Measured:
    """Seconds a step, GiB at most, and the shares of the time in NCCL: at all, and while nothing else is computed."""

    seconds: float
    gib: float
    nccl: float
    exposed: float


def device_of(world: World) -> torch.device:
    return torch.device(world.device or ("cuda" if CUDA else "cpu"))


def make_trainer(case: Case, world: World) -> Trainer:
    """A trainer as `cn train` has it, with random weights of Stable Diffusion 1.5's size."""
    torch.manual_seed(0)
    device = device_of(world)
    base = steps.make_base(BASE, device)
    precision = "bf16" if CUDA else "fp32"
    config = steps.config_of(base, Setting(BASE, case.batch), device, precision=precision, **case.given)
    config = replace(config, accumulate=case.accumulate, global_batch=case.images * world.size)
    networks = assemble(base, fresh_control(base, config).to(device), config)
    return Trainer(networks, config, 0, world, warn=lambda message: print(message, file=sys.stderr))


def taken(trainer: Trainer, batches: Iterator[LatentBatch], count: int) -> float:
    """Seconds a step, with numbers read a step late as in the training loop."""
    pending = []
    wait()
    start = time.perf_counter()
    for _ in range(count):
        trainer.world.exchange()  # As the loop does before each step.
        pending.append(trainer.take_step(batches))
        if len(pending) > 1:
            pending.pop(0).numbers()
    for step in pending:
        step.numbers()
    wait()
    return (time.perf_counter() - start) / count


def wait() -> None:
    if CUDA:
        torch.cuda.synchronize()


def measure(case: Case, world: World) -> Measured:
    """A case in the processes of `world`; latents are encoded at each step."""
    gc.collect()
    if CUDA:
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
    trainer = make_trainer(case, world)
    batches = steps.batches(trainer.networks.base, Setting(BASE, case.batch))
    taken(trainer, batches, max(1, WARM_UP // case.accumulate))
    count = max(1, STEPS // case.accumulate)
    seconds = statistics.median(taken(trainer, batches, count) for _ in range(3))
    gib = torch.cuda.max_memory_allocated() / GIB if CUDA else 0.0
    nccl, exposed = communication(trainer, batches) if CUDA and world.size > 1 else (0.0, 0.0)
    return Measured(seconds, gib, nccl, exposed)


def communication(trainer: Trainer, batches: Iterator[LatentBatch]) -> tuple[float, float]:
    """Shares of the time in which kernels of NCCL run, and in which none but those do."""
    with profile(activities=[ProfilerActivity.CUDA, ProfilerActivity.CPU]) as found:
        taken(trainer, batches, PROFILED)
    kernels = [event for event in found.events() if event.device_type == DeviceType.CUDA]
    spans = {True: list[tuple[float, float]](), False: list[tuple[float, float]]()}
    for event in kernels:
        spans["nccl" in event.name.lower()].append((event.time_range.start, event.time_range.end))
    everything = spans[True] + spans[False]
    if not everything:
        return 0.0, 0.0
    whole = max(end for _, end in everything) - min(start for start, _ in everything)
    nccl = length(spans[True]) / whole
    return nccl, (length(everything) - length(spans[False])) / whole


def length(spans: list[tuple[float, float]]) -> float:
    """What spans cover together."""
    total, reached = 0.0, float("-inf")
    for start, end in sorted(spans):
        total += max(0.0, end - max(start, reached))
        reached = max(reached, end)
    return total


class Table:
    """Writes each row when it is known, in rank 0."""

    def __init__(self, out: Path, world: World):
        self.world = world
        self.alone: dict[str, Measured] = {}
        self.file = None
        if world.is_main:
            out.mkdir(parents=True, exist_ok=True)
            self.file = (out / "bench_scaling.txt").open("a", encoding="utf-8")

    def write(self, line: str) -> None:
        if self.file is not None:
            print(line, flush=True)
            print(line, file=self.file, flush=True)

    def compare(self, case: Case, one: Case | None = None) -> None:
        """Measure a case in one process, or `one` there, and then in all."""
        one = one or case
        key = f"{one.batch} {one.accumulate} {sorted(one.given.items())}"
        if self.world.is_main and key not in self.alone:
            self.alone[key] = measure(one, replace(ALONE, device=self.world.device))
            self.row(f"{one.name}, 1 process", one.images, self.alone[key])
        self.world.barrier()
        found = measure(case, self.world)
        everyone = self.world.exchange([found.seconds, found.gib])
        images = case.images * self.world.size
        self.row(f"{case.name}, {self.world.size} processes", images, found, max(gib for _, gib in everyone))
        if self.world.is_main:
            before = self.alone[key]
            faster = (images / found.seconds) / (one.images / before.seconds)
            self.write(
                f"  {faster:.2f} × as many images a second ({faster / self.world.size:.0%} of {self.world.size} ×)"
            )

    def row(self, name: str, images: int, found: Measured, gib: float | None = None) -> None:
        shares = f"  NCCL {found.nccl:5.1%}, alone {found.exposed:5.1%}" if found.nccl else ""
        rate = images / found.seconds
        self.write(
            f"{name:44} {found.seconds:8.4f} s {rate:8.1f} images/s {gib or found.gib:6.2f} GiB per process{shares}"
        )


def data(table: Table, world: World) -> None:
    """The share of a step in which the slowest process waits for images of a dataset folder."""
    case = Case("DDP", BATCH, {})
    trainer = make_trainer(case, world)
    base = trainer.networks.base
    with tempfile.TemporaryDirectory() as folder:
        steps.write_pairs(Path(folder), 40 * BATCH if CUDA else 4, trainer.config.size)
        config = replace(trainer.config, data=(folder,), steps=3 * STEPS + WARM_UP, cache=False)
        source, _ = open_source(config, (open_pairs(folder, "canny"),))
        latent_batches.CACHE_BYTES = 0
        workers = default_workers(base.device, world.local_size)
        stream = micro_batches(source, base, config, 0, workers=workers, skip=print, per_step=world.size, world=world)
        found = {}
        for name, batches in (("the same images", steps.batches(base, Setting(BASE, BATCH))), ("a folder", stream)):
            taken(trainer, batches, WARM_UP)
            found[name] = taken(trainer, batches, 2 * STEPS)
            table.write(f"DDP on {name} ({workers} workers a process): {found[name]:.4f} s a step")
        stream.close()
    share = max(0.0, 1 - found["the same images"] / found["a folder"])
    table.write(f"  waiting for data: {share:.1%} of the time  goal 5 %")


def saves(table: Table, world: World) -> None:
    """What a state of sharded weights costs: its parts written by all, and the weights gathered for one file."""
    trainer = make_trainer(Case("large-scale", BATCH, {"unlock": "all"}), world)
    taken(trainer, steps.batches(trainer.networks.base, Setting(BASE, BATCH)), 1)
    with tempfile.TemporaryDirectory() as folder:
        for name in ("parts of the moments written", "weights gathered"):
            world.barrier()
            start = time.perf_counter()
            if name == "weights gathered":
                trainer.parallel.whole(trainer.networks, world, torch.device("cpu"))
            elif trainer.parallel.sharded:
                save_shards(Path(folder), trainer.state_tensors(), world)
            world.barrier()
            table.write(f"large-scale: {name}: {time.perf_counter() - start:.2f} s")


def rounds(table: Table, world: World) -> None:
    """What it costs that all processes agree before a step."""
    world.barrier()
    start = time.perf_counter()
    for _ in range(1000):
        world.exchange()
    table.write(f"agreeing on a step: {time.perf_counter() - start:.3f} ms")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    sections = ("weak", "strong", "large", "small", "shard", "data", "saves", "rounds", "compiled")
    parser.add_argument("--only", nargs="+", choices=sections, default=sections if CUDA else sections[:-1])
    arguments = parser.parse_args()
    with joined("auto") as world:
        table = Table(arguments.out, world)
        device = torch.cuda.get_device_name(device_of(world)) if CUDA else "CPU"
        table.write(f"{world.size} × {device}, torch {torch.__version__}, {BASE}, {time.strftime('%Y-%m-%d')}")
        # 128 images in all: 8 batches of one process, or one each of 8 processes.
        cases = {
            "weak": (Case("DDP", BATCH, {}), None),
            "strong": (Case("DDP, 8 batches in all", BATCH, {}, 8 // world.size), Case("8 batches", BATCH, {}, 8)),
            "large": (Case("FSDP2, large-scale", BATCH, {"unlock": "all"}), None),
            "small": (Case("batch 4, by itself", 4, {"compile": None, "steps": 1000}), None),
            "shard": (Case("FSDP2, --shard-base", BATCH, {"shard_base": True}), Case("DDP", BATCH, {})),
            "compiled": (Case("DDP, compiled", BATCH, {"compile": True}), None),
        }
        others = {"data": data, "saves": saves, "rounds": rounds}
        for name in arguments.only:
            if name in cases:
                table.compare(*cases[name])
            else:
                others[name](table, world)


if __name__ == "__main__":
    main()
