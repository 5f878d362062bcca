"""How fast it is on this machine: one table. Run by `make bench`.

Each section is a function that gives rows; SECTIONS lists them.
"""

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

import numpy as np
from PIL import Image

CN = Path(sys.executable).with_name("cn")
PHOTOGRAPHS = 200


@dataclass(frozen=True)
class Row:
    """One line of the table; `goal` is what is aimed at, where something is."""

    what: str
    measured: str
    goal: str = ""


def seconds(*words: object) -> float:
    """How long one `cn` command takes, start-up included; it has to succeed."""
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


def canny_rows() -> Iterator[Row]:
    """`cn detect canny` on a folder of photographs, start-up included."""
    with tempfile.TemporaryDirectory() as folder:
        photographs = Path(folder, "photographs")
        pixels = make_photographs(photographs)
        for workers in (1, 2):
            out = Path(folder, f"edges-{workers}")
            taken = seconds("detect", "canny", photographs, out, "--workers", workers, "--quiet")
            assert len(list(out.iterdir())) == PHOTOGRAPHS
            what = f"cn detect canny, {workers} worker{'s' * (workers > 1)}"
            yield Row(what, f"{PHOTOGRAPHS / taken:.0f} images/s ({pixels / taken / 1e6:.0f} megapixels/s)")


def make_photographs(folder: Path) -> int:
    """PHOTOGRAPHS JPEG files: scikit-image's, turned and resized; gives their pixels in all."""
    from skimage import data

    originals = [data.astronaut(), data.coffee(), data.chelsea(), data.rocket()]
    folder.mkdir()
    rng = np.random.default_rng(0)
    pixels = 0
    for number in range(PHOTOGRAPHS):
        original = Image.fromarray(originals[number % len(originals)])
        factor = rng.uniform(0.7, 1.5)
        image = original.resize((round(original.width * factor), round(original.height * factor)))
        image = image.rotate(rng.uniform(-10, 10), expand=False)
        image.save(folder / f"{number:03}.jpg", quality=90)
        pixels += image.width * image.height
    return pixels


SECTIONS: tuple[Callable[[], Iterator[Row]], ...] = (help_rows, canny_rows)


def main() -> None:
    processors = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    print(
        f"{platform.processor() or platform.machine()}, {processors} processors, Python {platform.python_version()}\n"
    )
    for section in SECTIONS:
        for row in section():
            print(f"{row.what:<36} {row.measured:<36} {row.goal}".rstrip(), flush=True)


if __name__ == "__main__":
    main()
