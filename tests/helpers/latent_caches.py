"""Caches of latents on the tiny base, and what runs make of them."""

import json
from pathlib import Path
from typing import Any

from cn import images
from cn.data.pairs import open_pairs
from cn.train.cache.job import CacheJob, open_job
from cn.train.cache.make import Report
from tests.helpers.training import begin

PAPER = {"lr": 1e-5}
"""At the paper's learning rate, steps do not multiply what rounding changes: AdamW's first steps have the same size
however small the gradient."""


def make(
    data: Path, base: Path, *, size: int = 64, precision: Any = "fp32", batch_size: int = 1, text: bool = True
) -> tuple[CacheJob, Report]:
    job = open_job(open_pairs(data), base, size=size, precision=precision, device="cpu", text=text)
    return job, job.run(batch_size=batch_size, workers=0)


def listing(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def losses(run: Path) -> list[float]:
    return [json.loads(line)["loss"] for line in (run / "metrics.jsonl").read_text().splitlines()]


def change(path: Path) -> None:
    """Another image of the same size, so that the file has another content."""
    image = images.read(path)
    image[:8] = 7
    images.write(path, image)


def used(data: Path, base: Path, folder: Path, **given: Any) -> tuple[bool, str]:
    """Whether a run takes a cache, and what it says about it."""
    task = begin(folder, base, data, steps=1, **given)
    return task.cache is not None, " ".join(task.findings.warnings)
