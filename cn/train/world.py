"""The processes that train one ControlNet together; alone, everything here is trivial."""

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class World:
    """Process `rank` of `size`; the first one writes the run's folder and talks."""

    rank: int = 0
    size: int = 1

    @property
    def is_main(self) -> bool:
        return self.rank == 0

    def any(self, flag: bool) -> bool:
        """Whether the flag is set in any process."""
        return flag

    def mean(self, value: Tensor) -> Tensor:
        """The mean of a tensor over all processes."""
        return value

    def barrier(self) -> None:
        """Wait until all processes are here."""


ALONE = World()
