"""What the processes agree on before each step: that all have read their data."""

from collections.abc import Callable, Iterator
from itertools import islice

from cn.train.latent_batches import LatentBatch
from cn.train.world import World


class BrokenPairs:
    """The broken pairs that this process leaves out. Rank 0 says those of all: `say` is its log."""

    def __init__(self, world: World, say: Callable[[str], None]):
        self.world, self.say = world, say
        self._known, self._unsaid = set[str](), list[str]()

    def skip(self, message: str) -> None:
        """Note a broken pair; rank 0 hears of it before the next step."""
        if self.world.is_main:
            self.say(message)
        elif message not in self._known:
            self._known.add(message)
            self._unsaid.append(message)

    def exchange(self) -> None:
        """Tell rank 0, once all processes are here."""
        told = self.world.exchange(self._unsaid or None)
        self._unsaid = []
        for messages in told[1:] if self.world.is_main else ():
            for message in messages or ():
                self.say(message)


def agreed_batches(
    stream: Iterator[LatentBatch], accumulate: int, world: World, pairs: BrokenPairs
) -> Iterator[LatentBatch]:
    """The micro-batches of this process; those of a step begin once all processes have read theirs.

    So a process that cannot read its data ends all before the step, instead of leaving the others in the middle of it.
    """
    if world.size == 1:
        yield from stream
        return
    while batches := list(islice(stream, accumulate)):
        pairs.exchange()
        yield from batches
