"""The text transformer against open_clip's: the same names, the same bits."""

import pytest
import torch
from open_clip.transformer import QuickGELU, TextTransformer
from torch import nn

from cn.model.config import TextConfig
from cn.model.text import TextEncoder


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("quick_gelu", [True, False])
@torch.no_grad()
def test_names_and_bits_are_those_of_open_clip(quick_gelu, dtype):
    ours = TextEncoder(TextConfig(width=64, heads=2, layers=3, run_layers=2, quick_gelu=quick_gelu))
    sizes = {"vocab_size": ours.config.vocab_size, "width": 64, "heads": 2, "layers": 3}
    theirs = TextTransformer(**sizes, act_layer=QuickGELU if quick_gelu else nn.GELU, proj_type="none", output_dim=0)
    assert list(dict(ours.tower.named_parameters())) == list(dict(theirs.named_parameters()))
    theirs.load_state_dict(ours.tower.state_dict())
    ours, theirs = ours.to(dtype), theirs.to(dtype)
    tokens = torch.randint(0, 49408, (2, 77), generator=torch.Generator().manual_seed(0))
    x = theirs.token_embedding(tokens) + theirs.positional_embedding
    for block in theirs.transformer.resblocks[:2]:
        x = block(x, attn_mask=theirs.attn_mask)
    assert torch.equal(ours(tokens), theirs.ln_final(x))
