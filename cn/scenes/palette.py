"""The colors of a scene."""

from cn.scenes.geometry import Rng


class Palette:
    """Draws colors, without repeating one in a scene while there is a choice."""

    def __init__(self, rng: Rng, ground: str) -> None:
        self.rng = rng
        self.used: set[str] = {"white"} if ground == "snow" else set()

    def take(self, choices: tuple[str, ...]) -> str:
        """One of `choices`, an unused one if there is any."""
        fresh = [c for c in choices if c not in self.used] or list(choices)
        color = str(fresh[int(self.rng.integers(len(fresh)))])
        self.used.add(color)
        return color
