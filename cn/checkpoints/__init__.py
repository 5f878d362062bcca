"""Files ↔ models."""

from cn.checkpoints.native import Control, load_base, load_control, save_base, save_control

__all__ = ["Control", "load_base", "load_control", "save_base", "save_control"]
