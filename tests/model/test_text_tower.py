"""The text transformer against open_clip's: the same names, new weights and bits. What it saves: imports."""

import subprocess
import sys

import pytest
import torch
from open_clip.transformer import QuickGELU, TextTransformer
from torch import nn

from cn.model.config import TextConfig
from cn.model.text_tower import TextTower


def pair(quick_gelu: bool) -> tuple[TextTower, TextTransformer]:
    config = TextConfig(width=64, heads=2, layers=3, run_layers=3, quick_gelu=quick_gelu)
    torch.manual_seed(0)
    ours = TextTower(config)
    torch.manual_seed(0)
    act = QuickGELU if quick_gelu else nn.GELU
    sizes = {"vocab_size": config.vocab_size, "width": 64, "heads": 2, "layers": 3}
    return ours, TextTransformer(**sizes, act_layer=act, proj_type="none", output_dim=0)


@pytest.mark.parametrize("quick_gelu", [True, False])
def test_parameters_have_the_names_and_new_weights_of_open_clip(quick_gelu):
    ours, theirs = (dict(tower.named_parameters()) for tower in pair(quick_gelu))
    assert list(ours) == list(theirs)
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("quick_gelu", [True, False])
@torch.no_grad()
def test_the_bits_are_those_of_open_clip(quick_gelu, dtype):
    ours, theirs = (tower.to(dtype) for tower in pair(quick_gelu))
    tokens = torch.randint(0, 49408, (2, 77), generator=torch.Generator().manual_seed(0))
    x = theirs.token_embedding(tokens) + theirs.positional_embedding
    for block in theirs.transformer.resblocks[:2]:
        x = block(x, attn_mask=theirs.attn_mask)
    assert torch.equal(ours(tokens, run_layers=2), theirs.ln_final(x))


def test_a_program_starts_without_what_takes_seconds_to_import():
    script = """
import sys
import cn.train.run, cn.sample.run
from cn.model.text import token_count
assert token_count("a red house") == 3
print(*sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", script], check=True, stdout=subprocess.PIPE, text=True)
    loaded = set(done.stdout.split())
    slow = {
        "open_clip",
        "transformers",
        "torchvision",
        "torch._dynamo",
        "torch.distributed.fsdp",
        "matplotlib",
        "sympy",
    }
    assert not loaded & slow
