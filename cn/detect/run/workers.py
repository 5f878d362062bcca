"""The default number of workers."""

import contextlib
import os

from cn.detect.detector import Detector
from cn.parallel import available_cpus

IMAGES_PER_PROCESS = 24
"""Starting a process takes about as long as this many images."""

FEW_CORES = 2
"""Up to this many CPU cores are kept busy by one process."""

GPU_THREADS = 8
"""Threads that read and write for one GPU."""

MEMORY = 1_500_000_000
"""Bytes that a network may need for one image; most need a third of it."""


MANY = 1_000_000
"""More images than any number of workers."""


def workers(detector: Detector, count: int, *, streams: bool = False) -> int:
    """How many processes, or threads where a network computes, to start for `count` images.

    `streams`: whether there are videos or animations, too, with an unknown number of frames.
    """
    count = MANY if streams else count
    network = detector.network
    if network is None:
        # One process has two threads already, and OpenCV's; on two cores, more processes only start later.
        return max(1, min(available_cpus(), count // IMAGES_PER_PROCESS)) if available_cpus() > FEW_CORES else 1
    batches = -(-count // detector.batch_size)
    if network.device != "cpu":
        return max(1, min(GPU_THREADS, available_cpus(), batches))
    return max(1, min(available_cpus(), batches, available_memory() // MEMORY))


def available_memory() -> int:
    """Bytes that are available without swapping, as the system reports; very many where it does not report it."""
    with contextlib.suppress(OSError, KeyError, ValueError), open("/proc/meminfo") as file:
        lines = dict(line.split(":", 1) for line in file)
        return int(lines["MemAvailable"].split()[0]) * 1024
    with contextlib.suppress(AttributeError, OSError, ValueError):
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return 1 << 40
