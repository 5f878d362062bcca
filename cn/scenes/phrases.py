"""What all phrases of captions are made with: a random stream, articles and lists."""

import numpy as np

from cn.scenes.scene import Scene


class Phrases:
    """Phrases of one scene, drawn from a random stream of its own for every variant."""

    def __init__(self, scene: Scene, variant: int = 0) -> None:
        self.scene = scene
        self.rng = np.random.default_rng(np.random.SeedSequence([scene.seed, scene.index, 2, variant]))
        self.names: dict[int, str] = {}
        """id of an item → the word that it was called."""

    def chance(self, share: float) -> bool:
        """True in `share` of the cases."""
        return bool(self.rng.random() < share)

    def pick(self, options: tuple[str, ...]) -> str:
        """One of `options`."""
        return str(options[int(self.rng.integers(len(options)))])


def article(phrase: str) -> str:
    """`phrase` with "a" or "an"."""
    vowel = phrase[0] in "aeiou" and not phrase.startswith("uni")
    return ("an " if vowel else "a ") + phrase


def join(*parts: str) -> str:
    """The parts that are not empty, with blanks between."""
    return " ".join(p for p in parts if p)


def listed(parts: list[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    if len(parts) == 1:
        return parts[0]
    return ", ".join(parts[:-1]) + " and " + parts[-1]
