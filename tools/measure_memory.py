"""Estimated against measured memory of training runs on this device, each in a process of its own.

    python tools/measure_memory.py [--base NAME|PATH|sd15] [--device cuda] [OPTION=VALUE,OPTION=VALUE ...]

Each word is one run, by the names in a run's config.toml: `batch_size=4,precision=bf16`. Without any, a table of usual
ones. `--base sd15` is Stable Diffusion's size with random weights. On a CPU the measure is the peak of the resident
memory (Linux), above what the same process holds after a tiny run: libraries, kernels, tokenizer. On a GPU it is
the most that torch has reserved, beside what was allocated of it: graphs hold memory that is not in use.
"""

import argparse
import contextlib
import ctypes
import gc
import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import torch

from cn.checkpoints.read.load import open_base
from cn.checkpoints.write.native import save_base
from cn.devices import choose_device
from cn.model.base import Base
from cn.model.config import PRESETS
from cn.train import run, task
from cn.train.fast.choice import MIN_CAPTURED, choose_way
from cn.train.memory import estimate_memory
from cn.train.networks import choose_precision
from cn.weights.bundled import BASE_NAME, find

USUAL = (
    *("batch_size=1", "batch_size=4", "batch_size=8"),
    *("batch_size=1,precision=bf16", "batch_size=4,precision=bf16", "batch_size=8,precision=bf16"),
    *("batch_size=4,checkpoint_activations=true", "batch_size=8,precision=bf16,checkpoint_activations=true"),
    *("batch_size=4,links=middle", "batch_size=4,unlock=all", "batch_size=4,unlock=decoder"),
    *("batch_size=4,accumulate=2", "batch_size=2,accumulate=2,checkpoint_activations=true", "batch_size=4,ema=0.99"),
    "batch_size=1,preview_every=2",
)
STEPS, STEPS_ON_GPU = 3, MIN_CAPTURED + 5
"""On a GPU as many as are captured in a graph."""


def options_of(text: str) -> dict[str, Any]:
    """`batch_size=4,unlock=all` → names and values."""
    pairs = (word.split("=", 1) for word in text.split(",") if word)
    found: dict[str, Any] = {}
    for name, value in pairs:
        try:
            found[name] = json.loads(value)
        except ValueError:
            found[name] = value
    return found


def kilobytes(name: str) -> int:
    """A number of /proc/self/status: VmRSS, VmHWM (its peak)."""
    found = re.search(rf"{name}:\s+(\d+)", Path("/proc/self/status").read_text())
    assert found is not None
    return int(found[1])


def train(folder: Path, given: dict[str, Any], device: torch.device) -> None:
    """A run on the built-in scenes: two micro-batches of images at least are encoded, later ones are remembered."""
    steps = STEPS if device.type == "cpu" else STEPS_ON_GPU
    given = {"cond": "canny", "preview_every": 0, "steps": steps, "scenes": 2 * given["batch_size"], **given}
    planned = task.begin(folder, given, device, overwrite=True)
    run.plan(planned)
    run.train(planned, workers=0)


def measure(given: dict[str, Any], device: torch.device) -> dict[str, float]:
    """Run it in this process; bytes."""
    with tempfile.TemporaryDirectory() as folder:
        train(Path(folder), {**given, "base": BASE_NAME, "batch_size": 1, "size": 64, "steps": 2}, device)
        gc.collect()
        if device.type == "cuda":
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats()
        else:
            ctypes.CDLL(None).malloc_trim(0)
            Path("/proc/self/clear_refs").write_text("5")  # Resets VmHWM.
        before = kilobytes("VmRSS")
        train(Path(folder), given, device)
    if device.type == "cuda":
        return {"peak": torch.cuda.max_memory_reserved(), "allocated": torch.cuda.max_memory_allocated()}
    return {"peak": 1024 * (kilobytes("VmHWM") - before), "program": 1024 * before}


def estimate(given: dict[str, Any], device: torch.device) -> int:
    steps = STEPS if device.type == "cpu" else STEPS_ON_GPU  # As in `train`: too short for evaluations.
    given = {"precision": choose_precision("auto", device), "steps": steps, **given}
    with tempfile.TemporaryDirectory() as folder:
        planned = task.begin(Path(folder), {"cond": "canny", "preview_every": 0, **given}, torch.device("cpu"))
    captured = choose_way(planned.networks, planned.config, steps, device, local=True).captured
    base = open_base(find(given["base"], role="base")).config
    return estimate_memory(base, planned.config, device, captured=captured).total


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="*", default=USUAL, metavar="OPTION=VALUE,...")
    parser.add_argument("--base", default=BASE_NAME)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--one", action="store_true", help=argparse.SUPPRESS)
    words = parser.parse_args()
    device = choose_device(words.device)
    with contextlib.ExitStack() as stack:
        base = words.base
        if base == "sd15":
            base = str(Path(stack.enter_context(tempfile.TemporaryDirectory())) / "sd15.safetensors")
            save_base(Path(base), Base.create(PRESETS["sd15"]))
        if words.one:
            print(json.dumps(measure({**options_of(words.runs[0]), "base": base}, device)))
            return
        print(f"{'run':58} {'estimate':>9} {'measured':>9} {'error':>7}", flush=True)
        for text in words.runs:
            given = {**options_of(text), "base": base}
            command = [sys.executable, __file__, "--one", "--base", base, "--device", str(device), text]
            found = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)
            expected = estimate(given, device)
            rest = ", ".join(f"{name} {value / 1e6:,.0f}" for name, value in found.items() if name != "peak")
            error = expected / found["peak"] - 1
            print(f"{text:58} {expected / 1e6:9,.0f} {found['peak'] / 1e6:9,.0f} {error:7.1%}  MB ({rest})", flush=True)


if __name__ == "__main__":
    main()
