"""A run from beginning to end, and its parts: configuration, draws, feeding, precision, memory, plan."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from cn import app, images, options
from cn.checkpoints.read.load import open_base, open_control
from cn.data.scenes import EVAL_SEED, ScenePairs
from cn.errors import InputError, UsageError, WeightsError
from cn.model.base import Base
from cn.model.config import PRESETS
from cn.model.generate import Request, Sampling, generate
from cn.train import feed, preview
from cn.train import task as tasks
from cn.train.config import TrainConfig, default_steps
from cn.train.draws import Stream, generator, image_indices, timesteps
from cn.train.loop import batch_loss
from cn.train.memory import estimate_memory
from cn.train.parts import assemble, choose_precision, fresh_control
from cn.train.preview import Preview
from cn.train.run import plan
from cn.train.stop import StopRequest
from tests.conftest import write_pairs
from tests.helpers.model_helpers import TINY
from tests.helpers.training import CPU, Listener, begin, same, train, weights

CONFIG = TrainConfig(cond="depth", base="b", base_sha256="", size=64, steps=3, lr=1e-3)


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
    sampled = sheet.sample(task.parts, task.config, StopRequest())
    requests = [Request(e.prompt, seed) for seed, e in enumerate(sheet.examples)]
    alone = list(generate(task.parts.base, requests, Sampling(64, 64)))
    assert all(np.array_equal(a, b) for a, b in zip(sampled, alone, strict=True))
    with torch.no_grad():
        task.parts.control.zero_middle.bias.fill_(1.0)
    moved = sheet.sample(task.parts, task.config, StopRequest())
    assert not any(np.array_equal(a, b) for a, b in zip(sampled, moved, strict=True))
    stop = StopRequest()
    stop.receive(2)
    assert sheet.sample(task.parts, task.config, stop) is None


def test_result_does_not_depend_on_workers_or_cache(tmp_path, tiny_base_file, pair_set, monkeypatch):
    for name, workers in (("inline", 0), ("processes", 2)):
        train(begin(tmp_path / name, tiny_base_file, pair_set, steps=2), workers=workers)
    assert same(weights(tmp_path / "inline"), weights(tmp_path / "processes"))
    monkeypatch.setattr(feed, "CACHE_BYTES", 0)
    train(begin(tmp_path / "uncached", tiny_base_file, pair_set, steps=2))
    first = [json.loads((tmp_path / n / "metrics.jsonl").read_text().splitlines()[0]) for n in ("inline", "uncached")]
    assert first[0]["loss"] == pytest.approx(first[1]["loss"], rel=1e-4)


def test_cached_latents_are_encoded_once(tmp_path, tiny_base_file, pair_set):
    task = begin(tmp_path / "run", tiny_base_file, pair_set, steps=9)
    calls = []
    task.parts.base.vae.encoder.register_forward_hook(lambda module, args, output: calls.append(args[0].shape[0]))
    train(task)
    assert calls == [1] * 6


def test_options_that_change_the_graph_do_not_change_the_gradient(tiny_base_file, pair_set, tmp_path):
    def gradients(**given):
        task = begin(tmp_path / "run", tiny_base_file, pair_set, steps=1, **given)
        torch.nn.init.constant_(task.parts.control.zero_middle.weight, 0.01)
        batch = next(feed.micro_batches(task.source, task.parts.base, task.config, 0, workers=0, warn=pytest.fail))
        batch_loss(task.parts, task.config, batch, 0, 0).backward()
        return [p.grad for p in task.parts.trainable.values()]

    plain = gradients()
    assert all(torch.equal(a, b) for a, b in zip(plain, gradients(checkpoint_activations=True), strict=True))
    half = gradients(precision="bf16")
    a, b = (torch.cat([g.flatten() for g in gradient]) for gradient in (plain, half))
    assert not torch.equal(a, b)
    assert torch.nn.functional.cosine_similarity(a, b, dim=0) > 0.9


def test_accumulated_batches_are_averaged(tmp_path, tiny_base_file, pair_set):
    """One step of 2 × 2 images: the loss is the mean of its micro-batches, each with draws of its own."""
    task = begin(tmp_path / "run", tiny_base_file, pair_set, steps=1, accumulate=2)
    stream = feed.micro_batches(task.source, task.parts.base, task.config, 0, workers=0, warn=pytest.fail)
    with torch.no_grad():
        losses = [batch_loss(task.parts, task.config, batch, 0, micro).item() for micro, batch in enumerate(stream)]
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
    with pytest.raises(UsageError, match=f"continue with --resume {run}.*--overwrite"):
        begin(run, tiny_base_file, pair_set)
    given = {"cond": "depth", "base": str(tiny_base_file), "data": str(pair_set), "steps": 2, "preview_every": 0}
    assert train(tasks.begin(run, given, CPU, overwrite=True)).step == 2
    assert (run / "notes.txt").read_text() == "mine"
    assert len((run / "metrics.jsonl").read_text().splitlines()) == 2


def test_configuration_goes_through_toml(tmp_path):
    odd = replace(CONFIG, base='a "quoted" \\ näme\x7f\n', lr=1e-5, seed=2**63, checkpoint_activations=True)
    odd.save(tmp_path)
    assert TrainConfig.load(tmp_path) == odd
    for line, message in (
        ("size = 1.5", "--size must be a whole number, not 1.5"),
        ("checkpoint_activations = 1", "--checkpoint-activations must be true or false, not 1"),
        ("color = 1", "unknown option 'color'"),
        ("batch_size = 0", "--batch-size must be at least 1"),
    ):
        name = line.split(" ")[0]
        kept = [x for x in options.to_toml(CONFIG).splitlines() if not x.startswith(f"{name} ")]
        (tmp_path / "config.toml").write_text("\n".join([*kept, line]))
        with pytest.raises(InputError, match=message):
            TrainConfig.load(tmp_path)


@pytest.mark.parametrize(
    "wrong",
    [{"steps": -1}, {"batch_size": 0}, {"prompt_drop": 1.5}, {"lr": 0.0}, {"lr": float("nan")}, {"seed": -1}],
)
def test_values_out_of_range_are_refused(wrong):
    with pytest.raises(UsageError, match=f"--{next(iter(wrong)).replace('_', '-')}"):
        replace(CONFIG, **wrong)


def test_draws_are_functions_of_seed_step_and_purpose():
    def draw(*key):
        return torch.rand(4, generator=generator(*key)).tolist()

    keys = [(s, t, m, stream) for s in (0, 1) for t in (0, 1) for m in (0, 1) for stream in (Stream.TIME, Stream.NOISE)]
    assert len({tuple(draw(*key)) for key in keys}) == len(keys)
    assert draw(*keys[3]) == draw(*keys[3])
    t = timesteps(20_000, 1000, generator(0, 0, 0, Stream.TIME))
    assert (int(t.min()), int(t.max())) == (0, 999)
    assert abs(t.float().mean() - 499.5) < 4 * 288.7 / 20_000**0.5


def test_every_image_comes_once_an_epoch():
    batches = [image_indices(0, step, micro, 2, 3, 7) for step in range(7) for micro in range(2)]
    flat = [i for batch in batches for i in batch]
    epochs = [flat[i : i + 7] for i in range(0, 42, 7)]
    assert all(sorted(epoch) == list(range(7)) for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) > 1
    assert [image_indices(0, step, 0, 1, 3, None) for step in range(2)] == [[0, 1, 2], [3, 4, 5]]


def test_scenes_of_training_are_never_those_of_evaluation(tmp_path, tiny_base_file):
    task = begin(tmp_path / "run", tiny_base_file, "", cond="pose", scenes=9)
    assert task.source == ScenePairs("openpose", 64, seed=0, start=0, count=9)
    held_out = ScenePairs("openpose", 64, EVAL_SEED)
    assert Preview.of(task.source, task.config).examples[0].prompt == held_out[2_000_000].prompt
    with pytest.raises(UsageError, match="reserved for held-out"):
        begin(tmp_path / "run", tiny_base_file, "", seed=EVAL_SEED)


def test_precision_and_default_steps():
    assert choose_precision("auto", CPU) == "fp32"
    assert choose_precision("bf16", CPU) == "bf16"
    for word, message in (("fp16", "needs a CUDA device"), ("int8", "--precision must be")):
        with pytest.raises(UsageError, match=message):
            choose_precision(word, CPU)
    assert [default_steps(PRESETS[name]) for name in ("sd15", "sd21", "scenes")] == [50_000, 50_000, 300]


def test_memory_estimate(tiny_base_file, pair_set, tmp_path):
    task = begin(tmp_path / "run", tiny_base_file, pair_set, steps=1, unlock="all")
    estimate = estimate_memory(TINY, task.config)
    networks = [task.parts.control, *task.parts.base.networks.values()]
    assert estimate.weights == 4 * sum(p.numel() for n in networks for p in n.parameters())
    full = sum(p.numel() for n in (task.parts.control, task.parts.base.unet) for p in n.parameters())
    assert estimate.optimizer == 12 * full
    seen: dict[int, int] = {p.untyped_storage().data_ptr(): 0 for n in networks for p in n.parameters()}
    held = []

    def note(tensor):
        held.append(tensor)
        seen.setdefault(tensor.untyped_storage().data_ptr(), tensor.untyped_storage().nbytes())
        return tensor

    batch = next(feed.micro_batches(task.source, task.parts.base, task.config, 0, workers=0, warn=pytest.fail))
    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        batch_loss(task.parts, task.config, batch, 0, 0)
    assert estimate.activations == pytest.approx(sum(seen.values()), rel=0.02)
    less = estimate_memory(TINY, replace(task.config, checkpoint_activations=True))
    assert less.activations < 0.6 * estimate.activations
    locked = estimate_memory(TINY, replace(task.config, unlock="none"))
    assert (locked.optimizer, locked.weights) == (
        12 * sum(p.numel() for p in task.parts.control.parameters()),
        estimate.weights,
    )


def test_plan_says_what_is_trained(tiny_base_file, pair_set, tmp_path):
    rows = plan(begin(tmp_path / "run", tiny_base_file, pair_set, links="middle", steps=7, accumulate=3))
    assert "the 12 encoder blocks and the middle block" in rows["trains"]
    assert "1 zero convolution:" in rows["trains"]
    assert "small-scale" in rows["links"]
    assert rows["steps"] == "7 of batch 2 × 3 accumulated"
    assert "6 pairs" in rows["data"]
    assert rows["prompts"].startswith("50%")
    assert "--cond-encoder released" in rows["note"]
    released = begin(tmp_path / "run", tiny_base_file, pair_set, condition_encoder="released", unlock="decoder")
    assert plan(released)["note"] is None
    assert "the base's decoder" in plan(released)["trains"]


def cn(*words: object) -> int:
    return app.run([str(word) for word in words])


def test_command_trains_and_prints_the_control(tmp_path, tiny_base_file, pair_set, capsys):
    run = tmp_path / "run"
    words = ["train", "--cond", "depth", "--base", tiny_base_file, "--data", pair_set, "--out", run]
    words += ["--batch-size", 1, "--preview-every", 0, "--workers", 0, "--device", "cpu"]
    assert cn(*words, "--steps", 2, "--dry-run") == 0
    assert not run.exists()
    assert cn(*words, "--steps", 2) == 0
    shown = capsys.readouterr()
    assert shown.out == f"{run / 'control.safetensors'}\n"
    assert "Training a ControlNet for depth" in shown.err
    assert cn("train", "--resume", run, "--steps", 3, "--json", "-q", "--workers", 0, "--device", "cpu") == 0
    record = json.loads(capsys.readouterr().out)
    assert record == {"path": str(run / "control.safetensors"), "kind": "depth", "step": 3, "run": str(run)}
    assert cn("train", "--resume", run, "--device", "cpu") == 0
    assert "already has its 3 steps" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        ("--cond depth --unlock all", 2, "--unlock needs --large-scale"),
        ("--cond depth --reconnect", 2, "--resume RUN"),
        ("--resume x --out y", 2, "no --out"),
        ("", 2, "give --cond"),
        ("--cond depth --batch-size 0", 2, "--batch-size must be at least 1, not 0"),
        ("--cond depth --precision int8", 2, "'int8' is not one of"),
        ("--cond depth --cond-encoder small", 2, "'small' is not one of 'paper', 'released'"),
        ("--cond sketch --base {base}", 2, "unknown condition"),
        ("--cond hed --base {base}", 2, "built-in scenes have no hed maps"),
        ("--cond depth --base {base} --size 60", 2, "multiple of 64"),
        ("--cond canny --base {base} --data {data}", 2, "holds depth maps, not canny"),
        ("--cond depth --base {base} --data {data}/none", 3, "no such file or folder"),
        ("--cond depth --base {base} --data {data} --lr 0", 2, "--lr must be"),
        ("--cond depth --base nothing", 4, "no weights are called"),
        ("--cond depth --base {base} --init-from {base}", 4, "a control was expected"),
        ("--resume {data}", 3, "not a training run"),
        ("--cond depth --base {base} --precision fp16", 2, "needs a CUDA device"),
    ],
)
def test_command_errors_are_one_line(words, code, message, tmp_path, tiny_base_file, pair_set, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    given = words.format(base=tiny_base_file, data=pair_set).split()
    assert cn("train", *given, "--device", "cpu") == code
    shown = capsys.readouterr()
    assert message in " ".join(shown.err.split())
    assert "Traceback" not in shown.err
    assert shown.out == ""
    assert list(tmp_path.iterdir()) == []


def test_bad_pairs_are_refused_before_training(tmp_path, tiny_base_file, capsys):
    def refused(change, message):
        data = tmp_path / f"data{len(list(tmp_path.iterdir()))}"
        change(write_pairs(data, 3))
        words = ["--cond", "depth", "--base", tiny_base_file, "--data", data, "--out", tmp_path / "run"]
        assert cn("train", *words, "--steps", 1, "--device", "cpu") == 3
        assert message in " ".join(capsys.readouterr().err.split())
        assert not (tmp_path / "run").exists()

    refused(lambda d: (d / "source/1.png").unlink(), "prompt.json:2: the source image")
    refused(lambda d: (d / "target/2.png").write_text("some text"), "2.png: not an image but text")
    refused(lambda d: (d / "prompt.json").write_text('{"source": "a.p'), "prompt.json:1: not a JSON object")
    refused(
        lambda d: images.write(d / "source/0.png", np.zeros((64, 32, 3), np.uint8)),
        "prompt.json:1: source is 32×64 and target 64×64",
    )


def test_the_seed_decides_the_condition_encoder_and_cpu_weights_are_not_rounded():
    base = Base.create(TINY)
    one, again, other = (fresh_control(base, replace(CONFIG, seed=seed)) for seed in (0, 0, 1))
    assert same(one.state_dict(), again.state_dict())
    assert not same(one.state_dict(), other.state_dict())
    parts = assemble(base, one, replace(CONFIG, precision="bf16"))
    assert {p.dtype for p in [*parts.base.unet.parameters(), *parts.control.parameters()]} == {torch.float32}
