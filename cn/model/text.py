"""CLIP's text encoder: prompts → (B, 77, C) for the cross-attention.

Its tensors have the names of open_clip's TextTransformer, which is not used: importing it takes seconds.
"""

from collections import OrderedDict
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from cn.model import tokens
from cn.model.config import END_TOKEN, START_TOKEN, TextConfig
from cn.model.transfers import upload


def tokenize(prompts: Sequence[str], config: TextConfig) -> Tensor:
    """(B, 77) int64: start, at most 75 tokens, end, then `pad_id` (49407 for SD 1, 0 for SD 2); cut off after that."""
    return torch.tensor([token_row(tokens.encode(prompt), config) for prompt in prompts])


def token_row(numbers: Sequence[int], config: TextConfig) -> list[int]:
    """The tokens of a text between start, end and padding: always 77 of them."""
    row = [START_TOKEN, *numbers[: config.context_length - 2], END_TOKEN]
    return row + [config.pad_id] * (config.context_length - len(row))


class _QuickGELU(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x * torch.sigmoid(1.702 * x)


class _Block(nn.Module):
    """Attention and a perceptron, each after a LayerNorm and added to what it reads."""

    def __init__(self, width: int, heads: int, activation: nn.Module):
        super().__init__()
        self.ln_1 = nn.LayerNorm(width)
        self.attn = nn.MultiheadAttention(width, heads, batch_first=True)
        self.ln_2 = nn.LayerNorm(width)
        layers = {"c_fc": nn.Linear(width, 4 * width), "gelu": activation, "c_proj": nn.Linear(4 * width, width)}
        self.mlp = nn.Sequential(OrderedDict(layers))

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        y = self.ln_1(x)
        x = x + self.attn(y, y, y, need_weights=False, attn_mask=mask)[0]
        return x + self.mlp(self.ln_2(x))


class _Tower(nn.Module):
    """The weights, with random values at first."""

    def __init__(self, config: TextConfig):
        super().__init__()
        width, layers = config.width, config.layers
        activation = _QuickGELU if config.quick_gelu else nn.GELU
        embedding = torch.empty(config.vocab_size, width)
        self.token_embedding = nn.Embedding(config.vocab_size, width, _weight=embedding)
        self.positional_embedding = nn.Parameter(torch.empty(config.context_length, width))
        self.transformer = nn.Module()
        self.transformer.resblocks = nn.ModuleList(_Block(width, config.heads, activation()) for _ in range(layers))
        self.ln_final = nn.LayerNorm(width)
        # Without memory there is nothing to draw, and torch would import its compiler for that, which takes a second.
        if not embedding.is_meta:
            self._initialize(width, layers)

    def _initialize(self, width: int, layers: int) -> None:
        """As CLIP was."""
        nn.init.normal_(self.token_embedding.weight, std=0.02)
        nn.init.normal_(self.positional_embedding, std=0.01)
        for block in self.transformer.resblocks:  # type: ignore[union-attr]
            nn.init.normal_(block.attn.in_proj_weight, std=width**-0.5)
            nn.init.normal_(block.attn.out_proj.weight, std=width**-0.5 * (2 * layers) ** -0.5)
            nn.init.normal_(block.mlp.c_fc.weight, std=(2 * width) ** -0.5)
            nn.init.normal_(block.mlp.c_proj.weight, std=width**-0.5 * (2 * layers) ** -0.5)


class TextEncoder(nn.Module):
    """The first `run_layers` blocks, then the final LayerNorm; no pooling, no projection, no padding mask."""

    def __init__(self, config: TextConfig):
        super().__init__()
        self.config = config
        self.tower = _Tower(config)

    def forward(self, tokens: Tensor) -> Tensor:
        """(B, 77) token ids → (B, 77, width)."""
        tower = self.tower
        x = tower.token_embedding(tokens) + tower.positional_embedding
        length = tokens.shape[1]
        mask = torch.full((length, length), float("-inf"), dtype=x.dtype, device=x.device).triu(1)
        for block in tower.transformer.resblocks[: self.config.run_layers]:  # type: ignore[union-attr, index]
            x = block(x, mask)
        return tower.ln_final(x)

    def encode(self, prompts: Sequence[str]) -> Tensor:
        """Prompts → (B, 77, width) on the device of the weights, without waiting for it."""
        return self(upload(tokenize(prompts, self.config), self.device))

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.tower.positional_embedding.device
