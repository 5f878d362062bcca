"""What a person should know about the pairs of a dataset, counted while they are read."""

from collections.abc import Iterable
from dataclasses import dataclass

from cn.data.records import Pair

_CAPTIONS = ("caption", "text", "captions", "description")
"""What other tools call the prompt."""


@dataclass
class NotesTally:
    """What a person should know about the pairs of a dataset that have no problem, counted."""

    usable: int = 0
    bare: int = 0
    """Pairs without a caption."""
    other: str | None = None
    """What a caption is called there that is not called "prompt"."""
    same: int = 0
    first_same: str = ""

    def add(self, pair: Pair) -> None:
        """Count a pair."""
        if pair.problem is not None:
            return
        self.usable += 1
        self.bare += not pair.captioned
        self.other = self.other or next((key for key in _CAPTIONS if isinstance(pair.extra.get(key), str)), None)
        if pair.source == pair.target:
            self.first_same = self.first_same or pair.where
            self.same += 1

    def messages(self) -> list[str]:
        """A line for each kind."""
        found = []
        if self.bare:
            hint = f' (there is "{self.other}": captions are called "prompt")' if self.other else ""
            found.append(f"{self.bare} of {self.usable} pairs have no caption; their prompt is empty{hint}")
        if self.same:
            found.append(
                f"{self.first_same}: source and target are the same file (in {self.same} of {self.usable} pairs)"
            )
        return found


def notes(pairs: Iterable[Pair]) -> list[str]:
    """The messages of `NotesTally` about these pairs."""
    tally = NotesTally()
    for pair in pairs:
        tally.add(pair)
    return tally.messages()
