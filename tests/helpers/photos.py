"""Small photographs of different content, sizes and formats, and datasets that are built of them."""

import json
from pathlib import Path
from typing import Any

import numpy as np

from cn import images


def photo(number: int, width: int = 96, height: int = 80) -> np.ndarray:
    """An image (height, width, 3) with edges: smooth shapes on a gradient, different ones for each number."""
    rng = np.random.default_rng(number)
    y, x = np.mgrid[:height, :width]
    base = np.stack([x * 255 / width, y * 255 / height, np.full((height, width), rng.integers(40, 200))], axis=-1)
    for _ in range(4):
        cy, cx, radius = rng.integers(0, height), rng.integers(0, width), rng.integers(8, max(9, height // 3))
        base[(y - cy) ** 2 + (x - cx) ** 2 < radius**2] = rng.integers(0, 255, 3)
    return base.astype(np.uint8)


def write_photos(folder: Path, count: int, suffixes: tuple[str, ...] = (".jpg", ".png"), **size: int) -> Path:
    """`count` images 000.jpg, 001.png …, each with a caption in a text file."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        path = folder / f"{number:03d}{suffixes[number % len(suffixes)]}"
        images.write(path, photo(number, **size))
        path.with_suffix(".txt").write_text(f"shapes, number {number}\n")
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    """Every file of a dataset, by its path, but those that say when it was built."""
    files = {p.relative_to(folder).as_posix(): p for p in sorted(folder.rglob("*")) if p.is_file()}
    return {name: path.read_bytes() for name, path in files.items() if not name.startswith("build/runs/")}


def dataset_of(folder: Path) -> dict[str, bytes]:
    """What a dataset is: every file but those that a build keeps for itself, which name the source."""
    return {name: data for name, data in contents(folder).items() if not name.startswith("build/")} | {
        "dataset.json": b""
    }


def statuses(folder: Path) -> dict[str, dict[str, Any]]:
    """The statuses of a build, by the names of the images."""
    lines = [line for path in sorted((folder / "build/status").iterdir()) for line in path.read_bytes().splitlines()]
    return {record["name"]: record for record in map(json.loads, lines)}


def records(folder: Path, kind: str | None = None) -> list[dict[str, Any]]:
    """The lines of prompt.json."""
    path = folder / "prompt.json" if kind is None else folder / kind / "prompt.json"
    return [json.loads(line) for line in path.read_bytes().splitlines()]
