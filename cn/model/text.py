"""CLIP's text encoder, from open_clip: prompts → (B, 77, C) for the cross-attention."""

from collections.abc import Sequence
from functools import cache

import torch
from open_clip.tokenizer import SimpleTokenizer
from open_clip.transformer import QuickGELU, TextTransformer
from torch import Tensor, nn

from cn.model.config import TextConfig


@cache
def _tokenizer() -> SimpleTokenizer:
    return SimpleTokenizer()


def tokenize(prompts: Sequence[str], config: TextConfig) -> Tensor:
    """(B, 77) int64: start, at most 75 tokens, end, then `pad_id` (49407 for SD 1, 0 for SD 2); cut off after that."""
    tokenizer = _tokenizer()
    tokens = tokenizer(list(prompts), context_length=config.context_length)
    after_end = (tokens == tokenizer.eot_token_id).int().cumsum(dim=1) - (tokens == tokenizer.eot_token_id).int()
    return torch.where(after_end > 0, torch.full_like(tokens, config.pad_id), tokens)


def token_count(prompt: str) -> int:
    """The number of tokens of a prompt without start and end; those beyond 75 are ignored."""
    return len(_tokenizer().encode(prompt))


class TextEncoder(nn.Module):
    """The first `run_layers` blocks, then the final LayerNorm; no pooling, no projection, no padding mask."""

    def __init__(self, config: TextConfig):
        super().__init__()
        self.config = config
        self.tower = TextTransformer(
            context_length=config.context_length,
            vocab_size=config.vocab_size,
            width=config.width,
            heads=config.heads,
            layers=config.layers,
            act_layer=QuickGELU if config.quick_gelu else nn.GELU,
            proj_type="none",
            output_dim=0,
        )
        self.tower.attn_mask = None  # created in forward: a buffer that no file holds would be lost on the meta device

    def forward(self, tokens: Tensor) -> Tensor:
        """(B, 77) token ids → (B, 77, width)."""
        tower = self.tower
        x = tower.token_embedding(tokens) + tower.positional_embedding
        length = tokens.shape[1]
        mask = torch.full((length, length), float("-inf"), dtype=x.dtype, device=x.device).triu(1)
        for block in tower.transformer.resblocks[: self.config.run_layers]:
            x = block(x, attn_mask=mask)
        return tower.ln_final(x)

    def encode(self, prompts: Sequence[str]) -> Tensor:
        """Prompts → (B, 77, width) on the device of the weights, without waiting for it."""
        return self(tokenize(prompts, self.config).to(self.tower.positional_embedding.device, non_blocking=True))
