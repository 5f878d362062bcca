"""Joining the processes that a launcher started, and how they agree: `World` over torch.distributed."""

import contextlib
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, NoReturn

import torch
import torch.distributed as dist
from torch import Tensor

from cn.devices import choose_device
from cn.errors import CnError, ExitCode, ReportedError, UsageError, is_memory_error
from cn.train.distributed.environment import Place, launched
from cn.train.distributed.exchange import Exchange
from cn.train.distributed.heartbeat import PATIENCE, Heartbeat, LostProcessError, Watch, leave
from cn.train.world import ALONE, World

SIGNS = "cn"
"""The prefix of what the processes say to each other in the store."""
JOIN = timedelta(minutes=5)
"""So long may the processes need to start."""
COLLECTIVE = timedelta(minutes=10)
"""So long may one wait for the others in a step, which some of them compile first; heartbeats notice a loss earlier."""
_COMMUNICATION = ("gloo", "nccl", "connection", "socket", "store")
"""What errors of torch.distributed speak of when another process has gone."""


@dataclass(frozen=True, kw_only=True)
class GroupWorld(World):
    """Several processes: they agree through the store, and add up tensors through gloo or NCCL."""

    agree: Exchange = field(repr=False)
    heartbeat: Heartbeat = field(repr=False)
    ended: list[CnError] = field(default_factory=list, repr=False)
    """The error that all processes end with, once there is one."""

    def exchange(self, value: Any = None) -> list[Any]:
        if self.ended:
            raise self.ended[0]
        said = self.agree(None if value is None else {"value": value})
        if (error := _first_error(said)) is not None:
            self._end(error)
        return [None if one is None else one["value"] for one in said]

    def fail(self, error: CnError) -> NoReturn:
        if not self.ended:
            first = _first_error(self.agree({"error": [int(error.exit_code), str(error)]}))
            # Its own one as it is, of its own class.
            self._end(error if first is None or self.is_main else first)
        raise self.ended[0]

    def check(self) -> None:
        lost = self.heartbeat.lost()
        if lost is not None:
            self._end(lost)

    def when_lost(self, tell: Callable[[str], None]) -> None:
        self.heartbeat.on_end = lambda lost: tell(str(lost))

    def mean(self, value: Tensor) -> Tensor:
        total = value.detach().clone()
        dist.all_reduce(total)
        return total / self.size

    @contextlib.contextmanager
    def together(self) -> Iterator[None]:
        try:
            yield
            self.exchange()
        except CnError as error:
            self.fail(error)
        except RuntimeError as error:
            if is_memory_error(error) or not any(word in str(error).lower() for word in _COMMUNICATION):
                raise
            self._find_lost()
            raise

    def reports(self, error: CnError) -> bool:
        """Whether this process tells the user of an error that ended all: rank 0, or where that is lost, rank 1."""
        return self.rank == (1 if isinstance(error, LostProcessError) and error.rank == 0 else 0)

    def _find_lost(self) -> None:
        """After the communication broke: raises LostProcessError, as soon as it is known which process is gone."""
        until = time.monotonic() + PATIENCE + 5
        while time.monotonic() < until:
            self.check()
            time.sleep(0.5)

    def _end(self, error: CnError) -> NoReturn:
        self.ended.append(error)
        raise error


def _first_error(said: list[Any]) -> CnError | None:
    """The error of the lowest rank that said one."""
    for rank, one in enumerate(said):
        if one is not None and "error" in one:
            code, message = one["error"]
            error = CnError(message if rank == 0 else f"{message} (rank {rank})")
            error.exit_code = ExitCode(code)
            return error
    return None


@contextlib.contextmanager
def joined(device: str = "auto") -> Iterator[World]:
    """The processes that were launched together, for the length of the block; `ALONE` where this is the only one.

    An error ends all of them, and one of them raises it with its message; in the others it is a ReportedError.
    Raises UsageError for a device that several processes cannot share.
    """
    place = launched()
    if place is None:
        yield ALONE
        return
    where = device_of(device, place)
    store = _store(place)
    signs = dist.PrefixStore(SIGNS, store)
    heartbeat = Heartbeat(Watch(signs, place.rank, place.size))
    _connect(store, place, where)
    world = GroupWorld(
        rank=place.rank,
        size=place.size,
        local_size=place.local_size,
        device=str(where),
        agree=Exchange(signs, place.rank, place.size, lambda: world.check()),
        heartbeat=heartbeat,
    )
    try:
        with world.together():
            yield world
    except BaseException as error:
        _tell_the_others(signs, world, error)
        group: Any = dist.group.WORLD
        if isinstance(error, LostProcessError) and hasattr(group, "abort"):
            # What waits on the GPU for the lost process would keep this one from ending (from torch 2.6 on).
            group.abort()
        if isinstance(error, CnError) and not world.reports(error):
            raise ReportedError(error.exit_code) from error
        raise
    else:
        dist.destroy_process_group()
    finally:
        _close(signs, world)


def device_of(name: str, place: Place) -> torch.device:
    """`cuda:LOCAL_RANK`, or the CPU. UsageError for one GPU, for MPS, and for more processes than GPUs."""
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    chosen = choose_device(name)
    if chosen.type == "cpu":
        return torch.device("cpu")
    if chosen.type != "cuda" or chosen.index is not None:
        raise UsageError(f"--device {name}: with several processes give --device cuda (one GPU each) or cpu")
    if place.local_size > torch.cuda.device_count():
        raise UsageError(f"{place.local_size} processes for the {torch.cuda.device_count()} GPUs of this machine")
    return torch.device("cuda", place.local_rank)


def _store(place: Place) -> Any:
    """The key-value store of all processes: that of the launcher where it has one, else in rank 0."""
    of_launcher = os.environ.get("TORCHELASTIC_USE_AGENT_STORE") == "True"
    store = dist.TCPStore(
        os.environ["MASTER_ADDR"],
        int(os.environ["MASTER_PORT"]),
        is_master=place.rank == 0 and not of_launcher,
        timeout=JOIN,
        wait_for_workers=False,
    )
    return dist.PrefixStore(f"attempt {os.environ.get('TORCHELASTIC_RESTART_COUNT', '0')}", store)


def _connect(store: Any, place: Place, device: torch.device) -> None:
    """The process group: gloo for tensors on the CPU, and NCCL for those on GPUs."""
    cuda = device.type == "cuda"
    if cuda:
        torch.cuda.set_device(device)
    dist.init_process_group(
        "cpu:gloo,cuda:nccl" if cuda else "gloo",
        store=dist.PrefixStore("group", store),
        rank=place.rank,
        world_size=place.size,
        timeout=COLLECTIVE,
        device_id=device if cuda else None,
    )


def _tell_the_others(store: Any, world: GroupWorld, error: BaseException) -> None:
    """Where they do not know yet that this process ends, or why."""
    lost = error if isinstance(error, LostProcessError) else None
    if lost is None and world.ended:
        return
    words = " ".join(f"{type(error).__name__}: {error}".split())[:300]
    with contextlib.suppress(RuntimeError):
        leave(store, world.rank, lost or LostProcessError(world.rank, f"ended with {words}"))


def _close(store: Any, world: GroupWorld) -> None:
    """Leave, the one that may hold the store last: the others still read it.

    After a loss the heartbeat goes on: it ends a process that its broken connections keep from ending.
    """
    if any(isinstance(error, LostProcessError) for error in world.ended):
        return
    world.heartbeat.stop()
    with contextlib.suppress(RuntimeError):
        left = store.add("closed", 1)
        until = time.monotonic() + 5
        while world.is_main and left < world.size and time.monotonic() < until:
            time.sleep(0.01)
            left = store.add("closed", 0)
