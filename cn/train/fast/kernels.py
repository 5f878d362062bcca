"""Kernels for GPUs in training steps: `--kernels`."""

from collections.abc import Callable

from cn.model.kernel_choice import use_training_kernels, without_training_kernels
from cn.precision import dtype_of
from cn.train.config import TrainConfig
from cn.train.networks import TrainingNetworks


def prepare_kernels(
    networks: TrainingNetworks, config: TrainConfig, warn: Callable[[str], None], *, local: bool
) -> None:
    """Let U-Net and control of a run in half precision on a GPU use them, where that is asked for and possible.

    Called before anything copies the weights (the optimizer, averages, replicas), which then have the same layout.
    Without `local` (`World.is_local`) weights may be distributed tensors, which kernels do not read. `warn` is told
    where the run goes on without them.
    """
    # Those of an earlier run in this process.
    without_training_kernels()
    if not config.kernels:
        return
    if networks.device.type != "cuda" or config.precision == "fp32" or not local:
        warn("--kernels changes nothing here: the kernels are for half precision on one GPU")
        return
    trained = networks.base.unet, networks.control
    reason = use_training_kernels(trained, networks.device, dtype_of(config.precision))
    if reason is not None:
        warn(f"GPU kernels cannot be compiled here ({reason}): the run goes on without them, slower")
