"""Several processes train what one process trains: with gloo on the CPU, with DDP and with FSDP2, and resumed."""

import json
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from cn import images
from cn.errors import UsageError
from cn.model.generate import Sampling
from cn.model.graphs import Graphs
from cn.model.unet import Block
from cn.train import preview
from cn.train import task as tasks
from cn.train.config import TrainConfig
from cn.train.distributed import parallel, sharded
from cn.train.distributed.checkpoint import METADATA
from cn.train.fast.graphs import Captured
from cn.train.latent_batches import micro_batches
from cn.train.world import ALONE, World
from tests.helpers.model_helpers import tiny_base
from tests.helpers.ranks import together, train
from tests.helpers.training import CPU, QUICK, weights

SMOOTH = {"adam_eps": 1.0, "lr": 0.1}
"""AdamW as it is moves a weight by the learning rate even where its gradient is nothing but rounding."""
SHARDED = {"steps": 2, "global_batch": 4}
"""Short, because each block takes several exchanges between the processes, which are slow on a busy machine."""


def options(base: Path, data: Path, **given: object) -> dict[str, object]:
    return {
        "cond": "depth",
        "base": str(base),
        "data": (str(data),),
        **QUICK,
        **SMOOTH,
        "steps": 3,
        "global_batch": 8,
        **given,
    }


def ran(count: int, run: Path, given: dict[str, object], resuming: bool = False, hook: Any = None) -> list[float]:
    """The losses of a run in `count` processes, as rank 0 saw them; the others say nothing."""
    first, *others = together(count, train, run, given, resuming, hook)
    assert (first.code, first.message) == (0, "")
    assert [other.value for other in others] == [[]] * (count - 1)
    return [loss for loss, _ in first.value]


@pytest.fixture(scope="module")
def alone(tmp_path_factory, tiny_base_file, pair_set):
    """Losses and weights of one process, by options; each is trained once."""
    known: dict[str, tuple[list[float], dict[str, dict[str, torch.Tensor]]]] = {}

    def run(**given):
        name = json.dumps(given, sort_keys=True)
        if name not in known:
            folder = tmp_path_factory.mktemp("alone") / "run"
            found = train(ALONE, folder, options(tiny_base_file, pair_set, **given))
            results = ["control", "base"] if "unlock" in given else ["control"]
            known[name] = [loss for loss, _ in found], {result: weights(folder, result) for result in results}
        return known[name]

    return run


def check_weights(run: Path, expected: dict[str, dict[str, torch.Tensor]]) -> None:
    for name, wanted in expected.items():
        found = weights(run, name)
        assert found.keys() == wanted.keys()
        assert [key for key in wanted if not torch.allclose(found[key], wanted[key], rtol=1e-5, atol=1e-5)] == []


@pytest.mark.parametrize(
    ("count", "given"),
    [
        (2, {}),
        (4, {}),
        (2, {"batch_size": 4, "links": "middle"}),
        (2, {"checkpoint_activations": True, "global_batch": 4, "ema": 0.9, "max_grad_norm": 0.1}),
        (2, {"shard_base": True, **SHARDED}),
    ],
)
def test_losses_and_weights_are_those_of_one_process(count, given, tmp_path, tiny_base_file, pair_set, alone):
    expected, trained = alone(**{name: value for name, value in given.items() if name != "shard_base"})
    found = ran(count, tmp_path / "run", options(tiny_base_file, pair_set, **given))
    assert found == pytest.approx(expected, rel=1e-5)
    lines = (tmp_path / "run/metrics.jsonl").read_text().splitlines()
    assert [json.loads(line)["loss"] for line in lines] == found
    check_weights(tmp_path / "run", trained)


@pytest.mark.parametrize(("counts", "given"), [((2, 1, 4), {}), ((1, 2, 1), {"unlock": "decoder", "ema": 0.9})])
def test_a_run_goes_on_with_another_number_of_processes(counts, given, tmp_path, tiny_base_file, pair_set, alone):
    expected, trained = alone(**given)
    run, found = tmp_path / "run", []
    for step, count in enumerate(counts, start=1):
        wanted = options(tiny_base_file, pair_set, **given, steps=step) if step == 1 else {"steps": step}
        if count == 1:
            found += [loss for loss, _ in train(ALONE, run, wanted, step > 1)]
        else:
            found += ran(count, run, wanted, step > 1)
        (state,) = (run / "state").glob(f"step-*{step}")
        assert (state / METADATA).exists() == ("unlock" in given and count > 1)
        assert TrainConfig.load(run).accumulate == 4 // count
        assert TrainConfig.load(run).global_batch == 8
    assert found == pytest.approx(expected, rel=1e-5)
    check_weights(run, trained)
    assert "sums are rounded otherwise" in (run / "warnings.txt").read_text()


def sampling_in_two_steps(world, task):
    """What the fixture `quick_previews` does, in a process of its own."""
    preview.Sampling = partial(Sampling, steps=2)


@pytest.mark.usefixtures("quick_previews")
def test_sharded_weights_are_trained_and_sampled_as_whole_ones(tmp_path, tiny_base_file, pair_set):
    """Losses, gradients that are clipped, averages, and what rank 0 shows of them."""
    how = {"unlock": "all", "ema": 0.5, "max_grad_norm": 0.5}
    shown = {"preview_every": 2, "eval_every": 2, "eval_images": 2}
    given = options(tiny_base_file, pair_set, **{**SHARDED, **how, **shown})
    alone, run = tmp_path / "alone", tmp_path / "run"
    expected = [loss for loss, _ in train(ALONE, alone, given)]
    assert ran(2, run, given, hook=sampling_in_two_steps) == pytest.approx(expected, rel=1e-5)
    check_weights(run, {name: weights(alone, name) for name in ("control", "base")})
    for step in (0, 2):
        sheets = [images.read(folder / f"previews/step-{step:06d}.png") for folder in (alone, run)]
        assert np.abs(sheets[0].astype(int) - sheets[1]).max() <= 2
    lines = [(folder / "evaluations.jsonl").read_text().splitlines() for folder in (alone, run)]
    means = [[json.loads(line)["mean"] for line in each] for each in lines]
    assert len(means[0]) == 2
    assert means[0] == pytest.approx(means[1], abs=1e-3)


def test_each_process_reads_its_own_images(tmp_path, tiny_base_file, pair_set):
    """Micro-batch m of a step belongs to process m mod W, and no process reads another one's images."""

    def prompts(world: World) -> list[list[str]]:
        task = tasks.begin(tmp_path / "run", options(tiny_base_file, pair_set, steps=2), CPU, world=world)
        read, shared = [], {"per_step": 4, "world": world}
        fetch = type(task.source).fetch
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(type(task.source), "fetch", lambda self, *draw: read.append(draw[0]) or fetch(self, *draw))
            found = micro_batches(
                task.source, task.networks.base, task.config, 0, workers=0, skip=pytest.fail, **shared
            )
            batches = [batch.prompts for batch in found]
        used = {prompt for batch in batches for prompt in batch}
        assert {f"image {index}" for index in read} == used
        return batches

    whole = prompts(ALONE)
    halves = [prompts(World(rank, 2)) for rank in range(2)]
    assert len(whole) == 8
    assert [batch for pair in zip(*halves, strict=True) for batch in pair] == whole


@pytest.mark.parametrize(
    ("size", "given", "message"),
    [
        (3, {"global_batch": 8}, "to 3 processes in batches of 2; what works: 1, 2 or 4 processes"),
        (2, {"global_batch": 9}, "what works: a --global-batch that is a multiple of 4"),
        (4, {"global_batch": 4}, "what works: 1 or 2 processes; --batch-size 1 in a new run"),
        (2, {"global_batch": 8, "accumulate": 4}, "is --accumulate 2, not 4; give one of the two"),
    ],
)
def test_a_global_batch_that_cannot_be_shared_out_says_what_works(
    size, given, message, tmp_path, tiny_base_file, pair_set
):
    with pytest.raises(UsageError, match=message):
        tasks.begin(tmp_path, {**options(tiny_base_file, pair_set), **given}, CPU, world=World(0, size))


def test_the_global_batch_is_what_was_given_at_the_start(tmp_path, tiny_base_file, pair_set):
    given = {**options(tiny_base_file, pair_set), "accumulate": 3}
    del given["global_batch"]
    config = tasks.begin(tmp_path, given, CPU, world=World(1, 4)).config
    assert (config.global_batch, config.accumulate) == (24, 3)


def test_shard_base_needs_several_processes(tmp_path, tiny_base_file, pair_set):
    with pytest.raises(UsageError, match="--shard-base is for several processes"):
        tasks.begin(tmp_path, options(tiny_base_file, pair_set, shard_base=True), CPU)
    for given in ({"optimizer": "adamw8bit"}, {"precision": "fp16"}):
        with pytest.raises(UsageError):
            tasks.begin(tmp_path, options(tiny_base_file, pair_set, unlock="all", **given), CPU, world=World(0, 2))


def test_the_base_joins_a_run_of_several_processes(tmp_path, tiny_base_file, pair_set, alone):
    """--large-scale-after: the weights are whole at first, and distributed from there on; averages go on."""
    given = {"unlock": "all", "large_scale_after": 1, "ema": 0.9, **SHARDED}
    expected, trained = alone(**given)
    found = ran(2, tmp_path / "run", options(tiny_base_file, pair_set, **given))
    assert found == pytest.approx(expected, rel=1e-5)
    check_weights(tmp_path / "run", trained)


def as_graphs(world, task):
    """As on GPUs of one machine: each process computes its gradient in a graph, here by a stand-in for the capture."""
    from cn.train import trainer
    from cn.train.fast.choice import Way
    from tests.helpers.graphs import Capture

    trainer.choose_way = lambda *args, local: Way(captured=local)
    trainer.Graphs = lambda warn: Graphs(warn, Capture())
    take_step = trainer.Trainer.take_step

    def taken(self, batches):
        assert (type(self.engine), self.parallel.averages, self.networks.replicas) == (Captured, True, {})
        return take_step(self, batches)

    trainer.Trainer.take_step = taken


@pytest.mark.parametrize("given", [{}, {"batch_size": 4, "max_grad_norm": 0.1}])
def test_gradients_of_graphs_are_averaged(given, tmp_path, tiny_base_file, pair_set, alone):
    """The first case accumulates two batches in each process."""
    expected, trained = alone(**given)
    first, second = together(2, train, tmp_path / "run", options(tiny_base_file, pair_set, **given), False, as_graphs)
    assert (first.code, first.message, second.value) == (0, "", [])
    assert [loss for loss, _ in first.value] == pytest.approx(expected, rel=1e-5)
    check_weights(tmp_path / "run", trained)


def averaged(world, bucket_bytes):
    parallel.BUCKET_BYTES = bucket_bytes
    layouts = [torch.zeros(()), torch.zeros(3, 4), torch.zeros(4, 2, 3, 3).to(memory_format=torch.channels_last)]
    given = [layout + torch.arange(layout.numel()).reshape(layout.shape) + world.rank for layout in layouts]
    parallel.average(given)
    expected = [layout + torch.arange(layout.numel()).reshape(layout.shape) + 0.5 for layout in layouts]
    return [torch.equal(a, b) and a.stride() == b.stride() for a, b in zip(given, expected, strict=True)]


@pytest.mark.parametrize("bucket_bytes", [1, 60, 2**20])
def test_gradients_of_any_size_and_layout_are_averaged(bucket_bytes):
    assert [outcome.value for outcome in together(2, averaged, bucket_bytes)] == [[True] * 3] * 2


def test_blocks_are_distributed_in_groups_that_run_one_after_the_other(monkeypatch):
    encoder = tiny_base().unet.encoder
    blocks = [*(block for block in encoder.blocks if isinstance(block, Block)), encoder.middle]
    sizes = [sum(p.numel() for p in block.parameters()) for block in blocks]
    monkeypatch.setattr(sharded, "GROUP_PARAMETERS", max(sizes))
    groups = sharded._groups(encoder)
    assert [block for group in groups for block in group] == blocks
    assert 1 < len(groups) < len(sizes)
    assert all(sum(p.numel() for b in group for p in b.parameters()) <= max(sizes) for group in groups)
