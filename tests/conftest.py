"""Fixtures that several test files share: a tiny base in a file, and a small set of pairs."""

import json
import os
import signal
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from cn import images
from cn.checkpoints.write.native import save_base
from cn.conditions import ConditionInfo
from cn.detect.nets.hed import ControlNetHED
from cn.detect.nets.midas_small import MidasSmall
from cn.detect.nets.sketch import Anime2Sketch
from tests.golden.make_detectors_edges import fill
from tests.helpers.model_helpers import tiny_base

# Networks this small are faster on one thread, and many times so when the processors are busy. Programs that the tests
# start inherit it, so that their sums are rounded alike.
os.environ["OMP_NUM_THREADS"] = "1"
torch.set_num_threads(1)

# What a shell puts into the background starts with Ctrl-C ignored, and programs started from here would inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def tiny_base_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A whole base, 64×64 pixels, a second to train on; saved in half precision like the bundled one."""
    path = tmp_path_factory.mktemp("base") / "tiny.safetensors"
    save_base(path, tiny_base(), tokens=[0, 1, 2, 49406, 49407])
    return path


@pytest.fixture(scope="session")
def made_up(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Files of three networks with made-up weights, which load as the published ones do."""
    folder = tmp_path_factory.mktemp("weights")
    torch.manual_seed(0)
    networks: dict[str, nn.Module] = {
        "hed": fill(ControlNetHED()),
        "midas": MidasSmall(),
        "sketch": fill(Anime2Sketch()),
    }
    for name, network in networks.items():
        halves = {k: v.half() if v.is_floating_point() else v for k, v in network.state_dict().items()}
        save_file(halves, folder / f"{name}.safetensors")
    return {name: folder / f"{name}.safetensors" for name in networks}


def write_pairs(folder: Path, count: int, size: int = 64, kind: str | None = "depth") -> Path:
    """A pair set as `cn dataset synth` leaves it, with colored noise for pictures."""
    rng = np.random.default_rng(count)
    text = ConditionInfo(kind, "test").to_text() if kind else None
    lines = []
    for name in ("source", "target"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    for i in range(count):
        blocks = rng.integers(0, 256, (2, 8, 8, 3), dtype=np.uint8).repeat(size // 8, axis=1).repeat(size // 8, axis=2)
        images.write(folder / f"source/{i}.png", blocks[0], text)
        images.write(folder / f"target/{i}.png", blocks[1])
        lines.append(json.dumps({"source": f"source/{i}.png", "target": f"target/{i}.png", "prompt": f"image {i}"}))
    (folder / "prompt.json").write_text("\n".join(lines) + "\n")
    return folder


@pytest.fixture(scope="session")
def pair_set(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six depth pairs of 64×64 pixels (shared: never change it)."""
    return write_pairs(tmp_path_factory.mktemp("pairs"), 6)
