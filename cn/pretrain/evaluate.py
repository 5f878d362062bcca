"""Stage "evaluate": scores and sample images on held-out scenes, and the report that is kept with the weights."""

import json
import platform
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch

from cn.checkpoints.read.load import Control
from cn.data.maps import condition_map
from cn.eval.control_score import control_score
from cn.files import write_atomic
from cn.images import grid, write
from cn.model.base import Base
from cn.model.generate import Request, Sampling, generate, to_hint, to_images
from cn.model.guidance import ControlInput
from cn.pretrain.autoencoder import reconstruction_psnr
from cn.pretrain.pool import as_input
from cn.scenes import caption, describe, render


class HeldOut:
    """`count` scenes of the evaluation seed with their captions and conditions."""

    def __init__(self, seed: int, count: int, size: int):
        self.seed, self.size = seed, size
        self.scenes = [describe(seed, i) for i in range(count)]
        self.views = [render(scene, size) for scene in self.scenes]
        self.captions = [caption(scene) for scene in self.scenes]
        self.rgb = torch.from_numpy(np.stack([view.rgb for view in self.views])).permute(0, 3, 1, 2)

    def conditions(self, kind: str) -> list[np.ndarray]:
        """The condition maps, uint8 (h, w, 3), Canny with its default thresholds."""
        return [condition_map(view, kind) for view in self.views]


def sample_all(
    base: Base, held_out: HeldOut, prompts: list[str], control: Control | None, batch_size: int
) -> list[np.ndarray]:
    """One image a scene with the paper's settings, seeds 0, 1, 2, …"""
    sampling = Sampling(held_out.size, held_out.size)
    requests = [Request(prompt, seed) for seed, prompt in enumerate(prompts)]
    inputs = []
    if control is not None and control.kind is not None:
        hints = [to_hint(c, base.device, base.dtype) for c in held_out.conditions(control.kind)]
        inputs = [ControlInput(control.model, torch.cat(hints[: len(prompts)]))]
    return list(generate(base, requests, sampling, inputs, batch_size=batch_size))


def evaluate(
    base: Base, controls: list[Control], held_out: HeldOut, folder: Path, *, batch_size: int
) -> dict[str, Any]:
    """PSNR of the autoencoder and the control score of every control; writes contact sheets into `folder`."""
    rgb = held_out.rgb.to(base.device)
    with torch.no_grad():
        decoded = [to_images(base.vae.decode(base.vae.encode(as_input(part)).mean)) for part in rgb.split(batch_size)]
    reconstructions = list(np.concatenate(decoded))
    figures: dict[str, Any] = {"psnr_db": round(reconstruction_psnr(base.vae, rgb), 2), "scenes": len(rgb)}
    edges = held_out.conditions("canny")
    columns = {"image": [v.rgb for v in held_out.views], "autoencoder": reconstructions}
    for control in [None, *controls]:
        samples = sample_all(base, held_out, held_out.captions, control, batch_size)
        score = control_score(edges, samples, reconstructions)
        name = control.kind if control is not None and control.kind else "prompt alone"
        figures[name] = {
            "control_score": round(score.score, 3),
            "f1_samples": round(score.samples, 3),
            "f1_mismatched": round(score.mismatched, 3),
            "f1_reconstructions": round(score.reconstructions, 3),
        }
        if control is not None:
            columns[f"{name} map"] = held_out.conditions(name)
        columns[name] = samples
        print(name, figures[name], flush=True)
    for first in range(0, min(len(rgb), 24), 8):
        rows = [column[i] for i in range(first, min(first + 8, len(rgb))) for column in columns.values()]
        write(folder / f"held-out-{first:02d}.jpg", grid(rows, column_titles=list(columns), cell=192))
    return figures


def hardware(device: torch.device) -> str:
    """The GPU's name, or the CPU's with the number of threads."""
    if device.type == "cuda":
        return torch.cuda.get_device_name()
    names = [line.partition(":")[2].strip() for line in _lines(Path("/proc/cpuinfo")) if line.startswith("model name")]
    return f"{names[0] if names else platform.machine()}, {torch.get_num_threads()} threads"


def _lines(path: Path) -> list[str]:
    return path.read_text().splitlines() if path.exists() else []


def write_report(path: Path, figures: dict[str, Any], stages: dict[str, Any], device: torch.device) -> None:
    """Write the JSON report of the weights: steps, training time and hardware of each stage, and scores."""
    report = {
        "date": datetime.now(UTC).date().isoformat(),
        "evaluated_on": hardware(device),
        "torch": torch.__version__.split("+")[0],
        "stages": stages,
        "figures": figures,
    }
    write_atomic(path, (json.dumps(report, indent=2) + "\n").encode())
