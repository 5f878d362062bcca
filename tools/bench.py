"""Speed on this machine, as one table; run by `make bench`.

Each section is a function that yields rows; SECTIONS lists them. `make bench ONLY="decoders openpose"` runs some.
"""

import contextlib
import functools
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

CN = Path(sys.executable).with_name("cn")
STEP = Path(__file__).with_name("bench_step.py")


@dataclass(frozen=True)
class Row:
    """One line of the table; `goal` is the target, where there is one."""

    what: str
    measured: str
    goal: str = ""


def seconds(*words: object) -> float:
    """The wall time of one `cn` command, start-up included; it must succeed."""
    start = time.perf_counter()
    subprocess.run([str(CN), *map(str, words)], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    return time.perf_counter() - start


def help_rows() -> Iterator[Row]:
    """Start-up: `cn --help`, the median of seven, and whether it loads what is slow to load."""
    seconds("--help")
    yield Row("cn --help", f"{statistics.median(seconds('--help') for _ in range(7)):.2f} s", "≤ 0.4 s")
    script = "import sys; from cn import app; app.run(['--help']); sys.exit('torch' in sys.modules)"
    imported = subprocess.run([sys.executable, "-c", script], stdout=subprocess.DEVNULL).returncode
    yield Row("cn --help imports torch", "yes" if imported else "no", "no")


def detection_rows(name: str) -> Iterator[Row]:
    """`cn detect`: canny against plain code ("plain"), decoding people ("decoders"), or the methods of a kind."""
    import bench_detect as detection

    single = {"plain": detection.canny_rows, "decoders": detection.decoder_rows}
    rows = single[name]() if name in single else detection.kind_rows(name)
    yield from (Row(*row) for row in rows)


def synth_rows() -> Iterator[Row]:
    """The built-in scenes, written as a dataset by two processes, start-up included."""
    count = 200
    with tempfile.TemporaryDirectory() as folder:
        taken = seconds("dataset", "synth", Path(folder, "pairs"), "--count", count, "--cond", "canny", "--workers", 2)
    yield Row("cn dataset synth, 256×256, 2 workers", f"{count / taken:.1f} images/s", "≥ 20")


def dataset_rows(scale: bool = False) -> Iterator[Row]:
    """`cn dataset build` against `cn detect`, from shards and folders; `scale`: 100,000 images against 2,000."""
    import bench_dataset as dataset

    yield from (Row(*row) for row in (dataset.scale_rows() if scale else dataset.rows()))


def sample_rows() -> Iterator[Row]:
    """One image of 256×256 with the defaults (20 steps, guidance 9), start-up included: the median of three."""
    with tempfile.TemporaryDirectory() as folder:
        seconds("dataset", "synth", Path(folder, "pair"), "--count", 1, "--cond", "canny")
        condition = next(Path(folder, "pair", "source").iterdir())
        words = (
            "sample",
            "--cond",
            condition,
            "--prompt",
            "a red house on sand",
            "--overwrite",
            "--out",
            f"{folder}/a.png",
        )
        taken = statistics.median(seconds(*words) for _ in range(3))
        yield Row("cn sample, one image with control", f"{taken:.1f} s", "≤ 12 s")


def training_rows() -> Iterator[Row]:
    """Training steps at 256×256, batch 4, latents cached; rounds alternate, so that drift affects all alike."""
    kinds = ("control", "small-scale", "fine-tuning")
    found: dict[str, list[dict[str, float]]] = {kind: [] for kind in kinds}
    for _ in range(3):
        for kind in kinds:
            output = subprocess.run([sys.executable, STEP, kind], check=True, capture_output=True, text=True).stdout
            found[kind].append(json.loads(output))
    rate, memory = (
        {kind: statistics.median(run[name] for run in runs) for kind, runs in found.items()}
        for name in ("steps_per_second", "megabytes")
    )
    names = {"control": "ControlNet, all links", "small-scale": "small-scale (middle)", "fine-tuning": "whole U-Net"}
    for kind in kinds:
        yield Row(f"training step: {names[kind]}", f"{rate[kind]:.2f} steps/s, {memory[kind]:.0f} MB")
    time_ratio, memory_ratio = rate["fine-tuning"] / rate["control"], memory["control"] / memory["fine-tuning"]
    yield Row(
        "ControlNet over fine-tuning", f"{time_ratio:.2f} in time, {memory_ratio:.2f} in memory", "1.34, 1.23 (paper)"
    )
    yield Row("small-scale over all links", f"{rate['small-scale'] / rate['control']:.2f} in speed", "1.6 (paper)")


def archive_rows() -> Iterator[Row]:
    """Refusing a pickle of two million instructions, without start-up: the best of three."""
    from cn.archives.archive import open_archive
    from cn.errors import CnError

    def refuse(path: Path) -> float:
        start = time.perf_counter()
        with contextlib.suppress(CnError):
            open_archive(path)
        return time.perf_counter() - start

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "endless.ckpt")
        path.write_bytes(b"\x80\2" + b"(" * 2_000_000)
        yield Row("refusing an endless pickle", f"{min(refuse(path) for _ in range(3)):.2f} s", "≤ 1 s")


def checkpoint_rows() -> Iterator[Row]:
    """Converting and inspecting a Stable Diffusion 1.5 of 2.1 GB, start-up included: the best of three, in turn."""
    import bench_checkpoints as checkpoints

    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder, "sd15.safetensors"), Path(folder, "out.safetensors")
        checkpoints.make_file(source)
        size = source.stat().st_size
        plain: list[float] = []
        runs: dict[str, list[tuple[float, int]]] = {"native": [], "diffusers": []}
        for _ in range(3):
            plain.append(checkpoints.copy_and_hash(source, target))
            target.unlink()
            for layout, found in runs.items():
                out = target if layout == "native" else Path(folder, layout)
                found.append(checkpoints.measured("convert", source, out, "--to", layout, "--overwrite", "--quiet"))
            target.unlink()
        for layout, found in runs.items():
            taken, peak = min(found)[0], max(memory for _, memory in found)
            yield Row(
                f"cn convert --to {layout}, {size / 1e9:.2f} GB", f"{taken / min(plain):.2f} × copy and hash", "≤ 1.5"
            )
            yield Row(f"cn convert --to {layout}, peak memory", f"{peak / size:.2f} × the file", "≤ 1.3")
        taken = min(checkpoints.measured("inspect", source)[0] for _ in range(3))
        yield Row(f"cn inspect, {size / 1e9:.2f} GB, with its hash", f"{taken:.2f} s", "≤ 1.5 s")


DETECTION = (
    *("plain", "decoders", "canny", "hough", "hed", "scribble", "openpose", "openpifpaf", "ade20k", "coco", "depth"),
    "lineart",
)

SECTIONS: dict[str, Callable[[], Iterator[Row]]] = {
    "help": help_rows,
    **{name: functools.partial(detection_rows, name) for name in DETECTION},
    "synth": synth_rows,
    "dataset": dataset_rows,
    "dataset-scale": functools.partial(dataset_rows, scale=True),
    "sample": sample_rows,
    "training": training_rows,
    "archives": archive_rows,
    "checkpoints": checkpoint_rows,
}


def main() -> None:
    """Run all sections, or those that are named; "detect" stands for all of detection."""
    names = [name for word in sys.argv[1:] for name in (DETECTION if word == "detect" else (word,))] or [*SECTIONS]
    if unknown := [name for name in names if name not in SECTIONS]:
        sys.exit(f"no section is called {unknown[0]}; choose from detect, {', '.join(SECTIONS)}")
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    print(f"{platform.processor() or platform.machine()}, {cores} CPU cores, Python {platform.python_version()}\n")
    for name in names:
        for row in SECTIONS[name]():
            print(f"{row.what:<54} {row.measured:<60} {row.goal}".rstrip(), flush=True)


if __name__ == "__main__":
    main()
