"""Whether the packages of trackers are installed, asked before torch or one of them is loaded."""

import importlib.util

from cn.errors import UsageError


def check_wandb(project: str) -> None:
    """UsageError where W&B is asked for and not installed."""
    if project and importlib.util.find_spec("wandb") is None:
        raise UsageError("--wandb needs the package wandb: pip install 'controlnet-cn[wandb]'")
