"""A run from beginning to end: what it writes, what it learns, what it skips."""

import json

import numpy as np
import pytest
import torch

from cn import images
from cn.checkpoints.read.load import open_base, open_control
from cn.errors import InputError, UsageError, WeightsError
from cn.model.generate import Request, Sampling, generate
from cn.train import latent_batches, preview
from cn.train import task as tasks
from cn.train.config import TrainConfig
from cn.train.latent_batches import micro_batches
from cn.train.preview import Preview
from cn.train.stop import StopRequest
from cn.train.trainer import batch_loss
from tests.conftest import write_pairs
from tests.helpers.training import CPU, Listener, begin, same, train, weights


def test_a_run_leaves_control_metrics_previews_and_configuration(tmp_path, tiny_base_file, pair_set, monkeypatch):
    monkeypatch.setattr(preview, "COUNT", 1)
    run, listener = tmp_path / "run", Listener()
    task = begin(run, tiny_base_file, pair_set, steps=3, preview_every=2, save_every=2)
    assert not run.exists()
    result = train(task, listener)
    assert result.control == run / "control.safetensors"
    control = open_control(result.control)
    assert (control.kind, control.base_sha256) == ("depth", open_base(tiny_base_file).sha256)
    assert control.meta["step"] == 3
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [1, 2, 3]
    assert all(line["lr"] == 1e-3 and line["grad_norm"] > 0 and line["seconds"] > 0 for line in lines)
    assert lines[1]["smoothed"] == pytest.approx(0.95 * lines[0]["loss"] + 0.05 * lines[1]["loss"])
    assert sorted(p.name for p in (run / "previews").iterdir()) == [f"step-{n:06d}.png" for n in (0, 2, 3)]
    first, *_, last = (images.read(run / f"previews/step-{n:06d}.png") for n in (0, 2, 3))
    assert last.shape[0] > first.shape[0]  # one more row: before training
    assert images.read(run / "before.png").shape == (64, 64, 3)
    assert TrainConfig.load(run) == task.config
    assert [r.loss for r in listener.results] == [line["loss"] for line in lines]
    assert len(listener.notes) == 3


def test_training_learns_its_dataset(tmp_path, tiny_base_file, pair_set):
    listener = Listener()
    train(begin(tmp_path / "run", tiny_base_file, pair_set, steps=60, lr=3e-3, links="full"), listener)
    losses = [r.loss for r in listener.results]
    assert np.mean(losses[-15:]) < 0.9 * np.mean(losses[:15])


def test_preview_before_training_is_what_the_base_alone_samples(tiny_base_file, pair_set, tmp_path, monkeypatch):
    monkeypatch.setattr(preview, "COUNT", 2)
    task = begin(tmp_path / "run", tiny_base_file, pair_set, steps=1)
    sheet = Preview.of(task.source, task.config)
    assert len(sheet.examples) == 2
    sampled = sheet.sample(task.networks, task.config, StopRequest())
    requests = [Request(e.prompt, seed) for seed, e in enumerate(sheet.examples)]
    alone = list(generate(task.networks.base, requests, Sampling(64, 64)))
    assert all(np.array_equal(a, b) for a, b in zip(sampled, alone, strict=True))
    with torch.no_grad():
        task.networks.control.zero_middle.bias.fill_(1.0)
    moved = sheet.sample(task.networks, task.config, StopRequest())
    assert not any(np.array_equal(a, b) for a, b in zip(sampled, moved, strict=True))
    stop = StopRequest()
    stop.receive(2)
    assert sheet.sample(task.networks, task.config, stop) is None


def test_result_does_not_depend_on_workers_or_cache(tmp_path, tiny_base_file, pair_set, monkeypatch):
    for name, workers in (("inline", 0), ("processes", 2)):
        train(begin(tmp_path / name, tiny_base_file, pair_set, steps=2), workers=workers)
    assert same(weights(tmp_path / "inline"), weights(tmp_path / "processes"))
    monkeypatch.setattr(latent_batches, "CACHE_BYTES", 0)
    train(begin(tmp_path / "uncached", tiny_base_file, pair_set, steps=2))
    first = [json.loads((tmp_path / n / "metrics.jsonl").read_text().splitlines()[0]) for n in ("inline", "uncached")]
    assert first[0]["loss"] == pytest.approx(first[1]["loss"], rel=1e-4)


def test_cached_latents_are_encoded_once(tmp_path, tiny_base_file, pair_set):
    task = begin(tmp_path / "run", tiny_base_file, pair_set, steps=9)
    calls = []
    task.networks.base.vae.encoder.register_forward_hook(lambda module, args, output: calls.append(args[0].shape[0]))
    train(task)
    assert calls == [1] * 6


def test_options_that_change_the_graph_do_not_change_the_gradient(tiny_base_file, pair_set, tmp_path):
    def gradients(**given):
        task = begin(tmp_path / "run", tiny_base_file, pair_set, steps=1, **given)
        torch.nn.init.constant_(task.networks.control.zero_middle.weight, 0.01)
        batch = next(micro_batches(task.source, task.networks.base, task.config, 0, workers=0, skip=pytest.fail))
        batch_loss(task.networks, task.config, batch, 0, 0).backward()
        return [p.grad for p in task.networks.trainable.values()]

    plain = gradients()
    assert all(torch.equal(a, b) for a, b in zip(plain, gradients(checkpoint_activations=True), strict=True))
    half = gradients(precision="bf16")
    a, b = (torch.cat([g.flatten() for g in gradient]) for gradient in (plain, half))
    assert not torch.equal(a, b)
    assert torch.nn.functional.cosine_similarity(a, b, dim=0) > 0.9


def test_accumulated_batches_are_averaged(tmp_path, tiny_base_file, pair_set):
    """One step of 2 × 2 images: the loss is the mean of its micro-batches, each with draws of its own."""
    task = begin(tmp_path / "run", tiny_base_file, pair_set, steps=1, accumulate=2)
    stream = micro_batches(task.source, task.networks.base, task.config, 0, workers=0, skip=pytest.fail)
    with torch.no_grad():
        losses = [batch_loss(task.networks, task.config, batch, 0, micro).item() for micro, batch in enumerate(stream)]
    listener = Listener()
    train(task, listener)
    assert len(losses) == 2
    assert losses[0] != losses[1]
    assert listener.results[0].loss == pytest.approx(np.mean(losses), rel=1e-5)


def test_steps_0_writes_the_untrained_control(tmp_path, tiny_base_file, pair_set):
    assert train(begin(tmp_path / "run", tiny_base_file, pair_set, steps=0, preview_every=5)).step == 0
    control, base = open_control(tmp_path / "run/control.safetensors").model, open_base(tiny_base_file)
    assert not any(p.any() for p in control.zero_convolutions.parameters())
    assert same(control.encoder.state_dict(), base.unet.encoder.state_dict())
    assert not (tmp_path / "run/previews").exists()


def test_init_from_another_control(tmp_path, tiny_base_file, pair_set):
    first = train(begin(tmp_path / "a", tiny_base_file, pair_set, steps=2, condition_encoder="released"))
    task = begin(tmp_path / "b", tiny_base_file, pair_set, steps=0, init_from=str(first.control))
    assert task.config.condition_encoder == "released"
    train(task)
    assert same(weights(tmp_path / "a"), weights(tmp_path / "b"))
    with pytest.raises(UsageError, match="--cond-encoder cannot change it"):
        begin(tmp_path / "c", tiny_base_file, pair_set, init_from=str(first.control), condition_encoder="paper")
    with pytest.raises(WeightsError, match="a control was expected"):
        begin(tmp_path / "c", tiny_base_file, pair_set, init_from=str(tiny_base_file))


def test_broken_images_are_skipped_with_a_warning(tmp_path, tiny_base_file):
    data = write_pairs(tmp_path / "pairs", 6)
    task = begin(tmp_path / "run", tiny_base_file, data, steps=6)
    (data / "source/3.png").write_text("not an image")
    listener = Listener()
    train(task, listener)
    assert len(listener.results) == 6
    assert len(listener.warnings) == 1
    assert "source/3.png" in listener.warnings[0]
    assert (tmp_path / "run/warnings.txt").read_text().count("\n") == 1


def test_folders_that_are_not_empty_are_not_touched(tmp_path, tiny_base_file, pair_set):
    run = tmp_path / "run"
    train(begin(run, tiny_base_file, pair_set, steps=1))
    (run / "notes.txt").write_text("mine")
    with pytest.raises(InputError, match=f"continue with --resume {run}.*--overwrite"):
        begin(run, tiny_base_file, pair_set)
    given = {"cond": "depth", "base": str(tiny_base_file), "data": (str(pair_set),), "steps": 2, "preview_every": 0}
    assert train(tasks.begin(run, given, CPU, overwrite=True)).step == 2
    assert (run / "notes.txt").read_text() == "mine"
    assert len((run / "metrics.jsonl").read_text().splitlines()) == 2
