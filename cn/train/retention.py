"""Which of a run's states stay on the disk, and to which one it is rolled back: functions of numbers of steps alone.

The newest states may hold weights that are about to prove bad: a divergence shows itself within WINDOW steps. So the
newest one that has been proved good stays as well. Only saves at a fixed interval count for that, not those of a stop,
so that a run that was stopped and resumed is rolled back as one without interruption.
"""

import math
from collections.abc import Sequence

from cn.train.divergence import WINDOW


def superseded(saved: Sequence[int], step: int, *, every: int, keep: int, final: bool = False) -> list[int]:
    """The states to delete after `step` steps: all but the newest `keep`, and those that a roll-back may need.

    `saved` ascends and `every` is the interval of saves. After the last step of a run (`final`) nothing can show the
    newest state to be bad any more.
    """
    stay = set(saved[-keep:])
    if saved and not final:
        proved = [s for s in saved if s + WINDOW <= step] or [saved[0]]
        good = max((s for s in proved if _counts(s, every)), default=proved[-1])
        stay |= {good, *(s for s in saved if s > good and _counts(s, every))}
    return [s for s in saved if s not in stay]


def roll_back_step(saved: Sequence[int], since: int, *, every: int) -> int | None:
    """The state to go back to when the weights after step `since` are the last that may be good; None: there is none.

    Where none is that old, it is the oldest one.
    """
    good = [s for s in saved if s <= since]
    if not good:
        return saved[0] if saved else None
    return max((s for s in good if _counts(s, every)), default=good[-1])


def _counts(step: int, every: int) -> bool:
    """Whether a state is one that a run may go back to. With saves closer than WINDOW only some are: the others would
    have to stay until they are proved."""
    return step % (every * math.ceil(WINDOW / every)) == 0
