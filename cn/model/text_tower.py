"""CLIP's text transformer; its parameters have the names of open_clip's (transformer.py, TextTransformer).

Own code: to import open_clip's takes seconds at each start, most of them for torchvision and transformers.
"""

from collections import OrderedDict

import torch
from torch import Tensor, nn

from cn.model.config import TextConfig


class QuickGELU(nn.Module):
    """x·σ(1.702·x): OpenAI's approximation of GELU."""

    def forward(self, x: Tensor) -> Tensor:
        return x * torch.sigmoid(1.702 * x)


class Block(nn.Module):
    """x + self-attention, + MLP of four times the width, each behind a LayerNorm."""

    def __init__(self, config: TextConfig):
        super().__init__()
        width = config.width
        self.ln_1 = nn.LayerNorm(width)
        self.attn = nn.MultiheadAttention(width, config.heads, batch_first=True)
        self.ln_2 = nn.LayerNorm(width)
        self.mlp = nn.Sequential(
            OrderedDict(
                c_fc=nn.Linear(width, 4 * width),
                gelu=QuickGELU() if config.quick_gelu else nn.GELU(),
                c_proj=nn.Linear(4 * width, width),
            )
        )

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        h = self.ln_1(x)
        x = x + self.attn(h, h, h, need_weights=False, attn_mask=mask)[0]
        return x + self.mlp(self.ln_2(x))


class Blocks(nn.Module):
    """All blocks, under the name that they have in files."""

    def __init__(self, config: TextConfig):
        super().__init__()
        self.resblocks = nn.ModuleList(Block(config) for _ in range(config.layers))


class TextTower(nn.Module):
    """Embeddings, causal blocks, the final LayerNorm; new weights as open_clip initializes them."""

    def __init__(self, config: TextConfig):
        super().__init__()
        self.token_embedding = nn.Embedding(config.vocab_size, config.width)
        self.positional_embedding = nn.Parameter(torch.empty(config.context_length, config.width))
        self.transformer = Blocks(config)
        self.ln_final = nn.LayerNorm(config.width)
        self._initialize(config)

    def forward(self, tokens: Tensor, run_layers: int) -> Tensor:
        """(B, N) token ids → (B, N, width), through the first `run_layers` blocks."""
        x = self.token_embedding(tokens) + self.positional_embedding
        length = tokens.shape[1]
        # Made anew each time: a buffer that no file holds would be lost on the meta device.
        mask = torch.full((length, length), float("-inf"), dtype=x.dtype, device=x.device).triu(1)
        for block in self.transformer.resblocks[:run_layers]:
            x = block(x, mask)
        return self.ln_final(x)

    def _initialize(self, config: TextConfig) -> None:
        narrow = (2 * config.layers * config.width) ** -0.5
        deviations = {
            "attn.in_proj_weight": config.width**-0.5,
            "attn.out_proj.weight": narrow,
            "mlp.c_fc.weight": (2 * config.width) ** -0.5,
            "mlp.c_proj.weight": narrow,
        }
        nn.init.normal_(self.token_embedding.weight, std=0.02)
        nn.init.normal_(self.positional_embedding, std=0.01)
        for name, parameter in self.transformer.named_parameters():
            deviation = deviations.get(".".join(name.split(".")[2:]))
            if deviation is not None:
                nn.init.normal_(parameter, std=deviation)
