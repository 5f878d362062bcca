"""The recipe of the bundled weights, on narrow networks and 64-pixel scenes: its parts, and all its stages."""

import json
import math
import shutil
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from cn.checkpoints.read.load import open_base, open_control
from cn.checkpoints.write.native import save_base
from cn.model.text import tokenize
from cn.model.vae import AutoencoderKL
from cn.pretrain import __main__ as recipe
from cn.pretrain import legs
from cn.pretrain.autoencoder import reconstruction_psnr, whiten
from cn.pretrain.denoiser import DenoiserRecipe, damage_prompts
from cn.pretrain.latents import Latents, unknown_token
from cn.pretrain.legs import Budget, MasterWeights, Rates, train_leg
from cn.pretrain.pool import SHARD, Pool, as_input, render_shard
from cn.weights import bundled
from tests.helpers.model_helpers import TINY_V, fill, tiny_base
from tests.helpers.sampling import is_finite

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def pool_folder(tmp_path_factory):
    """One shard of 64-pixel scenes with condition maps (shared: never change it)."""
    folder = tmp_path_factory.mktemp("pool")
    render_shard(folder, 5, 0, 64, SHARD)
    return folder


@pytest.fixture
def pool(pool_folder):
    return Pool.open(pool_folder, SHARD, 64, CPU)


@pytest.fixture
def vae():
    torch.manual_seed(0)
    return fill(AutoencoderKL(TINY_V.vae)).requires_grad_(False)


def test_budget_of_steps():
    budget = Budget(steps=4)
    fractions = [budget.fraction]
    for _ in range(5):
        budget.tick()
        fractions.append(budget.fraction)
    assert fractions == [0, 0.25, 0.5, 0.75, 1, 1]
    with pytest.raises(ValueError, match="steps or minutes"):
        Budget()


def test_budget_of_minutes_counts_all_legs_but_not_the_time_between(monkeypatch):
    now = [100.0]
    monkeypatch.setattr(legs.time, "monotonic", lambda: now[0])
    budget = Budget(minutes=1, deadline=150.0)
    now[0] = 110.0
    budget.start()
    now[0] = 125.0
    budget.tick()
    assert (budget.step, budget.seconds, budget.fraction, budget.leg_over) == (1, 15.0, 0.25, False)
    now[0] = 151.0
    assert budget.leg_over
    later = Budget(minutes=1, step=budget.step, seconds=budget.seconds)
    now[0] = 181.0
    later.tick()
    assert later.fraction == 0.75
    now[0] = 200.0
    later.tick()
    assert (later.step, later.fraction) == (3, 1.0)


def test_learning_rate_rises_stays_and_falls_to_one_per_cent():
    budget, rates = Budget(steps=100), []
    for _ in range(101):
        rates.append(budget.learning_rate(2.0, warmup=10, decay_from=0.5))
        budget.tick()
    assert rates[:10] == pytest.approx([0.2 * (i + 1) for i in range(10)])
    assert rates[9:51] == pytest.approx([2.0] * 42)
    assert rates[75] == pytest.approx(2.0 * (0.01 + 0.99 * 0.5))
    assert all(a > b for a, b in pairwise(rates[51:]))
    assert rates[100] == pytest.approx(0.02)


class Line(nn.Module):
    """A small problem whose draws are random, so that the random state matters between legs."""

    def __init__(self, seed: int = 0):
        super().__init__()
        torch.manual_seed(seed)
        self.layer = nn.Linear(3, 1)

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        return (self.layer(x) - y).square().mean()


class ShortLeg(Budget):
    """Ends its leg after three steps."""

    @property
    def leg_over(self) -> bool:
        return self.step >= 3


def draw(step: int) -> tuple[Tensor, Tensor]:
    x = torch.randn(8, 3)
    return x, x.sum(dim=1, keepdim=True) + step


RATES = Rates(batch_size=8, rate=0.1, warmup=2, average=0.9)


def test_two_legs_equal_one(tmp_path):
    whole, first, second = Line(), Line(), Line(seed=9)
    train_leg("line", whole, draw, tmp_path / "whole.pt", Budget(steps=7), RATES)
    train_leg("line", first, draw, tmp_path / "parts.pt", ShortLeg(steps=7), RATES)
    assert torch.load(tmp_path / "parts.pt", weights_only=True)["step"] == 3
    torch.manual_seed(123)
    budget = Budget(steps=7)
    train_leg("line", second, draw, tmp_path / "parts.pt", budget, RATES)
    assert budget.step == 7
    assert torch.equal(second.layer.weight, whole.layer.weight)
    assert torch.equal(second.layer.bias, whole.layer.bias)
    assert not torch.equal(first.layer.weight, whole.layer.weight)
    one, two = (torch.load(tmp_path / f"{name}.pt", weights_only=True)["weights"] for name in ("whole", "parts"))
    assert all(torch.equal(a, b) for a, b in zip(one["master"], two["master"], strict=True))


def test_a_complete_stage_takes_no_more_steps(tmp_path):
    module = Line()
    train_leg("line", module, draw, tmp_path / "s.pt", Budget(steps=2), RATES)
    done = module.layer.weight.clone()
    train_leg("line", module, draw, tmp_path / "s.pt", Budget(steps=2), RATES)
    assert torch.equal(module.layer.weight, done)


def test_the_averages_follow_and_are_what_is_left():
    module = Line()
    weights, expected = MasterWeights(module, RATES), module.layer.weight.detach().double()
    for step in range(30):
        module(*draw(step)).backward()
        weights.update(0.1, step)
        keep = min(0.9, (1 + step) / (10 + step))
        expected = keep * expected + (1 - keep) * module.layer.weight.detach().double()
    assert not torch.allclose(module.layer.weight.double(), expected, rtol=1e-4)
    weights.finish()
    assert torch.allclose(module.layer.weight.detach().double(), expected, rtol=1e-5)
    assert module.layer.weight.grad is None


def test_a_shard_is_whole_or_is_made_again(pool_folder, tmp_path):
    names = sorted(p.name for p in pool_folder.iterdir())
    assert names == ["000000.canny.npy", "000000.depth.npy", "000000.json", "000000.openpose.npy", "000000.rgb.npy"]
    shutil.copytree(pool_folder, tmp_path / "p")
    before = (tmp_path / "p/000000.rgb.npy").read_bytes()
    (tmp_path / "p/000000.json").unlink()
    assert Pool.open(tmp_path / "p", SHARD, 64, CPU).count == 0
    (tmp_path / "p/000000.rgb.npy").write_bytes(before[:100])
    render_shard(tmp_path / "p", 5, 0, 64, SHARD)
    assert (tmp_path / "p/000000.rgb.npy").read_bytes() == before
    (tmp_path / "p/000000.rgb.npy").write_bytes(b"untouched")
    render_shard(tmp_path / "p", 5, 0, 64, SHARD)
    assert (tmp_path / "p/000000.rgb.npy").read_bytes() == b"untouched"


def test_pool_holds_images_captions_and_maps(pool, pool_folder):
    pictures = np.load(pool_folder / "000000.rgb.npy")
    assert (pool.count, len(pool.captions), len(pool.person)) == (SHARD, SHARD, SHARD)
    assert torch.equal(pool.rgb, torch.from_numpy(pictures).permute(0, 3, 1, 2))
    assert {kind: tuple(pool.hints(kind, SHARD).shape) for kind in ("canny", "depth", "openpose")} == {
        "canny": (SHARD, 1, 64, 64), "depth": (SHARD, 1, 64, 64), "openpose": (SHARD, 3, 64, 64),
    }  # fmt: skip
    shown = pool.hints("openpose", SHARD).amax(dim=(1, 2, 3)) > 0
    assert all(bool(s) for s, person in zip(shown, pool.person, strict=True) if person)
    assert any(pool.person)
    assert not all(pool.person)


def test_whitening_moves_the_latents_and_no_image(vae, pool):
    x = as_input(pool.rgb[:4])
    before, std = vae.decode(vae.encode(x).mean), vae.encode(x).std
    latents = vae.encode(as_input(pool.rgb)).mean
    assert (latents.mean(dim=(0, 2, 3)).abs() > 0.01).any()
    whiten(vae, pool)
    white = torch.cat([vae.encode(as_input(part)).mean for part in pool.rgb.split(16)])
    assert torch.allclose(white.mean(dim=(0, 2, 3)), torch.zeros(4), atol=1e-3)
    assert torch.allclose(white.std(dim=(0, 2, 3)), torch.ones(4), atol=1e-3)
    assert torch.allclose(vae.decode(vae.encode(x).mean), before, atol=1e-3 * float(before.abs().max()))
    # The posterior's deviation shrinks or grows with its mean.
    ratio = std / vae.encode(x).std
    assert torch.allclose(ratio, latents.std(dim=(0, 2, 3))[:, None, None].expand_as(ratio), rtol=1e-2)


def test_psnr_is_that_of_its_definition(vae, pool):
    rgb = pool.rgb[:3]
    pictures = vae.decode(vae.encode(as_input(rgb)).mean).clamp(-1, 1)
    errors = ((as_input(rgb) - pictures).double() / 2).square().mean(dim=(1, 2, 3))
    assert reconstruction_psnr(vae, rgb) == pytest.approx(float(np.mean([-10 * math.log10(e) for e in errors])))


@pytest.fixture
def latents(pool, vae):
    latents = Latents.of(pool, vae, TINY_V.text)
    assert latents.refresh() == SHARD
    return latents


def test_latents_are_posteriors_and_token_ids(latents, pool, vae, tmp_path):
    posterior = vae.encode(as_input(pool.rgb[5:6]))
    assert torch.allclose(latents.mean[5].float(), posterior.mean[0], rtol=2e-3, atol=2e-3)
    assert torch.allclose(latents.std[5].float(), posterior.std[0], rtol=2e-3, atol=2e-3)
    assert torch.equal(latents.tokens.long(), tokenize(pool.captions, TINY_V.text))
    torch.manual_seed(0)
    many = latents.draw(torch.full((4000,), 5))
    assert torch.allclose(many.mean(dim=0), latents.mean[5].float(), atol=0.1 * float(latents.std[5].max()))
    assert torch.allclose(many.std(dim=0), latents.std[5].float(), rtol=0.1)
    latents.save(tmp_path / "latents.pt")
    again = Latents.of(pool, vae, TINY_V.text)
    again.load(tmp_path / "latents.pt")
    assert again.count == SHARD
    assert all(torch.equal(getattr(again, n), getattr(latents, n)) for n in ("mean", "std", "tokens"))


def test_the_unknown_token_is_the_row_that_files_keep_for_all_others(latents, tmp_path):
    base, vocabulary = tiny_base(TINY_V), latents.vocabulary
    unknown = unknown_token(vocabulary)
    assert unknown not in vocabulary
    assert {0, 49406, 49407} <= set(vocabulary)
    save_base(tmp_path / "b.safetensors", base, half=False, tokens=vocabulary)
    ours = base.text.tower.token_embedding.weight
    rows = open_base(tmp_path / "b.safetensors").text.tower.token_embedding.weight
    assert torch.equal(rows[vocabulary], ours[vocabulary])
    others = sorted(set(range(len(rows))) - set(vocabulary))
    assert torch.equal(rows[others], ours[unknown].expand(len(others), -1))


def test_prompts_are_emptied_and_words_become_unknown(latents):
    tokens, empty = latents.tokens, latents.empty_prompt
    special = (tokens == 49406) | (tokens == 49407) | (tokens == 0)
    lost = damage_prompts(tokens, empty, 7, DenoiserRecipe(unknown=1.0, prompt_drop=0.0))
    assert torch.equal(lost, torch.where(special, tokens, torch.full_like(tokens, 7)))
    dropped = damage_prompts(tokens, empty, 7, DenoiserRecipe(unknown=0.0, prompt_drop=1.0))
    assert torch.equal(dropped, empty.expand_as(tokens))
    assert torch.equal(damage_prompts(tokens, empty, 7, DenoiserRecipe(unknown=0.0, prompt_drop=0.0)), tokens)
    torch.manual_seed(0)
    many = damage_prompts(tokens.repeat(50, 1), empty, 7, DenoiserRecipe(unknown=0.0))
    share = float((many == empty).all(dim=1).float().mean())
    assert share == pytest.approx(0.1, abs=0.02)


def test_all_stages_from_nothing_to_installed_weights(pool_folder, tmp_path, monkeypatch):
    """Every stage for two steps; the same words again change nothing."""
    work, installed = tmp_path / "work", tmp_path / "installed"
    installed.mkdir()
    shutil.copytree(pool_folder, work / "pool")
    monkeypatch.setattr(recipe, "CONFIG", TINY_V)
    monkeypatch.setattr(recipe, "HELD_OUT", 2)
    monkeypatch.setattr(bundled, "FOLDER", installed)
    options = ["--work", str(work), "--steps", "2", "--batch-size", "2", "--device", "cpu", "--workers", "1"]
    options += ["--images", str(SHARD), "--conditions", str(SHARD)]
    monkeypatch.setattr("sys.argv", ["recipe", *recipe.STAGES, *options])
    recipe.main()
    report = json.loads((installed / "report.json").read_text())
    trained = [stage for stage in recipe.STAGES if stage not in ("render", "evaluate", "install")]
    assert sorted(report["stages"]) == sorted(trained)
    for (record,) in report["stages"].values():
        assert (record["steps"], record["batch_size"], record["pictures"], record["complete"]) == (2, 2, SHARD, True)
    assert set(report["figures"]) == {"psnr_db", "scenes", "prompt alone", "canny", "depth", "openpose"}
    assert report["figures"]["scenes"] == 2
    assert (work / "held-out-00.jpg").stat().st_size > 1000
    base = open_base(installed / "base.safetensors")
    for kind in ("canny", "depth", "openpose"):
        control = open_control(installed / f"{kind}.safetensors")
        assert (control.kind, control.base_sha256) == (kind, base.sha256)
        assert control.meta["license"] == "CC0-1.0"
        assert is_finite(control.model.state_dict())
    states = {p: p.stat().st_mtime_ns for p in Path(work).glob("*.pt")}
    monkeypatch.setattr("sys.argv", ["recipe", *trained, *options])
    recipe.main()
    assert {p: p.stat().st_mtime_ns for p in Path(work).glob("*.pt")} == states
    # Finished weights without the state of their training begin a stage anew.
    (work / "control-canny.pt").unlink()
    monkeypatch.setattr("sys.argv", ["recipe", "control-canny", *options])
    recipe.main()
    assert [r["steps"] for r in json.loads((work / "stages.json").read_text())["control-canny"]] == [2, 2]
    assert (work / "canny.safetensors").read_bytes() != (installed / "canny.safetensors").read_bytes()


def test_unknown_stages_are_refused(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr("sys.argv", ["recipe", "denoise", "--work", str(tmp_path)])
    with pytest.raises(SystemExit) as stop:
        recipe.main()
    assert stop.value.code == 2
    assert "the stages are render, autoencoder, denoiser" in capsys.readouterr().err
