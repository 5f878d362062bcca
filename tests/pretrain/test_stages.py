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
from cn.conditions import KINDS
from cn.data.maps import training_map
from cn.model.text import tokenize
from cn.model.vae import AutoencoderKL
from cn.pretrain import __main__ as command
from cn.pretrain import pool as pools
from cn.pretrain import runner
from cn.pretrain.autoencoder import reconstruction_psnr, whiten
from cn.pretrain.denoiser import DenoiserConfig, DenoiserLoss, corrupt_prompts
from cn.pretrain.evaluate import evaluate
from cn.pretrain.latents import Latents
from cn.pretrain.pool import CAPTIONS, SHARD, Pool, as_input, load_maps, render_shard
from cn.pretrain.vocabulary import known_tokens, unknown_token
from cn.scenes import describe, render
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
    names = {p.name for p in pool_folder.iterdir()}
    assert {f"000000.{kind}.png" for kind in KINDS} | {"000000.json", "000000.rgb.npy"} <= names
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


def test_a_pool_holds_images_captions_and_maps(pool, pool_folder):
    images, records = np.load(pool_folder / "000000.rgb.npy"), json.loads((pool_folder / "000000.json").read_text())
    assert (pool.count, pool.shards, len(records)) == (SHARD, 1, SHARD)
    assert torch.equal(pool.rgb, torch.from_numpy(images).permute(0, 3, 1, 2))
    assert all(len(record["captions"]) == CAPTIONS for record in records)
    # Several captions of a scene, most of them different.
    assert sum(len(set(record["captions"])) > 1 for record in records) > SHARD / 2
    scenes = [describe(5, index) for index in range(SHARD)]
    for kind in KINDS:
        maps = load_maps(pool_folder, kind, 1, CPU)
        assert maps.shape[1] == (3 if kind in ("openpose", "openpifpaf", "ade20k", "coco", "normal") else 1)
        expected = training_map(render(scenes[3], 64), kind, 5, 3)
        assert torch.equal(maps[3].expand(3, -1, -1), torch.from_numpy(expected).permute(2, 0, 1)), kind
    shown = load_maps(pool_folder, "openpose", 1, CPU).amax(dim=(1, 2, 3)) > 0
    people = [record["person"] for record in records]
    assert all(bool(s) for s, person in zip(shown, people, strict=True) if person)
    assert any(people)
    assert not all(people)


def test_of_several_processes_each_takes_its_own_shards(pool_folder, tmp_path, monkeypatch):
    for number in range(3):
        shutil.copy(pool_folder / "000000.json", tmp_path / f"{number:06d}.json")
    taken = []
    for rank in range(2):
        monkeypatch.setattr(pools.replicas, "count", lambda: 2)
        monkeypatch.setattr(pools.replicas, "rank", lambda rank=rank: rank)
        taken.append([number for number, _ in pools.new_shards(tmp_path, 0)])
    assert taken == [[0, 2], [1]]


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
def latents(pool_folder, vae):
    latents = Latents.of(pool_folder, SHARD, 64, vae, TINY_V.text)
    assert latents.refresh() == SHARD
    return latents


def test_latents_are_posteriors_and_token_ids(latents, pool, vae, pool_folder):
    posterior = vae.encode(as_input(pool.rgb[5:6]))
    assert torch.allclose(latents.mean[5].float(), posterior.mean[0], rtol=2e-3, atol=2e-3)
    assert torch.allclose(latents.std[5].float(), posterior.std[0], rtol=2e-3, atol=2e-3)
    records = json.loads((pool_folder / "000000.json").read_text())
    for k in range(CAPTIONS):
        texts = [record["captions"][k] for record in records]
        assert torch.equal(latents.tokens[:, k].long(), tokenize(texts, TINY_V.text))
    assert latents.person == [record["person"] for record in records]
    torch.manual_seed(0)
    many = latents.draw(torch.full((4000,), 5))
    assert torch.allclose(many.mean(dim=0), latents.mean[5].float(), atol=0.1 * float(latents.std[5].max()))
    assert torch.allclose(many.std(dim=0), latents.std[5].float(), rtol=0.1)
    drawn = latents.draw_tokens(torch.full((400,), 5)).unique(dim=0)
    assert torch.equal(drawn, latents.tokens[5].unique(dim=0))


def test_the_unknown_token_is_the_row_that_files_keep_for_all_others(tmp_path):
    base, vocabulary = tiny_base(TINY_V), known_tokens(TINY_V.text)
    unknown = unknown_token(vocabulary)
    assert unknown not in vocabulary
    assert {0, 49406, 49407} <= set(vocabulary)
    save_base(tmp_path / "b.safetensors", base, half=False, tokens=vocabulary)
    ours = base.text.tower.token_embedding.weight
    rows = open_base(tmp_path / "b.safetensors").text.tower.token_embedding.weight
    assert torch.equal(rows[list(vocabulary)], ours[list(vocabulary)])
    others = sorted(set(range(len(rows))) - set(vocabulary))
    assert torch.equal(rows[others], ours[unknown].expand(len(others), -1))


def test_no_caption_has_an_unknown_token(latents):
    assert set(latents.tokens.unique().tolist()) <= set(known_tokens(TINY_V.text))


def test_dropped_skips_leave_the_middle_block_alone():
    """Where skips are dropped, the encoder's features do not reach the output but through the middle block."""
    torch.manual_seed(0)
    base = tiny_base(TINY_V)
    loss = DenoiserLoss(base)
    z, t, tokens = torch.randn(2, 4, 8, 8), torch.tensor([300, 700]), tokenize(["a", "b"], TINY_V.text)
    seen = []
    monitor = base.unet.decoder.register_forward_pre_hook(lambda module, args: seen.append(args))
    kept = torch.tensor([1.0, 0.0]).view(2, 1, 1, 1)
    loss(z, t, tokens, torch.zeros_like(z), kept)
    monitor.remove()
    middle, _, _, skips, _ = seen[0]
    assert all((skip[1] == 0).all() and (skip[0] != 0).any() for skip in skips)
    assert (middle[1] != 0).any()
    plain = loss(z, t, tokens, torch.zeros_like(z), torch.ones(2, 1, 1, 1))
    expected = base.unet(z, t, base.text(tokens)).square().mean()
    assert torch.allclose(plain, expected, rtol=1e-5)


def test_prompts_are_emptied_and_words_become_unknown(latents):
    tokens, empty = latents.tokens[:, 0], latents.empty_prompt
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
    monkeypatch.setattr(runner, "evaluate", partial(evaluate, steps=2))
    monkeypatch.setattr(runner, "SCENE_READER", installed / "reader.safetensors")
    monkeypatch.setattr(bundled, "FOLDER", installed)
    options = ["--work", str(work), "--steps", "2", "--batch-size", "2", "--device", "cpu", "--workers", "1"]
    options += ["--images", str(SHARD), "--conditions", str(SHARD), "--held-out", "4"]
    monkeypatch.setattr("sys.argv", ["pretrain", *runner.STAGES, *options])
    command.main()
    report = json.loads((installed / "report.json").read_text())
    trained = [stage for stage in runner.STAGES if stage not in ("render", "evaluate", "install")]
    assert sorted(report["stages"]) == sorted(trained)
    for (record,) in report["stages"].values():
        assert (record["steps"], record["batch_size"], record["images"], record["complete"]) == (2, 2, SHARD, True)
        assert (record["samples"], record["loss"] > 0) == (4, True)
    assert report["figures"]["scenes"] == 4
    assert set(report["figures"]["controls"]) == set(KINDS)
    assert (installed / "reader.safetensors").read_bytes() == (work / "reader.safetensors").read_bytes()
    base = open_base(installed / "base.safetensors")
    assert base.config == TINY_V
    for kind in KINDS:
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
    assert [r["steps"] for r in json.loads((work / "stage-control-canny.json").read_text())] == [2, 2]
    assert (work / "canny.safetensors").read_bytes() != (installed / "canny.safetensors").read_bytes()


def test_finished_weights_are_trained_on_in_another_folder(pool_folder, tmp_path, monkeypatch):
    """The base goes on from the finished one; a control keeps its difference to the base, which has moved."""
    monkeypatch.setattr(runner, "MODEL", TINY_V)
    first, second = tmp_path / "first", tmp_path / "second"
    common = ["--batch-size", "2", "--device", "cpu", "--images", str(SHARD), "--conditions", str(SHARD)]
    stages = ["autoencoder", "denoiser", "control-canny"]
    for folder, some in ((first, stages), (second, stages[:2])):
        shutil.copytree(pool_folder, folder / "pool")
        monkeypatch.setattr(
            "sys.argv", ["pretrain", *some, "--work", str(folder), "--steps", "2", *common, "--start", str(first)]
        )
        command.main()
    bases = [open_base(folder / "base.safetensors") for folder in (first, second)]
    one, other = (torch.cat([p.flatten() for p in base.unet.parameters()]) for base in bases)
    assert 0 < (one - other).norm() < 0.1 * one.norm()  # Two steps away, not another random network.
    args = command.parse()
    moved = runner.StageRunner(args).starts.control("canny")
    kept = open_control(first / "canny.safetensors").model
    differences = [
        [own - theirs for own, theirs in zip(c.encoder.parameters(), b.unet.encoder.parameters(), strict=True)]
        for c, b in ((kept, bases[0]), (moved, bases[1]))
    ]
    for one, other in zip(*differences, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)
    assert torch.equal(moved.zero_middle.weight, kept.zero_middle.weight)


@pytest.mark.parametrize(
    ("stage", "missing"),
    [
        ("denoiser", "there is no autoencoder: run the stage autoencoder first, or give --start"),
        ("control-canny", "base.safetensors: is missing: run the stages autoencoder and denoiser first"),
        ("evaluate", "reader.safetensors: is missing: run the stage reader first"),
    ],
)
def test_a_stage_says_which_stage_it_needs(monkeypatch, tmp_path, capsys, stage, missing):
    monkeypatch.setattr("sys.argv", ["pretrain", stage, "--work", str(tmp_path), "--steps", "1", "--device", "cpu"])
    with pytest.raises(SystemExit) as stop:
        command.main()
    assert stop.value.code == 1
    assert missing in capsys.readouterr().err


def test_a_base_of_other_sizes_gives_no_denoiser(monkeypatch, tmp_path, capsys):
    save_base(tmp_path / "base.safetensors", tiny_base(TINY_V))
    words = ["pretrain", "denoiser", "--work", str(tmp_path / "w"), "--start", str(tmp_path), "--steps", "1"]
    monkeypatch.setattr("sys.argv", [*words, "--device", "cpu"])
    with pytest.raises(SystemExit):
        command.main()
    assert "is a base of other sizes" in capsys.readouterr().err


def test_maps_are_of_whole_shards(monkeypatch, tmp_path):
    """A number of scenes with maps that is no multiple of a shard is rounded up."""
    asked = []
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        monkeypatch.setenv(name, "1")
    monkeypatch.setattr(pools, "make_folder", lambda folder: asked.append(folder))
    monkeypatch.setattr(pools.multiprocessing, "get_context", lambda way: Inline(asked))
    pools.render_pool(tmp_path, seed=1, count=SHARD + 1, conditions=8, size=64, workers=1)
    assert asked[1:] == [(tmp_path, 1, 0, 64, SHARD), (tmp_path, 1, 1, 64, SHARD)]


class Inline:
    """A pool of processes that only notes its jobs."""

    def __init__(self, jobs):
        self.jobs = jobs

    def Pool(self, workers):
        return self

    def __enter__(self):
        return self

    def __exit__(self, *error):
        return None

    def starmap(self, function, jobs, chunksize):
        self.jobs += jobs


def test_unknown_stages_are_refused(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr("sys.argv", ["pretrain", "denoise", "--work", str(tmp_path)])
    with pytest.raises(SystemExit) as stop:
        command.main()
    assert stop.value.code == 2
    assert "the stages are render, autoencoder, denoiser" in capsys.readouterr().err
