"""The optimizer of a run."""

import torch

from cn.train.config import TrainConfig
from cn.train.networks import TrainingNetworks


def make_optimizer(networks: TrainingNetworks, config: TrainConfig) -> torch.optim.AdamW:
    """AdamW with torch's defaults (weight decay 0.01), as the paper trains, over exactly the trainable parameters."""
    return torch.optim.AdamW(networks.trainable.values(), lr=config.lr, fused=networks.device.type in ("cpu", "cuda"))
