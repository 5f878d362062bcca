"""What a launcher says to each of its processes, in environment variables; without torch."""

import os
from dataclasses import dataclass

from cn.errors import UsageError

_NEEDED = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT")


@dataclass(frozen=True)
class Place:
    """The place of this process among those that were started together; `local` counts those of this machine."""

    rank: int
    size: int
    local_rank: int
    local_size: int


def launched() -> Place | None:
    """Where torchrun, `cn train --nproc` or their like put this process; None for a process that is alone.

    Raises UsageError where the launcher left out some of the variables.
    """
    size = os.environ.get("WORLD_SIZE", "")
    if "LOCAL_RANK" not in os.environ or not size.isdigit() or int(size) < 2:
        return None
    if missing := [name for name in _NEEDED if name not in os.environ]:
        raise UsageError(f"{', '.join(missing)} must be set for several processes: start them with torchrun or --nproc")
    local_size = int(os.environ.get("LOCAL_WORLD_SIZE", size))
    return Place(int(os.environ["RANK"]), int(size), int(os.environ["LOCAL_RANK"]), local_size)


def is_first_process() -> bool:
    """Whether this is the process that writes, or the only one."""
    place = launched()
    return place is None or place.rank == 0


def was_restarted() -> bool:
    """Whether torchrun (`--max-restarts`) started this process again, after one of them had failed."""
    return launched() is not None and os.environ.get("TORCHELASTIC_RESTART_COUNT", "0") not in ("", "0")
