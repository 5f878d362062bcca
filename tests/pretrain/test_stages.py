"""Pretraining of the bundled weights, on narrow networks and 64-pixel scenes: its parts, and all its stages."""

import json
import math
import shutil
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch

from cn.checkpoints.read.load import open_base, open_control
from cn.checkpoints.write.native import save_base
from cn.model.generate import Sampling
from cn.model.text import tokenize
from cn.model.vae import AutoencoderKL
from cn.pretrain import __main__ as command
from cn.pretrain import evaluate, runner
from cn.pretrain.autoencoder import reconstruction_psnr, whiten
from cn.pretrain.denoiser import DenoiserConfig, corrupt_prompts
from cn.pretrain.latents import Latents, unknown_token
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


def test_a_shard_is_complete_or_rendered_again(pool_folder, tmp_path):
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
    images = np.load(pool_folder / "000000.rgb.npy")
    assert (pool.count, len(pool.captions), len(pool.person)) == (SHARD, SHARD, SHARD)
    assert torch.equal(pool.rgb, torch.from_numpy(images).permute(0, 3, 1, 2))
    assert {kind: tuple(pool.hints(kind, SHARD).shape) for kind in ("canny", "depth", "openpose")} == {
        "canny": (SHARD, 1, 64, 64),
        "depth": (SHARD, 1, 64, 64),
        "openpose": (SHARD, 3, 64, 64),
    }
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
    # The posterior's standard deviation shrinks or grows with its mean.
    ratio = std / vae.encode(x).std
    assert torch.allclose(ratio, latents.std(dim=(0, 2, 3))[:, None, None].expand_as(ratio), rtol=1e-2)


def test_psnr_is_that_of_its_definition(vae, pool):
    rgb = pool.rgb[:3]
    images = vae.decode(vae.encode(as_input(rgb)).mean).clamp(-1, 1)
    errors = ((as_input(rgb) - images).double() / 2).square().mean(dim=(1, 2, 3))
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
    lost = corrupt_prompts(tokens, empty, 7, DenoiserConfig(unknown=1.0, prompt_drop=0.0))
    assert torch.equal(lost, torch.where(special, tokens, torch.full_like(tokens, 7)))
    dropped = corrupt_prompts(tokens, empty, 7, DenoiserConfig(unknown=0.0, prompt_drop=1.0))
    assert torch.equal(dropped, empty.expand_as(tokens))
    assert torch.equal(corrupt_prompts(tokens, empty, 7, DenoiserConfig(unknown=0.0, prompt_drop=0.0)), tokens)
    torch.manual_seed(0)
    many = corrupt_prompts(tokens.repeat(50, 1), empty, 7, DenoiserConfig(unknown=0.0))
    share = float((many == empty).all(dim=1).float().mean())
    assert share == pytest.approx(0.1, abs=0.02)


def test_all_stages_from_nothing_to_installed_weights(pool_folder, tmp_path, monkeypatch):
    """Every stage for two steps; running them again changes nothing."""
    work, installed = tmp_path / "work", tmp_path / "installed"
    installed.mkdir()
    shutil.copytree(pool_folder, work / "pool")
    monkeypatch.setattr(runner, "MODEL", TINY_V)
    monkeypatch.setattr(runner, "HELD_OUT", 2)
    monkeypatch.setattr(evaluate, "Sampling", partial(Sampling, steps=2))
    monkeypatch.setattr(bundled, "FOLDER", installed)
    options = ["--work", str(work), "--steps", "2", "--batch-size", "2", "--device", "cpu", "--workers", "1"]
    options += ["--images", str(SHARD), "--conditions", str(SHARD)]
    monkeypatch.setattr("sys.argv", ["pretrain", *runner.STAGES, *options])
    command.main()
    report = json.loads((installed / "report.json").read_text())
    trained = [stage for stage in runner.STAGES if stage not in ("render", "evaluate", "install")]
    assert sorted(report["stages"]) == sorted(trained)
    for (record,) in report["stages"].values():
        assert (record["steps"], record["batch_size"], record["images"], record["complete"]) == (2, 2, SHARD, True)
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
    monkeypatch.setattr("sys.argv", ["pretrain", *trained, *options])
    command.main()
    assert {p: p.stat().st_mtime_ns for p in Path(work).glob("*.pt")} == states
    # Finished weights without the state of their training start a stage from scratch.
    (work / "control-canny.pt").unlink()
    monkeypatch.setattr("sys.argv", ["pretrain", "control-canny", *options])
    command.main()
    assert [r["steps"] for r in json.loads((work / "stages.json").read_text())["control-canny"]] == [2, 2]
    assert (work / "canny.safetensors").read_bytes() != (installed / "canny.safetensors").read_bytes()


def test_unknown_stages_are_refused(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr("sys.argv", ["pretrain", "denoise", "--work", str(tmp_path)])
    with pytest.raises(SystemExit) as stop:
        command.main()
    assert stop.value.code == 2
    assert "the stages are render, autoencoder, denoiser" in capsys.readouterr().err
