"""What a stage ran on, in words."""

import platform
from pathlib import Path

import torch


def hardware(device: torch.device, count: int = 1) -> str:
    """The GPU's name, with how many there were, or the CPU's with the number of threads."""
    if device.type == "cuda":
        name = torch.cuda.get_device_name(device)
        return name if count == 1 else f"{count} {name}"
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return f"{names[0] if names else platform.machine()}, {torch.get_num_threads()} threads"
