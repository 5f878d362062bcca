"""What a rule found."""

from dataclasses import dataclass


@dataclass(frozen=True)
class MapWarning:
    """What is wrong with a map. `str()` is the message, without the map's name: it is the same for each map."""

    rule: str
    """A short name: "inverted", "photograph", … (`docs/sample.md` lists them)."""
    text: str
    """What is wrong; what to do."""

    def __str__(self) -> str:
        return self.text
