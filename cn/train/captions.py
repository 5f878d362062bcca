"""Captions that are longer than what the text encoder reads."""

from collections.abc import Sequence

from cn.model.config import TextConfig
from cn.model.tokens import token_count


def cut_captions(prompts: Sequence[str], config: TextConfig) -> list[str]:
    """A warning where some of these prompts are cut off; [] where none is."""
    room = config.context_length - 2
    counts = [token_count(prompt) for prompt in prompts]
    cut = sum(count > room for count in counts)
    if not cut:
        return []
    return [
        f"{cut:,} of {len(prompts):,} captions are longer than {room} tokens (the longest has {max(counts):,}): "
        "what comes after is ignored"
    ]
