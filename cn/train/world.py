"""The processes that train one ControlNet together; alone, everything here is trivial.

This is the interface; `cn.train.distributed.group` has the one for several processes. Importing it loads no torch.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NoReturn

from cn.errors import CnError

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class World:
    """Process `rank` of `size`, `local_size` of them on this machine; rank 0 writes the run's folder and talks."""

    rank: int = 0
    size: int = 1
    local_size: int = 1
    device: str = ""
    """The device of this process, where each has its own."""

    @property
    def is_main(self) -> bool:
        return self.rank == 0

    @property
    def is_local(self) -> bool:
        """Whether all processes are on this machine, so that sending all gradients at once takes little time."""
        return self.size == self.local_size

    def number(self, micro: int) -> int:
        """The number, among the micro-batches of all processes, of this one's micro-batch `micro` of a step."""
        return micro * self.size + self.rank

    def exchange(self, value: Any = None) -> list[Any]:
        """Wait for all processes, and return what each of them gave, by rank: None, or what JSON can hold.

        Raises the error that a process gave to `fail`, and LostProcessError where one does not come.
        """
        return [value]

    def fail(self, error: CnError) -> NoReturn:
        """End all processes with an error of this one, at their next `exchange`: rank 0 reports it."""
        raise error

    def check(self) -> None:
        """Raises LostProcessError where a process is known to be lost."""

    def when_lost(self, tell: Callable[[str], None]) -> None:
        """Who is told, before this process ends for a lost one that keeps it waiting."""

    def mean(self, value: "Tensor") -> "Tensor":
        """The mean of a tensor over all processes."""
        return value

    @contextmanager
    def together(self) -> Iterator[None]:
        """A block that all processes finish together: an error that one of them raises in it ends all."""
        yield

    def any(self, flag: bool) -> bool:
        """Whether the flag is set in any process."""
        return any(self.exchange(flag or None))

    def barrier(self) -> None:
        """Wait until all processes are here."""
        self.exchange()

    def broadcast(self, value: Any = None) -> Any:
        """What rank 0 gives, in all processes."""
        return self.exchange(value if self.is_main else None)[0]


ALONE = World()
