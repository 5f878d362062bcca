"""Muon: updates are orthogonal matrices of AdamW's size, a batch for each shape; which weights it moves."""

import pytest
import torch
from torch import nn

from cn.pretrain.master_weights import MasterWeights, StageConfig
from cn.pretrain.muon import RMS, Muon, orthogonalize


@pytest.mark.parametrize("shape", [(3, 8, 8), (2, 4, 20), (2, 20, 4)])
def test_singular_values_come_near_one_and_vectors_stay(shape):
    torch.manual_seed(0)
    matrices = torch.randn(shape) * torch.tensor([1e-3, 1.0, 50.0])[: shape[0], None, None]
    found = orthogonalize(matrices)
    values = torch.linalg.svdvals(found)
    assert values.min() > 0.4
    assert values.max() < 1.4
    u, _, v = torch.linalg.svd(matrices, full_matrices=False)
    assert torch.cosine_similarity(found.flatten(1), (u @ v).flatten(1)).min() > 0.95


def test_a_step_is_the_same_alone_and_among_others_of_its_shape():
    torch.manual_seed(0)
    one, other, long = torch.randn(4, 3, 3, 3), torch.randn(4, 27), torch.randn(6, 40)
    together = [nn.Parameter(w.clone()) for w in (one, other, long)]
    alone = nn.Parameter(one.clone())
    ways = [Muon(together, 0.1), Muon([alone], 0.1)]
    for _ in range(3):
        alone.grad = torch.randn_like(alone)
        for p in together:
            p.grad = alone.grad.clone() if p is together[0] else torch.randn_like(p)
        for way in ways:
            way.step()
    assert torch.allclose(together[0], alone, rtol=1e-4, atol=1e-5)
    assert not torch.allclose(together[1], other)
    assert together[1].shape == other.shape


def test_an_update_has_the_size_that_the_learning_rate_says():
    torch.manual_seed(0)
    p = nn.Parameter(torch.zeros(16, 4, 3, 3))
    p.grad = 1e-4 * torch.randn_like(p)
    Muon([p], 0.5).step()
    assert float(p.detach().square().mean().sqrt()) == pytest.approx(0.5 * RMS, rel=0.25)


def test_a_small_network_learns_faster_than_it_forgets():
    """A regression that plain least squares solves: the loss falls by a factor of fifty."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(8, 32), nn.Tanh(), nn.Linear(32, 8))
    x = torch.randn(256, 8)
    y = x.roll(1, 1) - 0.5 * x
    weights = MasterWeights(net, StageConfig(muon=True, learning_rate=0.02, ema_decay=0.5))
    losses = []
    for step in range(200):
        loss = (net(x) - y).square().mean()
        loss.backward()
        weights.update(0.02 * (1 - step / 200), step)
        losses.append(float(loss.detach()))
    assert losses[-1] < losses[0] / 50


def test_matrices_of_hidden_layers_are_muons_and_the_rest_adams():
    net = nn.ModuleDict({"conv_in": nn.Conv2d(3, 4, 3), "hidden": nn.Conv2d(4, 4, 3), "norm": nn.GroupNorm(2, 4)})
    net["token_embedding"] = nn.Embedding(5, 4)
    weights = MasterWeights(net, StageConfig(muon=True))
    adam, muon = [
        [next(n for n, q in net.named_parameters() if q is p) for g in optimizer.param_groups for p in g["params"]]
        for optimizer in weights.optimizers
    ]
    assert muon == ["hidden.weight"]
    assert sorted(adam) == sorted({name for name, _ in net.named_parameters()} - {"hidden.weight"})
    assert len(MasterWeights(net, StageConfig()).optimizers) == 1
