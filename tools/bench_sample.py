"""Sampling on one GPU against diffusers' pipeline: seconds an image, ratios, the time to the first image.

    python tools/bench_sample.py [--out DIR] [--only SECTION ...] [--theirs FOLDER]

One control, 512×512, 20 DDIM steps, guidance 9, half precision, Stable Diffusion 1.5's size with random weights; the
text is encoded and images arrive on the CPU as uint8. Sections: theirs, theirs-compiled, ours, compiled, saving (64
images as PNG files, and the share of the time that is sampling), first (`cn sample` from its start, with its parts).
Without a GPU, tiny networks show that it works.
"""

import argparse
import importlib
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).parent))
from bench_train_steps import make_base

from cn import images
from cn.checkpoints.read.load import Control
from cn.checkpoints.write.native import save_base, save_control
from cn.model.base import Base
from cn.model.controlnet import ControlNet
from cn.model.generate import Request, Sampling
from cn.sample.batches import ControlSetting, Settings, Wanted, sample_batches
from cn.sample.options import SpeedOptions
from cn.sample.output_paths import OutputPaths
from cn.sample.pipeline import SamplingPipeline, engine_of
from cn.sample.request import Condition, SampleRequest
from cn.sample.run import Job, sample
from cn.sample.speed import JobSize, make_engine

CUDA = torch.cuda.is_available()
DEVICE = torch.device("cuda" if CUDA else "cpu")
NAME, SIDE, DTYPE = ("sd15", 512, torch.float16) if CUDA else ("tiny", 64, torch.float32)
STEPS, BATCHES, ROUNDS = (20, (1, 8), 3) if CUDA else (2, (1, 2), 1)
PROMPT = "a red house in a meadow"


class Table:
    """Writes each row when it is known, and keeps seconds for the ratios."""

    def __init__(self, out: Path):
        out.mkdir(parents=True, exist_ok=True)
        self.file = (out / "bench_sample.txt").open("a", encoding="utf-8")
        self.found: dict[str, float] = {}

    def write(self, line: str) -> None:
        print(line, flush=True)
        print(line, file=self.file, flush=True)

    def add(self, name: str, batch: int, run: Callable[[], Any]) -> None:
        """Measure seconds an image: the least of some rounds, after one that compiles and captures."""
        start = time.perf_counter()
        run()
        first, rounds = time.perf_counter() - start, []
        for _ in range(ROUNDS):
            start = time.perf_counter()
            run()
            rounds.append(time.perf_counter() - start)
        seconds = self.found[f"{name} {batch}"] = min(rounds) / batch
        memory = torch.cuda.max_memory_reserved() / 2**30 if CUDA else 0.0
        ratio = self.found.get(f"diffusers {batch}", 0.0) / seconds
        against = f"  {ratio:.2f} × as fast as diffusers" if ratio and name != "diffusers" else ""
        self.write(
            f"batch {batch}: {name:22} {seconds:7.3f} s an image, first {first:6.1f} s, {memory:5.1f} GiB{against}"
        )


def networks() -> tuple[Base, ControlNet]:
    base = make_base(NAME, DEVICE)
    control = ControlNet.from_unet(base.unet, condition_encoder="released").to(DEVICE).requires_grad_(False)
    for network in (*base.networks.values(), control):
        network.to(DTYPE).eval()
    return base.lock(), control


def wanted(control: ControlNet, count: int) -> list[Wanted]:
    rng = np.random.default_rng(0)
    hint = rng.integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)
    settings = Settings(Sampling(SIDE, SIDE, STEPS), (ControlSetting(control),))
    return [Wanted(Request(PROMPT, seed), settings, (hint,)) for seed in range(count)]


def ours(table: Table, given: argparse.Namespace, *, compiled: bool | None = None) -> None:
    """As `cn sample` does by itself, and with --no-compile."""
    for batch in BATCHES:
        # Anew: the first way leaves the layout of the weights as it is.
        base, control = networks()
        job = JobSize(base, (control,), (SIDE, SIDE), batch, STEPS)
        ways = {"cn --no-compile": False, "cn": None} if compiled is None else {"cn --compile": True}
        for name, compile in ways.items():
            engine = make_engine(job, batch, SpeedOptions(compile=compile), DEVICE, print)
            items = wanted(control, batch)
            table.add(
                name, batch, lambda o=base, i=items, e=engine, b=batch: list(sample_batches(o, i, e, b, lambda n: None))
            )


def compiled(table: Table, given: argparse.Namespace) -> None:
    """With --compile."""
    ours(table, given, compiled=True)


def theirs(table: Table, given: argparse.Namespace, *, compiled: bool = False) -> None:
    """diffusers' StableDiffusionControlNetPipeline, as it is; raises ImportError where it is not installed."""
    if given.theirs is not None:
        sys.path.insert(0, str(given.theirs))
    diffusers, transformers = importlib.import_module("diffusers"), importlib.import_module("transformers")
    sizes = make_base(NAME, torch.device("meta")).config
    with DEVICE:
        unet = diffusers.UNet2DConditionModel(
            block_out_channels=sizes.unet.channels, cross_attention_dim=sizes.unet.context_dim
        )
        vae = diffusers.AutoencoderKL(
            block_out_channels=sizes.vae.channels, layers_per_block=2,
            down_block_types=("DownEncoderBlock2D",) * 4, up_block_types=("UpDecoderBlock2D",) * 4,
        )  # fmt: skip
        text = transformers.CLIPTextModel(
            transformers.CLIPTextConfig(
                hidden_size=sizes.text.width, intermediate_size=4 * sizes.text.width,
                num_hidden_layers=sizes.text.layers, num_attention_heads=sizes.text.heads, projection_dim=768,
            )
        )  # fmt: skip
        controlnet = diffusers.ControlNetModel.from_unet(unet)
    for network in (unet, vae, text, controlnet):
        network.to(DTYPE).eval()
    scheduler = diffusers.DDIMScheduler(
        beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", clip_sample=False, steps_offset=1
    )
    if compiled:
        unet, controlnet = (torch.compile(network, mode="reduce-overhead") for network in (unet, controlnet))
    pipe = diffusers.StableDiffusionControlNetPipeline(
        vae, text, None, unet, controlnet, scheduler, None, None, requires_safety_checker=False
    )
    pipe.set_progress_bar_config(disable=True)
    ids = torch.randint(0, 49408, (1, 77), device=DEVICE)
    hint = torch.rand(1, 3, SIDE, SIDE, device=DEVICE, dtype=DTYPE)

    @torch.inference_mode()
    def run(batch: int) -> object:
        embedded, empty = (text(ids)[0].expand(batch, -1, -1) for _ in range(2))
        return pipe(
            prompt_embeds=embedded, negative_prompt_embeds=empty, image=hint.expand(batch, -1, -1, -1),
            num_inference_steps=STEPS, guidance_scale=9.0, output_type="np",
        )  # fmt: skip

    for batch in BATCHES[:1] if compiled else BATCHES:
        table.add("diffusers compiled" if compiled else "diffusers", batch, lambda b=batch: run(b))


def theirs_compiled(table: Table, given: argparse.Namespace) -> None:
    """The same with torch.compile(mode="reduce-overhead"), one image."""
    theirs(table, given, compiled=True)


def saving(table: Table, given: argparse.Namespace) -> None:
    """64 images in batches: the networks alone, and as `cn sample` writes them; the least of some rounds each."""
    base, control = networks()
    count, batch = (64, BATCHES[-1]) if CUDA else (4, 2)
    hint = np.random.default_rng(0).integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)
    condition = Condition(image=hint, name="hint", control="control")
    request = SampleRequest(prompts=(PROMPT,), conditions=(condition,), count=count, size=(SIDE, SIDE), steps=STEPS)
    one = SamplingPipeline.open(request, base=base, controls={"control": Control(control, "canny")})
    speed = SpeedOptions(batch_size=batch)
    engine, seconds = engine_of([one], speed, print, count), dict[bool, list[float]]()
    with tempfile.TemporaryDirectory() as name:
        paths = OutputPaths(tuple(str(Path(name) / f"{number}.png") for number in range(count)), None)
        for files in (False, True) * (ROUNDS + 1):
            start = time.perf_counter()
            if files:
                deque(sample(Job((one,), paths, speed), engine=engine), maxlen=0)
            else:
                deque(sample_batches(base, one.wanted(), engine, batch, lambda n: None), maxlen=0)
            seconds.setdefault(files, []).append(time.perf_counter() - start)
    # The first round of each compiles and captures.
    without, with_files = (min(seconds[files][1:]) for files in (False, True))
    share = f"{without / with_files:.1%} of the time is sampling"
    rounds = ", ".join(f"{value:.2f}" for value in seconds[True][1:])
    table.write(
        f"{count} images, batch {batch}: {with_files:.2f} s with PNG files ({rounds}), {without:.2f} s without: {share}"
    )


def first(table: Table, given: argparse.Namespace) -> None:
    """`cn sample` in a process of its own, with a base and a control in half precision; then its parts."""
    base, control = networks()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        save_base(folder / "base.safetensors", base)
        save_control(folder / "control.safetensors", control, kind="canny", base_sha256="")
        del base, control
        images.write(folder / "edges.png", np.zeros((SIDE, SIDE, 3), np.uint8))
        words = [
            *("sample", "--base", folder / "base.safetensors", "--control", folder / "control.safetensors"),
            *("--cond", folder / "edges.png", "--prompt", PROMPT, "--steps", STEPS, "--size", f"{SIDE}x{SIDE}", "-q"),
        ]
        for number in range(2):
            start = time.perf_counter()
            command = [sys.executable, "-m", "cn", *map(str, words), "--out", str(folder / f"{number}.png")]
            subprocess.run(command, check=True)
            table.write(f"first image, try {number + 1}: {time.perf_counter() - start:.1f} s")
        load = (
            "import torch; from pathlib import Path; from cn.checkpoints.read.load import open_base; "
            f"open_base(Path({str(folder / 'base.safetensors')!r}), torch.device({DEVICE.type!r}), {DTYPE})"
        )
        parts = {
            "Python and torch": "import torch",
            "all that is imported": "import cn.sample.pipeline, cn.sample.run",
            "the device's first use": f"import torch; torch.zeros(1, device={DEVICE.type!r})",
            "the base in memory": load,
        }
        for what, code in parts.items():
            start = time.perf_counter()
            subprocess.run([sys.executable, "-c", code], check=True)
            table.write(f"  {what}: {time.perf_counter() - start:.1f} s")


SECTIONS = {
    "theirs": theirs,
    "ours": ours,
    "compiled": compiled,
    "saving": saving,
    "first": first,
    "theirs-compiled": theirs_compiled,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("bench"))
    parser.add_argument("--only", nargs="+", choices=SECTIONS, default=list(SECTIONS))
    parser.add_argument("--theirs", type=Path, help="A folder with diffusers, such as an unpacked wheel.")
    given = parser.parse_args()
    table = Table(given.out)
    card = torch.cuda.get_device_name() if CUDA else "CPU, tiny networks"
    table.write(f"{card}, torch {torch.__version__}, {time.strftime('%Y-%m-%d')}, {str(DTYPE)[6:]}")
    for name in given.only:
        try:
            SECTIONS[name](table, given)
        except ImportError as error:
            table.write(f"{name}: not measured: {error}")
        if CUDA:
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats()


if __name__ == "__main__":
    main()
