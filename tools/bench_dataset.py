"""Rows of `make bench` about `cn dataset`: building against detecting alone, shards against folders, many images."""

import statistics
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from PIL import Image

CN = Path(sys.executable).with_name("cn")
PHOTOGRAPHS, ROUNDS = 1000, 3
FEW, MANY = 2_000, 100_000
"""Small images for the growth of time and memory."""


def photographs(folder: Path, count: int, side: int = 512) -> None:
    """JPEGs of side × side pixels: parts of scikit-image's photographs."""
    from skimage import data

    sources = [Image.fromarray(getattr(data, name)()).convert("RGB") for name in ("astronaut", "coffee", "chelsea")]
    folder.mkdir()
    for number in range(count):
        source = sources[number % len(sources)]
        width, height = source.size
        part = min(width, height) - number % 97
        left, top = number * 7 % (width - part + 1), number * 3 % (height - part + 1)
        image = source.crop((left, top, left + part, top + part)).resize((side, side), Image.Resampling.BICUBIC)
        image.save(folder / f"{number:06d}.jpg", quality=90)
        (folder / f"{number:06d}.txt").write_text(f"photograph number {number}\n")


def shards(folder: Path, out: Path, size: int = 100) -> None:
    """The same images as WebDataset shards."""
    out.mkdir()
    paths = sorted(folder.glob("*.jpg"))
    for start in range(0, len(paths), size):
        with tarfile.open(out / f"{start // size:05d}.tar", "w") as tar:
            for path in paths[start : start + size]:
                tar.add(path, path.name)
                tar.add(path.with_suffix(".txt"), f"{path.stem}.txt")


def run(*words: object) -> float:
    """Wall seconds of one command, start-up included; it must succeed."""
    start = time.perf_counter()
    subprocess.run([str(CN), *map(str, words)], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    return time.perf_counter() - start


def rows() -> Iterator[tuple[str, str, str]]:
    """Canny at 512 × 512, two workers: rounds alternate, so that drift affects all alike."""
    taken: dict[str, list[float]] = {"detect": [], "build": [], "shards": []}
    with tempfile.TemporaryDirectory() as folder:
        photos, tars = Path(folder, "photos"), Path(folder, "tars")
        photographs(photos, PHOTOGRAPHS)
        shards(photos, tars)
        options = ("--cond", "canny", "--workers", 2, "-q")
        for number in range(ROUNDS):
            out = Path(folder, f"out{number}")
            detect = ("--random-thresholds", "--workers", 2, "-q")
            taken["detect"].append(run("detect", "canny", photos, out / "maps", *detect))
            taken["build"].append(run("dataset", "build", photos, out / "build", *options))
            taken["shards"].append(run("dataset", "build", tars, out / "shards", *options))
    seconds = {name: statistics.median(times) for name, times in taken.items()}
    rate = {name: PHOTOGRAPHS / value for name, value in seconds.items()}
    yield (
        "cn dataset build canny over cn detect canny, 512×512",
        f"{rate['build'] / rate['detect']:.2f} ({rate['build']:.0f} and {rate['detect']:.0f} images/s)",
        "≥ 0.9",
    )
    yield (
        "the same from WebDataset shards over from a folder",
        f"{rate['shards'] / rate['build']:.2f} ({rate['shards']:.0f} images/s)",
        "≥ 1",
    )


def scale_rows() -> Iterator[tuple[str, str, str]]:
    """Time and memory of 100,000 small images over those of 2,000."""
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        for count in (FEW, MANY):
            photos = Path(folder, str(count))
            photographs(photos, count, 64)
            found[count] = _measured("dataset", "build", photos, Path(folder, f"out{count}"), "--resolution", 64)
    (few_seconds, few_memory), (many_seconds, many_memory) = found[FEW], found[MANY]
    ratio = (many_seconds / MANY) / (few_seconds / FEW)
    yield (f"cn dataset build, {MANY:,} images over {FEW:,}", f"{ratio:.2f} × the time an image", "≤ 1.1")
    yield ("the same, peak memory", f"{few_memory:.0f} MB → {many_memory:.0f} MB", "flat but for the names")


def _measured(*words: object) -> tuple[float, float]:
    """Wall seconds and peak memory in MB of one command."""
    script = (
        "import resource, subprocess, sys, time; start = time.perf_counter(); "
        "subprocess.run(sys.argv[1:], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL); "
        "print(time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)"
    )
    command = [sys.executable, "-c", script, str(CN), *map(str, words), "--cond", "canny", "--workers", "2", "-q"]
    seconds, memory = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
    return float(seconds), int(memory) / (1024 if sys.platform != "darwin" else 1 << 20)
