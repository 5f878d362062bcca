"""Measure converting and inspecting a full-size Stable Diffusion 1.5 against a plain copy: see `make bench`.

The file is generated: random numbers in half precision in the published layout (2.13 GB).
"""

import hashlib
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np

from cn.archives.write import Item, write_safetensors
from cn.checkpoints.checkpoint import table_of
from cn.checkpoints.layouts import BASE_PARTS, LDM_PREFIXES, LDM_TEXT_PREFIXES, KeyNaming
from cn.checkpoints.read.load import empty_base, shapes_of
from cn.model.config import PRESETS

_CHUNK = 1 << 20


def make_file(path: Path) -> None:
    """Write a Stable Diffusion 1.5 with random weights as one original file."""
    config = PRESETS["sd15"]
    networks = empty_base(config).networks
    numbers = (np.random.default_rng(0).standard_normal(_CHUNK) / 50).astype(np.float16)
    items: dict[str, Item] = {}
    for part in BASE_PARTS:
        naming: KeyNaming = "transformers" if part == "text" else "ldm"
        table = table_of(part, naming, config, None)
        prefix = LDM_PREFIXES[part] + LDM_TEXT_PREFIXES.get(naming, "")
        for ours, shape in shapes_of(networks[part]).items():
            theirs = table.translate(ours)
            piece = (shape[0] // len(theirs), *shape[1:])
            items |= {prefix + name: Item("F16", piece, partial(_chunks, numbers, piece)) for name in theirs}
    write_safetensors(path, items, {"format": "pt"})


def _chunks(numbers: np.ndarray, shape: tuple[int, ...]) -> Iterator[memoryview]:
    left = int(np.prod(shape))
    while left:
        count = min(left, len(numbers))
        yield numbers[:count].view(np.uint8).data
        left -= count


def copy_and_hash(source: Path, target: Path) -> float:
    """Seconds for a plain copy, synced to disk, and hashing the source."""
    start = time.perf_counter()
    shutil.copyfile(source, target)
    with open(target, "rb+") as file:
        os.fsync(file.fileno())
    with open(source, "rb") as file:
        hashlib.file_digest(file, "sha256")
    return time.perf_counter() - start


def measured(*words: object) -> tuple[float, int]:
    """Seconds and peak memory in bytes of one `cn` command, including start-up; it must succeed."""
    script = (
        "import resource, subprocess, sys; "
        "subprocess.run(sys.argv[1:], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE); "
        "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)"
    )
    command = [str(Path(sys.executable).with_name("cn")), *map(str, words)]
    start = time.perf_counter()
    done = subprocess.run([sys.executable, "-c", script, *command], check=True, capture_output=True, text=True)
    return time.perf_counter() - start, 1024 * int(done.stdout)
