"""Bits that do not change: `--deterministic` on a GPU, and what a resumed run does not have in common with itself."""

import contextlib
import os
from collections.abc import Iterator, Mapping
from typing import Any

import torch

from cn.errors import UsageError
from cn.train.world import World

WORKSPACE, WORKSPACE_SIZE = "CUBLAS_WORKSPACE_CONFIG", ":4096:8"
"""cuBLAS adds in a fixed order only with a workspace of fixed size (its documentation, "Results reproducibility"). It
reads the variable when it starts."""


@contextlib.contextmanager
def deterministic(wanted: bool) -> Iterator[None]:
    """In the block, if `wanted`, torch uses deterministic algorithms only; its settings are restored afterwards.

    Flash and memory-efficient attention have deterministic backward passes, which torch then chooses; cuDNN's is off.
    Raises UsageError, naming the operation, where there is no deterministic algorithm on the device.
    """
    if not wanted:
        yield
        return
    cudnn, cuda = torch.backends.cudnn, torch.backends.cuda
    before = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
    switches = cudnn.benchmark, cudnn.deterministic, cuda.cudnn_sdp_enabled()
    variable = os.environ.get(WORKSPACE)
    os.environ.setdefault(WORKSPACE, WORKSPACE_SIZE)
    torch.use_deterministic_algorithms(True)
    cudnn.benchmark, cudnn.deterministic = False, True
    cuda.enable_cudnn_sdp(False)
    try:
        yield
    except RuntimeError as error:
        # torch has no class of its own for this.
        if "determinis" not in str(error):
            raise
        raise UsageError(f"--deterministic: {str(error).splitlines()[0]}; train without it") from error
    finally:
        torch.use_deterministic_algorithms(before[0], warn_only=before[1])
        cudnn.benchmark, cudnn.deterministic = switches[:2]
        cuda.enable_cudnn_sdp(switches[2])
        if variable is None:
            del os.environ[WORKSPACE]


def computed_by(device: torch.device, world: World) -> dict[str, Any]:
    """What the rounding of a run's sums depends on besides its options."""
    found: dict[str, Any] = {"device": device.type, "torch": torch.__version__, "processes": world.size}
    if device.type == "cpu":
        instructions = torch.backends.cpu.get_cpu_capability()
        return found | {"device": f"cpu with {instructions}", "threads": torch.get_num_threads()}
    return found | ({"device": torch.cuda.get_device_name(device)} if device.type == "cuda" else {})


def not_equal(before: Mapping[str, Any], now: Mapping[str, Any]) -> str | None:
    """What a resumed run says where its bits cannot be those of an uninterrupted one; None where they are."""
    changes = [f"{name}: {before[name]} → {now[name]}" for name in now if before.get(name, now[name]) != now[name]]
    if not changes:
        return None
    return (
        f"not computed as before ({'; '.join(changes)}): data, noise and learning rate stay the same, but sums are "
        "rounded otherwise, so the weights are not bit for bit those of an uninterrupted run"
    )
