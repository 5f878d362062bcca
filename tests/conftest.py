"""Fixtures that several test files share: a tiny base in a file, and a small dataset; which tests are slow."""

import ctypes
import gc
import json
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from cn import images
from cn.checkpoints.write.native import save_base
from cn.conditions import ConditionInfo
from cn.model.config import ModelConfig
from tests.helpers.model_helpers import SHORT, SMALL, TINY, tiny_base

# Networks this small are faster on one thread, many times so when the CPU cores are busy. Programs that the tests start
# inherit the setting, so that their sums are rounded in the same way.
os.environ["OMP_NUM_THREADS"] = "1"
# Else torch's compiler starts a pool of processes that import torch, for a few small kernels.
os.environ["TORCHINDUCTOR_COMPILE_THREADS"] = "1"
torch.set_num_threads(1)

# A shell starts background jobs with Ctrl-C ignored, nohup ignores a hang-up, and programs that are started from here
# would inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)

SLOW = (
    *("dist", "pretrain", "reference", "train", "detect/nets", "test_fuzz.py"),
    *("checkpoints/test_convert_incomplete.py", "checkpoints/test_convert_layouts.py"),
    *("checkpoints/test_convert_refusals.py", "checkpoints/test_damaged.py", "weights/test_bundled_weights.py"),
    *("commands/test_detect_classes.py", "commands/test_detect_networks.py", "commands/test_detect_people.py"),
    *("commands/test_sample.py", "commands/test_train.py", "detect/run/test_batch.py", "test_hostile.py"),
    *("test_docs.py", "test_api.py", "test_paper.py", "commands/test_sample_failures.py", "commands/test_detect.py"),
    *("commands/test_detect_found.py", "commands/test_inspect.py", "detect/run/test_interruptions.py"),
    *("detect/lines/test_hed.py", "detect/lines/test_lineart.py", "detect/pose/test_pifpaf_files.py"),
    *(
        "eval/test_evaluate.py",
        "commands/test_eval.py",
        "test_kills.py",
        "model/test_generate.py",
        "checkpoints/test_transfer.py",
        "checkpoints/test_native.py",
    ),
)
"""Folders and files of tests that are slow as a whole, by measurement; elsewhere a test has the mark `slow` itself."""


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what is in SLOW, and run files with slow tests first, so that all processes are busy until the end."""
    places = [Path(__file__).parent / place for place in SLOW]
    if missing := [str(place) for place in places if not place.exists()]:
        raise pytest.UsageError(f"SLOW in tests/conftest.py names what does not exist: {', '.join(missing)}")
    files = {item.path for item in items}
    whole = {path for path in files if any(path.is_relative_to(place) for place in places)}
    for item in items:
        if item.path in whole:
            item.add_marker(pytest.mark.slow)
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


def pytest_collection_finish() -> None:
    """Leave out of garbage collection what lives until the end: half a million objects of libraries and tests, which
    each full collection would look at again, for a tenth of a second; a training run sets off several."""
    gc.collect()
    gc.freeze()


LARGE_CACHES = {"cn.detect.network": "_load", "tests.helpers.segmentation_cases": "filled"}
"""Modules with a cache of whole networks, hundreds of megabytes, of which the next file of tests uses none."""


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item, nextitem: pytest.Item | None) -> Iterator[object]:
    """Let go of the memory that a file needed: a process that runs half of the tests would hold 5 GB at the end.

    The program keeps its networks until it ends, and tests call it in this process. And glibc returns freed memory to
    the system only from the end of its heap, where something small always stays in use: two thirds of those 5 GB.
    """
    done = yield
    if nextitem is None or nextitem.path != item.path:
        for module, name in LARGE_CACHES.items():
            if module in sys.modules:
                getattr(sys.modules[module], name).cache_clear()
        if trim := getattr(ctypes.CDLL(None), "malloc_trim", None):
            trim(0)
    return done


@pytest.fixture(scope="session")
def tiny_base_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A complete base of 64×64 pixels with few blocks, which trains in a second; in half precision, as the bundled one.

    Files of tests that need all blocks of Stable Diffusion have `tiny_sd_file` under this name, and those that need
    its sides `small_sd_file`.
    """
    return _saved_base(tmp_path_factory, SHORT)


@pytest.fixture(scope="session")
def tiny_sd_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same with the 12 + 1 + 12 blocks of Stable Diffusion, and sides that are multiples of 64."""
    return _saved_base(tmp_path_factory, TINY)


@pytest.fixture(scope="session")
def small_sd_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same with one block at each level: it samples in half of the time."""
    return _saved_base(tmp_path_factory, SMALL)


def _saved_base(folders: pytest.TempPathFactory, config: ModelConfig) -> Path:
    path = folders.mktemp("base") / "tiny.safetensors"
    save_base(path, tiny_base(config), tokens=[0, 1, 2, 49406, 49407])
    return path


@pytest.fixture(scope="session")
def made_up(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Weights files of three networks with made-up values, which load as the published ones do."""
    # Here: timm takes seconds, and few tests need it.
    from cn.detect.nets.hed import ControlNetHED
    from cn.detect.nets.midas_small import MidasSmall
    from cn.detect.nets.sketch import Anime2Sketch
    from tests.golden.make_detectors_edges import fill

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
    """A dataset as `cn dataset synth` writes it, with gray noise for maps and colored noise for images."""
    rng = np.random.default_rng(count)
    text = ConditionInfo(kind, "test").to_text() if kind else None
    lines = []
    for name in ("source", "target"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    for i in range(count):
        blocks = rng.integers(0, 256, (2, 8, 8, 3), dtype=np.uint8).repeat(size // 8, axis=1).repeat(size // 8, axis=2)
        images.write(folder / f"source/{i}.png", blocks[0, ..., 0], text)
        images.write(folder / f"target/{i}.png", blocks[1])
        lines.append(json.dumps({"source": f"source/{i}.png", "target": f"target/{i}.png", "prompt": f"image {i}"}))
    (folder / "prompt.json").write_text("\n".join(lines) + "\n")
    return folder


@pytest.fixture(scope="session")
def pair_set(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six depth pairs of 64×64 pixels (shared: never change it)."""
    return write_pairs(tmp_path_factory.mktemp("pairs"), 6)
