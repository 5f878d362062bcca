"""CLIP's text encoder: prompts → (B, 77, C) for the cross-attention."""

import importlib.util
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from cn.model.config import TextConfig
from cn.model.text_tower import TextTower

if TYPE_CHECKING:
    from open_clip.tokenizer import SimpleTokenizer


@cache
def _tokenizer() -> "SimpleTokenizer":
    """open_clip's tokenizer, without its package, which imports torchvision and transformers: seconds."""
    package = importlib.util.find_spec("open_clip")
    assert package is not None, "open-clip-torch is a requirement of this package"
    assert package.origin is not None
    spec = importlib.util.spec_from_file_location("open_clip.tokenizer", Path(package.origin).with_name("tokenizer.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.SimpleTokenizer()


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
        self.tower = TextTower(config)

    def forward(self, tokens: Tensor) -> Tensor:
        """(B, 77) token ids → (B, 77, width)."""
        return self.tower(tokens, self.config.run_layers)

    def encode(self, prompts: Sequence[str]) -> Tensor:
        """Prompts → (B, 77, width) on the device of the weights, without waiting for it."""
        return self(tokenize(prompts, self.config).to(self.tower.positional_embedding.device, non_blocking=True))
