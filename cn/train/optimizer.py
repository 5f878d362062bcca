"""The optimizer of a run."""

import logging
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

from cn.train.config import TrainConfig
from cn.train.distributed.sharded import local
from cn.train.networks import TrainingNetworks
from cn.train.options.checks import check_installed

MIN_8BIT, BLOCK_8BIT = 4096, 256
"""bitsandbytes: moments of smaller tensors stay in 32 bits; one scale for each block of so many numbers."""


def make_optimizer(networks: TrainingNetworks, config: TrainConfig) -> torch.optim.Optimizer:
    """AdamW over exactly the trainable parameters; the paper trains with its defaults (Fig. 21).

    AdamW is torch's fused one: one kernel for all parameters. AdamW with moments of 8 bits is bitsandbytes' (Dettmers
    et al. 2022), always with kernels of its own; tensors of fewer than 4,096 numbers keep
    moments of 32 bits. Raises UsageError where it is not installed.
    """
    parameters = list(networks.trainable.values())
    if config.optimizer == "adamw8bit":
        check_installed(config.optimizer)
        # It warns on import of 4-bit kernels, which nothing here uses.
        logging.getLogger("bitsandbytes").setLevel(logging.ERROR)
        from bitsandbytes.optim import AdamW8bit

        return AdamW8bit(
            parameters, lr=config.lr, betas=config.betas, eps=config.adam_eps, weight_decay=config.weight_decay
        )
    return LocalAdamW(
        parameters,
        lr=config.lr,
        betas=config.betas,
        eps=config.adam_eps,
        weight_decay=config.weight_decay,
        fused=networks.device.type in ("cpu", "cuda"),
    )


class LocalAdamW(torch.optim.AdamW):
    """AdamW of which each process updates its own part of distributed parameters, as it is elementwise.

    As distributed tensors, torch would look at each of a thousand in Python at every step, which takes longer than
    their update. The moments are distributed, too.
    """

    def _init_group(self, group: dict[str, Any], *lists: list[Tensor]) -> bool:
        """What torch's own `step` collects before it computes: parameters, gradients, moments and step counts."""
        is_complex = super()._init_group(group, *lists)
        for tensors in lists:
            tensors[:] = map(local, tensors)
        return is_complex


def moment_bytes(sizes: Iterable[int], config: TrainConfig) -> int:
    """What the optimizer keeps of parameters of these numbers of elements."""
    if config.optimizer == "adamw8bit":
        return sum(2 * (n + 4 * -(-n // BLOCK_8BIT)) if n >= MIN_8BIT else 8 * n for n in sizes)
    return 8 * sum(sizes)
