"""Training steps on one GPU against diffusers' and against fine-tuning: seconds, memory, ratios; written as it goes.

`python tools/bench_train.py --out DIR [--only SECTION ...] [--theirs FOLDER]`; without a GPU, tiny networks show that
it works. Sections: synchronization, small (the bundled base), eager, fast (captured, compiled), channels-last,
fine-tuning, encoding, waits (with a real dataset), evaluations.
"""

import argparse
import gc
import statistics
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from unittest import mock

import torch

sys.path.insert(0, str(Path(__file__).parent))
import bench_train_steps as steps
from bench_train_steps import Setting, Step

from cn.data.pairs import open_pairs
from cn.train import latent_batches, run, task
from cn.train.fast import locked
from cn.train.latent_batches import micro_batches
from cn.train.recorder import Recorder
from cn.train.run_data import open_source

CUDA = torch.cuda.is_available()
DEVICE = torch.device("cuda" if CUDA else "cpu")
LARGE, SMALL = ("sd15", "scenes") if CUDA else ("tiny", "tiny")
BATCHES = (4, 16) if CUDA else (1,)
SMALL_BATCHES = (4, 32) if CUDA else (1,)
WARM_UP, STEPS, ROUNDS = (4, 12, 3) if CUDA else (0, 1, 1)
GIB = 2**30


def wait() -> None:
    """Until the device has done all that it was given."""
    if CUDA:
        torch.cuda.synchronize()


def measured(make: Callable[[], Step], count: int = STEPS) -> tuple[float, float, float]:
    """(seconds a step, GiB at most, seconds of the first step): the median of rounds of `count` steps.

    Memory is what the allocator has reserved: graphs hold theirs also while nothing is computed in it.
    """
    gc.collect()
    if CUDA:
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
    step = make()
    start = time.perf_counter()
    step()
    wait()
    first = time.perf_counter() - start
    for _ in range(WARM_UP):
        step()
    rounds = []
    for _ in range(ROUNDS):
        wait()
        start = time.perf_counter()
        for _ in range(count):
            step()
        wait()
        rounds.append((time.perf_counter() - start) / count)
    memory = torch.cuda.max_memory_reserved() / GIB if CUDA else 0.0
    return statistics.median(rounds), memory, first


class Table:
    """Writes each row when it is known, and keeps seconds and memory for the ratios."""

    def __init__(self, out: Path):
        out.mkdir(parents=True, exist_ok=True)
        self.file = (out / "bench_train.txt").open("a", encoding="utf-8")
        self.found: dict[str, tuple[float, float]] = {}

    def write(self, line: str) -> None:
        print(line, flush=True)
        print(line, file=self.file, flush=True)

    def add(self, name: str, make: Callable[[], Step], count: int = STEPS) -> None:
        """Measure a step; what cannot be measured is said."""
        try:
            seconds, memory, first = measured(make, count)
        except (ImportError, torch.OutOfMemoryError) as error:
            self.write(f"{name:44} not measured: {str(error).splitlines()[0]}")
            return
        self.found[name] = seconds, memory
        self.write(f"{name:44} {seconds:8.4f} s  {memory:6.2f} GiB  first step {first:6.1f} s")

    def ratio(self, what: str, a: str, b: str, goal: str = "") -> None:
        """Seconds and memory of `a` over those of `b`, where both are known."""
        if a in self.found and b in self.found:
            (s, m), (t, n) = self.found[a], self.found[b]
            memory = f", memory {m / n:.2f}" if n else ""
            self.write(f"  {what}: time {s / t:.3f} ({t / s:.2f} × as fast){memory}  {goal}")


def eager(table: Table, theirs: Path | None) -> None:
    """Without compilation: theirs, ours, ours as it was, small-scale, fine-tuning."""
    for batch in BATCHES:
        base = Setting(LARGE, batch)
        as_before = replace(base, off=frozenset({"held", "norms", "fused", "embeddings", "asynchronous"}))
        rows = {
            "diffusers": partial(steps.their_step, base, DEVICE, theirs),
            "ours": partial(steps.our_step, base, DEVICE),
            "ours, latents cached": partial(steps.our_step, replace(base, encode=False), DEVICE),
            "ours, norms in fp32": partial(steps.our_step, replace(base, off=frozenset({"norms"})), DEVICE),
            "ours as it was": partial(steps.our_step, as_before, DEVICE),
            "small-scale": partial(steps.our_step, replace(base, links="middle"), DEVICE),
            "fine-tuning": partial(steps.fine_tuning_step, base, DEVICE),
        }
        for name, make in rows.items():
            table.add(f"batch {batch}: {name}", make)
        table.ratio("ours / diffusers", f"batch {batch}: ours", f"batch {batch}: diffusers")
        table.ratio("ours / fine-tuning", f"batch {batch}: ours", f"batch {batch}: fine-tuning", "goal 0.95, 0.80")
        table.ratio("small-scale / all links", f"batch {batch}: small-scale", f"batch {batch}: ours")


def fast(table: Table, theirs: Path | None) -> None:
    """Steps and encoding that are captured in CUDA graphs, or compiled, or both."""
    for batch, goal in zip(BATCHES, ("goal 1.5 ×, memory 1", "goal 1.3 ×, memory 1"), strict=False):
        base = Setting(LARGE, batch)
        table.add(f"batch {batch}: diffusers", partial(steps.their_step, base, DEVICE, theirs))
        for engine in ("captured", "compiled", "both") if CUDA else ("compiled",):
            table.add(f"batch {batch}: {engine}", partial(steps.our_step, replace(base, engine=engine), DEVICE))
            table.ratio(f"{engine} / diffusers", f"batch {batch}: {engine}", f"batch {batch}: diffusers", goal)


def channels_last(table: Table, theirs: Path | None) -> None:
    """Compiled steps with the locked weights in the other order of memory."""
    for batch in BATCHES:
        last = Setting(LARGE, batch, "compiled", channels_last=True)
        table.add(f"batch {batch}: compiled, channels last", partial(steps.our_step, last, DEVICE))


def encoding(table: Table, theirs: Path | None) -> None:
    """Encoding a batch of images to latents: as it is, in the other order of memory, compiled."""
    for order, ways in (
        (torch.contiguous_format, ("plain", "compiled")),
        (torch.channels_last, ("plain", "compiled")),
    ):
        base = steps.make_base(LARGE, DEVICE).lock()
        locked.hold(base.vae.encoder.to(memory_format=order), torch.bfloat16, returns=torch.float32)
        for way in ways:
            encode = torch.compile(base.vae.encode, dynamic=False) if way == "compiled" else base.vae.encode
            for batch in BATCHES:
                x = torch.rand(batch, 3, base.config.image_size, base.config.image_size, device=DEVICE)
                with torch.no_grad():
                    name = f"encoding {batch} images: {way}, {str(order).split('.')[1]}"
                    table.add(name, partial(partial, encode, x.to(memory_format=order)))


def fine_tuning(table: Table, theirs: Path | None) -> None:
    """A ControlNet against fine-tuning the whole U-Net by the same means, at the larger batch."""
    for engine in ("captured", "both") if CUDA else ("compiled",):
        base = Setting(LARGE, BATCHES[-1], engine)
        table.add(f"{engine}: ours", partial(steps.our_step, base, DEVICE))
        table.add(f"{engine}: fine-tuning", partial(steps.fine_tuning_step, base, DEVICE))
        table.ratio("ours / fine-tuning", f"{engine}: ours", f"{engine}: fine-tuning", "goal 0.95, 0.80")


def small(table: Table, theirs: Path | None) -> None:
    """The bundled base: a captured graph, and what each improvement is worth."""
    everything = frozenset({"held", "norms", "fused", "embeddings", "asynchronous"})
    for batch in SMALL_BATCHES:
        base = Setting(SMALL, batch, "captured" if CUDA else "plain", encode=False)
        name = f"bundled base, batch {batch}"
        table.add(f"{name}: as it was", partial(steps.our_step, replace(base, engine="plain", off=everything), DEVICE))
        table.add(f"{name}: now", partial(steps.our_step, base, DEVICE), 5 * STEPS if CUDA else STEPS)
        table.add(f"{name}: no graph", partial(steps.our_step, replace(base, engine="plain"), DEVICE))
        for what in sorted(everything):
            table.add(f"{name}: no {what}", partial(steps.our_step, replace(base, off=frozenset({what})), DEVICE))
        table.ratio("now / as it was", f"{name}: now", f"{name}: as it was", "goal 5 ×")


def waits(table: Table, theirs: Path | None) -> None:
    """The share of a step in which the GPU waits for images of a dataset folder, decoded and encoded each time."""
    setting = Setting(LARGE, BATCHES[-1])
    trainer = steps.our_trainer(setting, DEVICE)
    base, config = trainer.networks.base, trainer.config
    count = 12 * BATCHES[-1] if CUDA else 4
    with tempfile.TemporaryDirectory() as folder:
        steps.write_pairs(Path(folder), count, config.size)
        config = replace(config, data=(folder,), steps=3 * STEPS + WARM_UP, cache=False)
        source, _ = open_source(config, [open_pairs(folder, "canny")])
        latent_batches.CACHE_BYTES = 0
        workers = latent_batches.default_workers(DEVICE)
        stream = micro_batches(source, base, config, 0, workers=workers, skip=print)
        same = steps.batches(base, setting)
        found = {}
        for name, batches in (("the same images", same), ("dataset folder", stream)):
            for _ in range(WARM_UP):
                trainer.take_step(batches).numbers()
            found[name] = timed(trainer, batches, 2 * STEPS)
        stream.close()
    for name, seconds in found.items():
        table.write(f"batch {setting.batch}, {name} ({workers} workers): {seconds:.4f} s a step")
    share = max(0.0, 1 - found["the same images"] / found["dataset folder"])
    table.write(f"  waiting for data: {share:.1%} of the time  goal 5 %")


def evaluations(table: Table, theirs: Path | None) -> None:
    """The share of a run on the bundled base in which it is evaluated and previewed, with its default options."""
    spent: dict[str, float] = defaultdict(float)

    def measured_method(name: str) -> Callable[[Recorder], None]:
        method = getattr(Recorder, name)

        def call(self: Recorder) -> None:
            wait()
            start = time.perf_counter()
            method(self)
            wait()
            spent[name] += time.perf_counter() - start

        return call

    for batch in SMALL_BATCHES:
        spent.clear()
        with (
            tempfile.TemporaryDirectory() as folder,
            mock.patch.multiple(Recorder, **{name: measured_method(name) for name in ("evaluate", "preview")}),
        ):
            given = {"cond": "canny", "steps": 1500 if CUDA else 50, "batch_size": batch, "scenes": 256 if CUDA else 8}
            planned = task.begin(Path(folder), given, DEVICE)
            start = time.perf_counter()
            run.train(planned)
            whole = time.perf_counter() - start
        shares = ", ".join(f"{name} {seconds:.1f} s = {seconds / whole:.1%}" for name, seconds in spent.items())
        table.write(f"bundled base, batch {batch}, {given['steps']} steps: {whole:.1f} s, {shares}  goal 10 %")


def timed(trainer: object, batches: Iterator, count: int) -> float:
    """Seconds a step, with numbers read a step late as in the training loop."""
    pending = []
    wait()
    start = time.perf_counter()
    for _ in range(count):
        pending.append(trainer.take_step(batches))  # type: ignore[attr-defined]
        if len(pending) > 1:
            pending.pop(0).numbers()
    wait()
    return (time.perf_counter() - start) / count


def synchronization(table: Table, theirs: Path | None) -> None:
    """Steps in which torch raises an error where the program would wait for the GPU."""
    for engine in ("plain", "captured") if CUDA else ("plain",):
        trainer = steps.our_trainer(Setting(SMALL, 4, engine), DEVICE)
        stream = steps.batches(trainer.networks.base, Setting(SMALL, 4))
        for _ in range(WARM_UP):
            trainer.take_step(stream).numbers()
        if CUDA:
            torch.cuda.set_sync_debug_mode("error")
        try:
            pending = [trainer.take_step(stream) for _ in range(4)]
        finally:
            if CUDA:
                torch.cuda.set_sync_debug_mode("default")
        losses = ", ".join(f"{step.numbers()[0]:.4f}" for step in pending)
        table.write(f"four {engine} steps without waiting: losses {losses}")


SECTIONS = {
    "synchronization": synchronization,
    "small": small,
    "eager": eager,
    "fast": fast,
    "channels-last": channels_last,
    "fine-tuning": fine_tuning,
    "encoding": encoding,
    "waits": waits,
    "evaluations": evaluations,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("bench"))
    parser.add_argument("--only", nargs="+", choices=SECTIONS, default=list(SECTIONS))
    parser.add_argument("--theirs", type=Path, help="A folder with diffusers, such as an unpacked wheel.")
    given = parser.parse_args()
    table = Table(given.out)
    card = torch.cuda.get_device_name() if CUDA else "CPU, tiny networks"
    table.write(f"{card}, torch {torch.__version__}, {time.strftime('%Y-%m-%d')}, bf16")
    for name in given.only:
        table.write(f"\n{name}")
        SECTIONS[name](table, given.theirs)


if __name__ == "__main__":
    main()
