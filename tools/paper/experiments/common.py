"""Arms that several experiments share."""

from tools.paper.settings import Settings
from tools.paper.spec import FINAL, NO_PROMPT, TRAJECTORY, Arm, Words


def scenes(settings: Settings, kind: str = "canny") -> str:
    """The data set that most runs train on."""
    return f"{kind}-{settings.scenes}"


def default(settings: Settings) -> Arm:
    """`cn train --cond canny` as it is, looked at along the way: what others are compared with."""
    words = settings.training()
    evaluations = (TRAJECTORY, NO_PROMPT)
    return Arm("default", (words,), settings.seeds, data=scenes(settings), evaluations=evaluations)


def variant(settings: Settings, name: str, *options: str, along: bool = True) -> Arm:
    """The default run with other options, looked at `along` the way or after the last step only."""
    words: Words = settings.training(*options)
    evaluations = (TRAJECTORY if along else FINAL,)
    return Arm(name, (words,), settings.seeds, data=scenes(settings), evaluations=evaluations)
