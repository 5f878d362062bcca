"""`--fit`: batch size, accumulation, checkpointing and optimizer for a memory budget, at the least loss of speed."""

from bisect import bisect_left
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path

import torch

from cn.errors import UsageError
from cn.model.config import ModelConfig
from cn.train.config import TrainConfig
from cn.train.fast.choice import choose_way
from cn.train.memory import estimate_memory, shape_networks
from cn.units import bytes_text, parse_bytes

AUTO = "auto"
_PROGRAM = {"cpu": 900_000_000, "cuda": 600_000_000}
"""What a process takes without networks, as measured: Python with torch's libraries; the CUDA context."""
_USABLE = 0.95
"""The share of a budget that is planned with: allocators lose some to fragments."""


@dataclass(frozen=True)
class Budget:
    """`total` bytes, of which `usable` are for the run besides the program itself."""

    total: int
    usable: int


def budget_of(text: str, device: torch.device) -> Budget:
    """The budget that a person gave, or with "auto" what is free on the device now, before networks are loaded.

    Raises UsageError where that is not known.
    """
    if text != AUTO:
        total = parse_bytes(text)
        return Budget(total, round(_USABLE * total) - _PROGRAM.get(device.type, 0))
    free = _free_bytes(device)
    return Budget(free, round(_USABLE * free))


def _free_bytes(device: torch.device) -> int:
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    try:
        lines = dict(line.split(":") for line in Path("/proc/meminfo").read_text().splitlines())
        return int(lines["MemAvailable"].split()[0]) * 1024
    except (OSError, KeyError):
        raise UsageError(f"--fit auto: the free memory of {device} is not known here; give it, as --fit 12GB") from None


def fitted(
    base: ModelConfig,
    config: TrainConfig,
    given: Collection[str],
    budget: Budget,
    device: torch.device,
    *,
    kept: int,
    encoded: Callable[[TrainConfig], int],
    local: bool = True,
) -> tuple[TrainConfig, str]:
    """The run's configuration within a budget, and in words what was chosen.

    Options that are `given` stay, and so does the number of images per optimizer step. Of the others, in this order: as
    many images at once as fit; activations recomputed; moments of 8 bits (on CUDA, where bitsandbytes is installed).
    CUDA graphs are left out where they would not fit too; gradients are `local` as for `choose_way`.
    `kept` bytes of latents stay in memory, and `encoded` is what `estimate_memory` takes. Raises UsageError, which says
    how much is needed at least, where nothing fits.
    """

    def need(candidate: TrainConfig, *, captured: bool = False) -> int:
        later = replace(candidate, large_scale_after=0)
        return estimate_memory(base, later, device, encoded=encoded(candidate), captured=captured).total + kept

    least: tuple[int, TrainConfig] | None = None
    for batches in _ways(config, given, device):
        # The more images, the more memory: the largest that fits, by bisection.
        found = batches[-1] if need(batches[-1]) <= budget.usable else None
        if found is None:
            count = bisect_left(batches, True, key=lambda candidate: need(candidate) > budget.usable)
            found = batches[count - 1] if count else None
        if found is not None:
            captured = _is_captured(base, found, device, local=local)
            if captured and "compile" not in given and need(found, captured=True) > budget.usable:
                found, captured = replace(found, compile=False), False
            return found, f"{_words(found)}: {_of(budget, need(found, captured=captured))}"
        smallest = (need(batches[0]), batches[0])
        least = smallest if least is None or smallest[0] < least[0] else least
    assert least is not None
    raise UsageError(_too_little(least[0], least[1], given, budget))


def _is_captured(base: ModelConfig, config: TrainConfig, device: torch.device, *, local: bool) -> bool:
    """Whether the run's steps become a CUDA graph, as far as it is known before its networks are loaded."""
    if device.type != "cuda":
        return False
    return choose_way(shape_networks(base, config), config, config.steps, device, local=local).captured


def _ways(config: TrainConfig, given: Collection[str], device: torch.device) -> Iterator[list[TrainConfig]]:
    """Configurations that differ in the batch size alone, the smallest first; a list for each way to save memory."""
    changes: list[dict[str, object]] = [{}]
    if "checkpoint_activations" not in given:
        changes.append({"checkpoint_activations": True})
    if "optimizer" not in given and device.type == "cuda" and find_spec("bitsandbytes") is not None:
        changes.append({**changes[-1], "optimizer": "adamw8bit"})
    for change in changes:
        yield [replace(config, **{**sizes, **change}) for sizes in _batches(config, given)]  # type: ignore[arg-type]


def _batches(config: TrainConfig, given: Collection[str]) -> list[dict[str, int]]:
    if {"batch_size", "accumulate"} & set(given):
        return [{"batch_size": config.batch_size}]
    images = config.global_batch or config.batch_size * config.accumulate
    sizes = [n for n in range(1, config.batch_size + 1) if images % n == 0]
    return [{"batch_size": n, "accumulate": images // n} for n in sizes]


def _words(config: TrainConfig) -> str:
    batch = f"batch {config.batch_size}" + (f" × {config.accumulate} accumulated" if config.accumulate > 1 else "")
    more = [
        *(["activations recomputed"] if config.checkpoint_activations else []),
        *(["AdamW with moments of 8 bits"] if config.optimizer == "adamw8bit" else []),
        *(["no CUDA graphs"] if config.compile is False else []),
    ]
    return ", ".join([batch, *more])


def _of(budget: Budget, need: int) -> str:
    """The program's own memory is part of a budget that was given."""
    program = round(_USABLE * budget.total) - budget.usable
    with_program = " with the program itself" if program else ""
    return f"about {bytes_text(need + program)}{with_program} of {bytes_text(budget.total)}"


def _too_little(need: int, config: TrainConfig, given: Collection[str], budget: Budget) -> str:
    program = round(_USABLE * budget.total) - budget.usable
    advice = [
        *(["--small-scale"] if config.links == "full" and "links" not in given else []),
        f"a --size below {config.size}",
        *(["no --large-scale"] if config.unlock != "none" else []),
        *(["--global-batch instead of --batch-size, so that it can be divided"] if config.batch_size > 1 else []),
    ]
    return (
        f"--fit: {bytes_text(budget.total)} are too little; this run needs about "
        f"{bytes_text((need + program) / _USABLE)} at least, with {_words(config)}. Less take: {', '.join(advice)}"
    )
