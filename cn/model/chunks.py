"""Prompts of any length and with weights → the text encoder's states, chunk by chunk.

Source: modules/sd_hijack_clip.py and modules/sd_emphasis.py ("Original") of AUTOMATIC1111's web UI, version 1.10. Where
the prompt and the negative prompt have different lengths, the shorter one gets empty chunks: that program's setting
"Pad prompt/negative prompt to be same length" (off there by default, when it runs both halves one after the other).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

from cn.model import tokens
from cn.model.emphasis import PromptSyntax, parse
from cn.model.text import TextEncoder, token_row
from cn.model.transfers import upload

COMMA = 267
"""CLIP's token of a comma at the end of a word."""
MAX_MOVED = 20
"""The most tokens after a comma that begin the next chunk, rather than be cut off from each other ("comma padding
backtrack")."""


@dataclass(frozen=True)
class Chunk:
    """At most 75 tokens, and the weight of each."""

    tokens: tuple[int, ...] = ()
    weights: tuple[float, ...] = ()


@lru_cache(maxsize=1024)
def chunks(prompt: str, syntax: PromptSyntax = "plain") -> tuple[Chunk, ...]:
    """The chunks of a prompt, at least one. A plain prompt has one, with the first 75 tokens."""
    if syntax == "plain":
        numbers = tokens.encode(prompt)[: tokens.MAX_TOKENS]
        return (Chunk(tuple(numbers), (1.0,) * len(numbers)),)
    writer = _Writer()
    for number, section in enumerate(parse(prompt)):
        if number:
            writer.next_chunk()
        for part in section:
            for token in tokens.encode(part.text):
                writer.add(token, part.weight)
    if writer.tokens or not writer.finished:
        writer.next_chunk()
    return tuple(writer.finished)


def chunk_count(syntax: PromptSyntax, *prompts: str) -> int:
    """The number of chunks that the longest of these prompts needs."""
    return max(len(chunks(prompt, syntax)) for prompt in prompts)


def encode(text: TextEncoder, prompts: Sequence[tuple[str, PromptSyntax]], count: int = 1) -> Tensor:
    """Prompts of at most `count` chunks → (B, 77·count, width); shorter ones get empty chunks.

    Each chunk is encoded by itself. Its states are multiplied by the weights of their tokens, and then all by one
    factor, which gives them the mean that they had before.
    """
    found = [_padded(chunks(prompt, syntax), count) for prompt, syntax in prompts]
    rows = torch.tensor([token_row(chunk.tokens, text.config) for row in found for chunk in row])
    states = text(upload(rows, text.device))
    if any(weight != 1 for row in found for chunk in row for weight in chunk.weights):
        weights = torch.ones(rows.shape)
        for own, chunk in zip(weights, (chunk for row in found for chunk in row), strict=True):
            # After the start; the end and the padding keep theirs too.
            own[1 : 1 + len(chunk.weights)] = torch.tensor(chunk.weights)
        exact = states.float()
        weighted = exact * upload(weights, states.device)[..., None]
        states = (weighted * (_mean(exact) / _mean(weighted))).to(states.dtype)
    return states.reshape(len(prompts), -1, states.shape[-1])


def _padded(found: tuple[Chunk, ...], count: int) -> tuple[Chunk, ...]:
    return (*found, *[Chunk()] * (count - len(found)))


def _mean(states: Tensor) -> Tensor:
    """(N, 77, width) → (N, 1, 1): of each chunk by itself, whatever else is in the batch."""
    return states.mean(dim=(1, 2), keepdim=True)


class _Writer:
    """Tokens, one after the other, into chunks."""

    def __init__(self) -> None:
        self.finished: list[Chunk] = []
        self.tokens: list[int] = []
        self.weights: list[float] = []
        self.comma: int | None = None
        """Where the last comma of the chunk is."""

    def add(self, token: int, weight: float) -> None:
        """The next token. Where it does not fit, what follows a near comma goes into the next chunk with it."""
        full = len(self.tokens) == tokens.MAX_TOKENS
        if token == COMMA:
            self.comma = len(self.tokens)
        elif full and self.comma is not None and len(self.tokens) - self.comma <= MAX_MOVED:
            start = self.comma + 1
            moved = self.tokens[start:], self.weights[start:]
            self.tokens, self.weights = self.tokens[:start], self.weights[:start]
            self.next_chunk()
            self.tokens, self.weights = moved
        if len(self.tokens) == tokens.MAX_TOKENS:
            self.next_chunk()
        self.tokens.append(token)
        self.weights.append(weight)

    def next_chunk(self) -> None:
        """End the chunk, empty or not."""
        self.finished.append(Chunk(tuple(self.tokens), tuple(self.weights)))
        self.tokens, self.weights, self.comma = [], [], None
