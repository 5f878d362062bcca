"""Files ↔ models."""

from cn.checkpoints.native import Control, check_fits, load_base, load_control, save_base, save_control

__all__ = ["Control", "check_fits", "load_base", "load_control", "save_base", "save_control"]
