"""Several processes that train one ControlNet: joining, agreeing on steps and stops, DDP and FSDP2."""
