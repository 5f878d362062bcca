"""The state of the optimizer as tensors by the names of the parameters, for a file and back."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from cn.train.networks import TrainingNetworks


def optimizer_tensors(networks: TrainingNetworks, optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """An optimizer's moments and step counts as "PARAMETER/exp_avg", …; nothing for parameters without a gradient yet.

    Moments of 8 bits are several tensors, of other shapes and dtypes than the parameter.
    """
    seen: set[int] = set()
    found = {}
    for name, parameter in networks.trainable.items():
        for part, value in optimizer.state.get(parameter, {}).items():
            tensor = torch.as_tensor(value).detach().cpu().contiguous()
            # The format refuses tensors that share memory, as the table of 8-bit values does.
            found[f"{name}/{part}"] = tensor.clone() if tensor.data_ptr() in seen else tensor
            seen.add(tensor.data_ptr())
    return found


def load_optimizer_tensors(
    networks: TrainingNetworks, optimizer: torch.optim.Optimizer, tensors: Mapping[str, Tensor]
) -> None:
    """Replace the optimizer's state by the one that `optimizer_tensors` returned.

    A parameter that it does not have (a connection that was added) starts with fresh moments.
    """
    moments: dict[str, dict[str, Tensor | int]] = {}
    for key, tensor in tensors.items():
        name, _, part = key.rpartition("/")
        moments.setdefault(name, {})[part] = _from_file(tensor, networks.trainable.get(name))
    numbered = {i: moments[name] for i, name in enumerate(networks.trainable) if name in moments}
    groups = optimizer.state_dict()["param_groups"]
    optimizer.load_state_dict({"state": numbered, "param_groups": groups})


def _from_file(tensor: Tensor, parameter: nn.Parameter | None) -> Tensor | int:
    """A tensor of an optimizer's state; a step count that is a whole number becomes one again."""
    if tensor.ndim == 0 and tensor.dtype == torch.int64:
        return int(tensor)
    if parameter is not None and tensor.shape == parameter.shape and tensor.stride() != parameter.stride():
        # Channels last: fused optimizers take moments in the layout of their parameters.
        return torch.empty_like(parameter.detach()).copy_(tensor)
    # Copied, because the tensors in a mapped file are not aligned: `load.fill` says what that changes.
    return tensor.clone()
