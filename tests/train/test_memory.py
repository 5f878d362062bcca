"""Estimates of memory against the tensors of real steps, and what `--fit` chooses from them."""

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F

from cn.errors import UsageError
from cn.train import fit
from cn.train import memory as memories
from cn.train import task as tasks
from cn.train.config import TrainConfig
from cn.train.fit import Budget, budget_of, fitted
from cn.train.latent_batches import micro_batches
from cn.train.live_bytes import LiveBytes, norms_as_on_cuda
from cn.train.memory import MemoryEstimate, estimate_memory, kept_by_libraries, shape_networks
from cn.train.optimizer import make_optimizer, moment_bytes
from cn.train.request import check_request
from cn.train.shape_tensors import ShapeTensor, empty
from cn.train.trainer import batch_loss
from tests.helpers.cli import cn
from tests.helpers.model_helpers import TINY
from tests.helpers.training import CPU, begin, train
from tests.train.test_setup import CONFIG

# What is counted


@pytest.fixture(scope="session")
def tiny_base_file(tiny_sd_file):
    return tiny_sd_file


def test_live_bytes_are_those_of_existing_tensors():
    with LiveBytes() as live:
        x = torch.zeros(1000)
        y = x + 1
        view = y[:10]
        assert (live.now, live.peak) == (8192, 8192)
        del x, y
        assert live.now == 4096  # The view keeps its memory.
        del view
        (torch.ones(500) * 2).sum()
    assert (live.now, live.peak) == (0, 8192)


def test_tensors_without_values_take_the_memory_of_real_ones():
    def peak(x: torch.Tensor, weight: torch.Tensor) -> tuple[int, int]:
        with LiveBytes() as live:
            for _ in range(2):  # The second time results are known.
                with torch.autocast("cpu", torch.bfloat16):
                    y = F.linear(x, weight).view(2, 4, 50, 16)
                    out = F.scaled_dot_product_attention(y, y, y).transpose(1, 2).flatten(2)
                assert (out.dtype, out.shape) == (torch.bfloat16, (2, 50, 64))
                out.float().square().mean().backward()
                weight.grad = None
        return live.now, live.peak

    real = peak(torch.zeros(2, 50, 32), torch.zeros(64, 32, requires_grad=True))
    shapes = torch.empty(64, 32, device="meta")
    assert peak(empty(2, 50, 32), ShapeTensor(shapes, requires_grad=True)) == real


@pytest.mark.parametrize(
    "given",
    [
        {"unlock": "all"},
        {"precision": "bf16"},
        {"checkpoint_activations": True},
        {"links": "middle", "min_snr": 5.0},
    ],
)
def test_an_estimate_is_the_peak_of_a_real_step(tiny_base_file, pair_set, tmp_path, given):
    task = begin(tmp_path / "run", tiny_base_file, pair_set, steps=1, batch_size=4, **given)
    batch = next(micro_batches(task.source, task.networks.base, task.config, 0, workers=0, skip=pytest.fail))
    with LiveBytes() as live:
        batch_loss(task.networks, task.config, batch, 0, 0).backward()
    estimate = estimate_memory(TINY, task.config, encoded=0)
    computing = estimate.computing - kept_by_libraries("cpu", task.config.precision)
    fragments = memories._FRAGMENTS if task.config.checkpoint_activations else 0
    assert computing == pytest.approx((1 + fragments) * live.peak, rel=0.06)
    assert memories._step_peak(shape_networks(TINY, task.config), task.config) == pytest.approx(live.peak, rel=0.06)
    networks = task.networks
    everything = [p for n in (networks.control, *networks.base.networks.values()) for p in n.parameters()]
    encoder = list(networks.base.vae.encoder.parameters())
    everything, encoder = (sum(p.numel() * p.element_size() for p in part) for part in (everything, encoder))
    assert estimate.weights == everything - encoder
    assert estimate.optimizer == 8 * sum(p.numel() for p in networks.trainable.values())


def test_what_adds_to_memory():
    def estimate(encoded=0, **given) -> MemoryEstimate:
        return estimate_memory(TINY, replace(CONFIG, preview_every=0, **given), encoded=encoded)

    plain = estimate(batch_size=16)
    sizes = [p.numel() for p in shape_networks(TINY, CONFIG).trainable.values()]
    assert estimate(batch_size=16, ema=0.99).optimizer == plain.optimizer + 4 * sum(sizes)
    assert estimate(batch_size=16, optimizer="adamw8bit").optimizer == moment_bytes(
        sizes, replace(CONFIG, optimizer="adamw8bit")
    )
    more = estimate(batch_size=16, accumulate=2).computing - plain.computing
    assert 0.9 * 4 * sum(sizes) < more < 1.1 * 4 * sum(sizes)
    assert estimate(batch_size=16, checkpoint_activations=True).computing < plain.computing
    kept = kept_by_libraries("cpu", "fp32")
    assert estimate(batch_size=32).computing - kept > 1.8 * (plain.computing - kept)
    assert estimate(encoded=64, batch_size=1).computing > estimate(encoded=1, batch_size=1).computing
    assert estimate(encoded=1, batch_size=16).weights > plain.weights


def test_8_bit_moments_take_what_is_estimated(tmp_path, tiny_base_file, pair_set):
    pytest.importorskip("bitsandbytes")
    task = begin(tmp_path / "run", tiny_base_file, pair_set, optimizer="adamw8bit")
    optimizer = make_optimizer(task.networks, task.config)
    for parameter in task.networks.trainable.values():
        parameter.grad = torch.ones_like(parameter)
    optimizer.step()
    parts = [(name, t) for state in optimizer.state.values() for name, t in state.items() if torch.is_tensor(t)]
    total = sum(t.nbytes for name, t in parts if not name.startswith("qmap"))
    assert moment_bytes([p.numel() for p in task.networks.trainable.values()], task.config) == total


def test_norms_are_fp32_as_within_autocast_on_cuda():
    norm, x = torch.nn.Sequential(torch.nn.GroupNorm(2, 4), torch.nn.Conv2d(4, 4, 1)), torch.randn(1, 4, 8, 8)
    norms_as_on_cuda(norm)
    seen = []
    norm[0].register_forward_hook(lambda module, inputs, output: seen.append((inputs[0].dtype, output.dtype)))
    with torch.autocast("cpu", torch.bfloat16):
        norm(x.bfloat16())
    norm(x)
    assert seen == [(torch.float32, torch.float32)] * 2
    config = replace(CONFIG, batch_size=16, precision="bf16", preview_every=0, unlock="all")
    on_cuda, on_cpu = (estimate_memory(TINY, config, device, encoded=0) for device in ("cuda", "cpu"))
    more = on_cuda.computing - kept_by_libraries("cuda", "bf16")
    assert more > 1.1 * (on_cpu.computing - kept_by_libraries("cpu", "bf16"))


# What is chosen


def needs(config: TrainConfig, captured: bool = False) -> int:
    """A made-up estimate: 10 for the rest, 8 an image, 3 where activations are recomputed; 5 for moments; 6 more with
    CUDA graphs."""
    image = 3 if config.checkpoint_activations else 8
    return 10 + 6 * captured + image * config.batch_size + (1 if config.optimizer == "adamw8bit" else 5)


@pytest.fixture
def estimates(monkeypatch):
    def estimate(base, config, device, encoded, captured):
        return MemoryEstimate(needs(config, captured), 0, 0)

    monkeypatch.setattr(fit, "estimate_memory", estimate)


def choose(usable: int, device: str = "cpu", given=(), **options):
    config = replace(CONFIG, **{"batch_size": 8, **options})
    budget = Budget(usable, usable)
    return fitted(TINY, config, given, budget, torch.device(device), kept=0, encoded=lambda config: 1)


@pytest.mark.parametrize(
    ("usable", "batch", "accumulate", "checkpoint", "words"),
    [
        (79, 8, 1, False, "batch 8: "),
        (78, 4, 2, False, "batch 4 × 2 accumulated: "),
        (23, 1, 8, False, "batch 1 × 8 accumulated: "),
        (22, 2, 4, True, "batch 2 × 4 accumulated, activations recomputed: "),
        (18, 1, 8, True, "batch 1 × 8 accumulated, activations recomputed: "),
    ],
)
def test_the_least_loss_of_speed_that_fits_is_chosen(estimates, usable, batch, accumulate, checkpoint, words):
    config, text = choose(usable)
    assert (config.batch_size, config.accumulate, config.checkpoint_activations) == (batch, accumulate, checkpoint)
    assert text.startswith(words)
    assert config.optimizer == "adamw"


def test_8_bit_moments_come_last_and_only_where_they_work(estimates, monkeypatch):
    monkeypatch.setattr(fit, "find_spec", lambda name: True)
    config, text = choose(14, "cuda")
    assert (config.optimizer, config.batch_size) == ("adamw8bit", 1)
    assert "moments of 8 bits" in text
    with pytest.raises(UsageError, match=r"--fit: 14 bytes are too little; this run needs about 18 bytes"):
        choose(14, "cpu")
    monkeypatch.setattr(fit, "find_spec", lambda name: None)
    with pytest.raises(UsageError, match="too little"):
        choose(14, "cuda")


def test_graphs_are_left_out_where_they_would_not_fit(estimates):
    """A batch of 8 takes 79 bytes, and 6 more with them."""
    for usable, compiled, text in (
        (85, None, "batch 8: "),
        (84, False, "batch 8, no CUDA graphs: "),
    ):
        config, words = choose(usable, "cuda", steps=100)
        assert (config.batch_size, config.compile) == (8, compiled)
        assert words.startswith(text)
    assert choose(79, "cuda", given={"compile"}, compile=True)[0].compile is True
    assert choose(79, "cpu", steps=100)[0].compile is None
    assert choose(79, "cuda", steps=1)[0].compile is None, "too short for graphs, and perhaps compiled"


def test_options_that_are_given_stay(estimates):
    config, _ = choose(40, given={"batch_size"})
    assert (config.batch_size, config.accumulate, config.checkpoint_activations) == (8, 1, True)
    with pytest.raises(UsageError, match=r"--global-batch instead of --batch-size"):
        choose(38, given={"batch_size"})
    config, _ = choose(30, given={"checkpoint_activations"})
    assert (config.batch_size, config.accumulate, config.checkpoint_activations) == (1, 8, False)
    with pytest.raises(UsageError, match=r"--small-scale, a --size below 64"):
        choose(22, given={"checkpoint_activations"})
    config, _ = choose(47, global_batch=12, batch_size=6)
    assert (config.batch_size, config.accumulate) == (4, 3)


@pytest.mark.parametrize("given", [{}, {"preview_every": 5}, {"accumulate": 2}])
def test_a_graph_keeps_its_memory_beside_that_of_other_things(given):
    config = replace(CONFIG, batch_size=4, precision="bf16", **{"preview_every": 0, **given})
    networks = shape_networks(TINY, config)
    step, encoding = memories._step_peak(networks, config), memories._encoding_peak(networks, config, 1)
    preview = memories._preview_peak(networks, config) if config.preview_every else 0
    found = estimate_memory(TINY, config, "cuda", captured=True)
    libraries = kept_by_libraries("cuda", "bf16", captured=True)
    assert found.computing == step + max(encoding, preview) + libraries
    assert libraries > kept_by_libraries("cuda", "bf16")
    assert found.total > estimate_memory(TINY, config, "cuda").total


def test_budgets():
    assert budget_of("10GB", torch.device("cuda")).total == 10**10
    assert budget_of("10GB", CPU).usable < 0.95 * 10**10
    free = budget_of("auto", CPU)
    assert 0.9 * free.total < free.usable < free.total
    for wrong in ("much", "-1GB", "0"):
        with pytest.raises(UsageError, match="is no number of bytes"):
            check_request({"cond": "depth"}, fit=wrong)
    with pytest.raises(UsageError, match="--fit is for a new run"):
        check_request({}, resume="run", fit="12GB")


def test_a_run_is_made_to_fit_and_can_be_resumed(tmp_path, tiny_base_file, pair_set, monkeypatch):
    base = {"cond": "depth", "base": str(tiny_base_file), "data": (str(pair_set),), "steps": 1, "preview_every": 0}
    monkeypatch.setattr(fit, "_PROGRAM", {})
    monkeypatch.setattr(memories, "kept_by_libraries", lambda device, precision, previews, captured: 0)
    memories._estimate.cache_clear()
    one, four = (
        estimate_memory(TINY, replace(CONFIG, batch_size=n, accumulate=4 // n, preview_every=0)).total for n in (1, 4)
    )
    budget = f"{(one + four) / 2 / 0.95:.0f}"
    task = tasks.begin(tmp_path / "run", base, CPU, fit=budget)
    assert task.config.batch_size * task.config.accumulate == 4
    assert task.config.batch_size < 4
    assert task.fits.startswith(f"batch {task.config.batch_size} × {task.config.accumulate} accumulated: about ")
    train(task)
    assert TrainConfig.load(tmp_path / "run") == task.config
    memories._estimate.cache_clear()


def test_the_plan_on_the_command_line_says_what_fits(tmp_path, tiny_base_file, pair_set, estimates):
    words = ["train", "--cond", "depth", "--base", tiny_base_file, "--data", pair_set, "--dry-run", "--device", "cpu"]
    words += ["--out", tmp_path / "run", "--preview-every", 0]
    done = cn(*words, "--fit", "4GB")
    assert done.returncode == 0, done.stderr
    assert "batch 4: about 900.1 MB with the program itself of 4.00 GB" in done.stderr
    refused = cn(*words, "--fit", "600MB")
    assert refused.returncode == 2
    assert "600.0 MB are too little; this run needs about 947.5 MB at least" in refused.stderr
