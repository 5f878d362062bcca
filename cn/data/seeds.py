"""The seeds of the built-in scenes that have a purpose."""

from cn.errors import UsageError

TRAIN_SEED = 0
"""The scenes that a run trains on by default, numbered from 0."""
EVAL_SEED = 230205543
"""Reserved for held-out scenes: nothing may be trained on them. (The paper is arXiv 2302.05543.)"""


def check_training_seed(seed: int) -> int:
    """`seed`; UsageError if it is the seed of the held-out scenes."""
    if seed == EVAL_SEED:
        raise UsageError(f"seed {EVAL_SEED} is reserved for held-out scenes; choose another")
    return seed
