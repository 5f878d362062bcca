"""Compiled steps: equal losses, a limit of shapes, a way on where nothing compiles; and which way a run takes."""

import logging
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cn.model import compiled as compiling
from cn.model.compiled import MAX_SHAPES
from cn.model.config import UNetConfig
from cn.model.controlnet import ControlNet
from cn.model.graphs import Graphs
from cn.model.unet import UNet
from cn.train.fast import choice
from cn.train.fast.choice import PLAIN, Way, choose_encoding, choose_way
from cn.train.fast.choose import choose_encode, choose_engine
from cn.train.fast.encoding import CapturedEncode
from cn.train.fast.engines import Compiled, Plain
from cn.train.fast.graphs import Captured
from cn.train.fast.locked import half_norms, hold
from cn.train.latent_batches import micro_batches
from cn.train.loss import diffusion_loss
from cn.train.run import plan
from cn.train.step_inputs import StepInputs
from cn.train.trainer import Trainer
from tests.helpers.model_helpers import fill, tiny_base
from tests.helpers.training import begin

CUDA, CPU = torch.device("cuda"), torch.device("cpu")


class Backend:
    """A compiler that counts what it is given and runs it as it is."""

    def __init__(self) -> None:
        self.graphs = 0

    def __call__(self, graph: torch.fx.GraphModule, inputs: list[Tensor]) -> Callable:
        self.graphs += 1
        return graph.forward


def toy(weight: nn.Parameter) -> Plain:
    def loss_of(z0: Tensor, *others: Tensor) -> Tensor:
        return (weight * z0).square().sum()

    def backward(loss: Tensor) -> Tensor:
        loss.backward()
        return loss.detach()

    return Plain(loss_of, backward)


def inputs(batch: int) -> StepInputs:
    z = torch.ones(batch, 1)
    return StepInputs(z, torch.zeros(batch, dtype=torch.uint8), z, torch.zeros(batch, dtype=torch.long), z)


def test_each_shape_is_compiled_once_and_only_so_many():
    torch.compiler.reset()
    weight, backend = nn.Parameter(torch.tensor(2.0)), Backend()
    compiled = Compiled(toy(weight), pytest.fail, backend)
    for batch in [*range(1, MAX_SHAPES + 3), 1, 2]:
        assert compiled.gradient(inputs(batch)) == 4 * batch
    assert backend.graphs == MAX_SHAPES
    assert weight.grad == 4 * (sum(range(1, MAX_SHAPES + 3)) + 3)


def test_where_nothing_compiles_it_says_so_once_and_runs_plainly():
    torch.compiler.reset()

    def broken(graph: torch.fx.GraphModule, inputs: list[Tensor]) -> Callable:
        raise RuntimeError("Failed to find C compiler. Please specify via CC environment variable.")

    weight, warnings = nn.Parameter(torch.tensor(2.0)), []
    compiled = Compiled(toy(weight), warnings.append, broken)
    assert [float(compiled.gradient(inputs(batch))) for batch in (1, 1, 3)] == [4, 4, 12]
    assert weight.grad == 4 + 4 + 12
    assert len(warnings) == 1
    assert "cannot be compiled here" in warnings[0]
    assert "Failed to find C compiler" in warnings[0]


@pytest.mark.parametrize("error", [torch.OutOfMemoryError, KeyboardInterrupt])
def test_other_errors_are_not_taken_for_a_failed_compilation(error):
    def broken(*args: Tensor) -> Tensor:
        raise error

    compiled = Compiled(toy(nn.Parameter(torch.tensor(2.0))), pytest.fail, Backend())
    compiled.compiled = Plain(broken, lambda loss: loss)
    with pytest.raises(error):
        compiled.gradient(inputs(1))


@pytest.mark.parametrize(
    ("precision", "close", "backend"), [("fp32", 1e-5, "aot_eager_decomp_partition"), ("bf16", 4e-3, "eager")]
)
def test_traced_losses_and_gradients_are_the_plain_ones_within_rounding(precision, close, backend, caplog):
    """U-Net and control with every kind of block, in one graph without breaks, without generating code for it.

    The backward pass is traced in one precision only, which takes most of the time.
    """
    caplog.set_level(logging.WARNING, "torch.__trace")
    torch.compiler.reset()
    config = UNetConfig(channels=(32,), strides=(), res_blocks=1, attention_levels=(0,), heads=2, context_dim=16)
    unet, control = fill(UNet(config)).requires_grad_(False), fill(ControlNet(config))
    half, schedule = precision == "bf16", tiny_base().schedule
    if half:
        hold(unet.encoder, torch.bfloat16)
        hold(unet.decoder, torch.bfloat16)
        half_norms(control, torch.bfloat16)

    def loss_of(z0: Tensor, hint: Tensor, text: Tensor, t: Tensor, noise: Tensor) -> Tensor:
        with torch.autocast("cpu", torch.bfloat16, enabled=half):
            return diffusion_loss(unet, control, schedule, z0, hint.float() / 255, text, t, noise)

    z, text = torch.randn(2, 1, 4, 4, 4), torch.randn(1, 77, 16)
    hint = torch.randint(0, 256, (1, 3, 32, 32), dtype=torch.uint8)
    found = []
    for function in (loss_of, torch.compile(loss_of, backend=backend, dynamic=False, fullgraph=True)):
        control.zero_grad()
        loss = function(z[0], hint, text, torch.tensor([500]), z[1])
        loss.backward()
        found.append((loss.item(), torch.cat([p.grad.flatten() for p in control.parameters()])))
    (plain, gradient), (compiled, of_compiled) = found
    assert compiled == pytest.approx(plain, rel=close)
    assert torch.nn.functional.cosine_similarity(gradient, of_compiled, dim=0) > 1 - 10 * close


class NormAndTime(nn.Module):
    """What Inductor writes code for in a residual block, once: it leaves convolutions to other libraries."""

    def __init__(self) -> None:
        super().__init__()
        self.norm, self.time = nn.GroupNorm(32, 32), nn.Linear(16, 32)

    def forward(self, x: Tensor, emb: Tensor) -> Tensor:
        return F.silu(self.norm(x)) + self.time(emb)[:, :, None, None]


def test_compiled_code_computes_what_the_plain_one_does(caplog):
    """By Inductor's C++, forwards and backwards; the test before traces whole networks."""
    caplog.set_level(logging.WARNING, "torch.__trace")
    torch.compiler.reset()
    block = fill(NormAndTime())

    def loss_of(z0: Tensor, hint: Tensor, text: Tensor, t: Tensor, noise: Tensor) -> Tensor:
        return (block(z0, text) - noise).square().mean() + 0 * (hint.sum() + t.sum())

    def backward(loss: Tensor) -> Tensor:
        loss.backward()
        return loss.detach()

    given = StepInputs(
        torch.randn(2, 32, 4, 4), torch.ones(1, dtype=torch.uint8), torch.randn(2, 16), torch.zeros(1), torch.ones(1)
    )
    found, plain = [], Plain(loss_of, backward)
    for engine in (plain, Compiled(plain, pytest.fail)):
        block.zero_grad()
        found.append([engine.gradient(given), *(p.grad for p in block.parameters())])
    for a, b in zip(*found, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)


@pytest.fixture
def run(tmp_path, tiny_base_file, pair_set):
    return begin(tmp_path / "run", tiny_base_file, pair_set, steps=100)


COMPILED, CAPTURED, BOTH = Way(compiled=True), Way(captured=True), Way(compiled=True, captured=True)


def way(run: Any, steps: int = 1000, device: torch.device = CUDA, *, local: bool = True, **given: Any) -> Way:
    return choose_way(run.networks, replace(run.config, **given), steps, device, local=local)


def encoding(run: Any, steps: int = 1000, kept: int | None = None, *, local: bool = True, **given: Any) -> Way:
    return choose_encoding(run.networks, replace(run.config, **given), steps, CUDA, local=local, kept=kept)


def test_steps_are_captured_on_a_gpu(run):
    assert way(run) == way(run, deterministic=True) == CAPTURED
    assert way(run, steps=choice.MIN_CAPTURED - 1) == PLAIN
    assert way(run, steps=choice.MIN_CAPTURED // 2, accumulate=2) == CAPTURED
    assert way(run, device=CPU) == way(run, compile=False) == way(run, local=False) == PLAIN


def test_large_networks_are_compiled_too_where_the_run_is_long_enough(run, monkeypatch):
    monkeypatch.setattr(choice, "image_work", lambda networks, config: choice.SD_WORK)
    images = choice.COMPILE_SECONDS / choice.SAVED_SECONDS
    assert way(run, steps=int(1.1 * images / 4), batch_size=4) == BOTH
    assert way(run, steps=int(0.9 * images / 4), batch_size=4) == CAPTURED
    assert way(run, steps=int(1.1 * images / 16), batch_size=4, accumulate=4) == BOTH
    assert way(run, steps=int(1.1 * images / 4), batch_size=4, buckets=True) == CAPTURED
    assert way(run, steps=int(1.1 * MAX_SHAPES * images / 4), batch_size=4, buckets=True) == BOTH
    large = choice.MAX_CAPTURED_IMAGES + 1
    assert way(run, batch_size=large - 1) == CAPTURED
    assert way(run, batch_size=large) == PLAIN, "the GPU is busy, and a graph takes memory"
    assert way(run, batch_size=large, compile=True) == COMPILED
    long = int(1e7)
    assert way(run, steps=long, deterministic=True) == CAPTURED
    assert way(run, steps=long, local=False) == way(run, steps=long, device=CPU) == PLAIN
    assert way(run, steps=1, device=CPU, compile=True) == way(run, local=False, compile=True) == COMPILED
    assert way(run, compile=True) == BOTH


def test_encoding_is_captured_and_compiled_where_that_pays(run, monkeypatch):
    assert encoding(run) == encoding(run, steps=1, kept=choice.MIN_CAPTURED) == CAPTURED
    assert encoding(run, kept=choice.MIN_CAPTURED - 1) == encoding(run, compile=False) == PLAIN
    assert encoding(run, local=False) == PLAIN
    assert encoding(run, compile=True) == BOTH
    assert encoding(run, kept=100, compile=True) == CAPTURED, "compiling takes longer than to encode 100 images"
    parameters = sum(p.numel() for p in run.networks.base.vae.encoder.parameters())
    monkeypatch.setattr(choice, "SD_ENCODING", 64 * parameters)
    images = choice.COMPILE_ENCODER_SECONDS / choice.SAVED_BY_ENCODING
    assert encoding(run, batch_size=choice.MAX_CAPTURED_IMAGES + 1) == PLAIN
    for count, expected in ((1.1 * images, BOTH), (0.9 * images, CAPTURED)):
        assert encoding(run, steps=int(count / 4), batch_size=4) == encoding(run, kept=int(count)) == expected


def test_work_is_counted_in_cells_and_parameters(run):
    networks = run.networks
    parameters = sum(p.numel() for n in (networks.base.unet, networks.control) for p in n.parameters())
    assert choice.image_work(networks, run.config) == 8 * 8 * parameters
    assert choice.image_work(networks, replace(run.config, size=128)) == 16 * 16 * parameters


def kinds(made: Any, inner: str) -> list[type]:
    """The classes of an engine, and of those that it runs."""
    return [type(made), *(kinds(getattr(made, inner), inner) if hasattr(made, inner) else [])]


def test_engine_and_encoder_are_what_was_chosen(run, monkeypatch):
    graphs = Graphs(pytest.fail)
    for chosen, engines, encoders in (
        (PLAIN, [Plain], []),
        (COMPILED, [Compiled], [compiling.Compiled]),
        (CAPTURED, [Captured, Plain], [CapturedEncode]),
        (BOTH, [Captured, Compiled], [CapturedEncode, compiling.Compiled]),
    ):
        monkeypatch.setattr("cn.train.fast.choose.choose_encoding", lambda *args, chosen=chosen, **kwargs: chosen)
        engine = choose_engine(run.networks, run.config, chosen, max, abs, graphs, pytest.fail)
        assert kinds(engine, "engine") == engines
        encode = choose_encode(run.networks, run.config, 9, None, graphs, pytest.fail, local=True)
        assert kinds(encode, "encode")[: len(encoders)] == encoders


def test_a_run_goes_on_where_its_step_does_not_compile(tmp_path, tiny_base_file, pair_set):
    """With a compiler that fails: the losses of a run without it, and one warning."""
    torch.compiler.reset()
    warnings, losses = [], {}
    for name in ("plain", "broken"):
        task = begin(tmp_path / name, tiny_base_file, pair_set, steps=2, accumulate=2)
        trainer = Trainer(task.networks, task.config, warn=warnings.append)
        if name == "broken":
            compiled = Compiled(trainer.engine, warnings.append, Backend())
            compiled.compiled.loss_of = fail_to_compile
            trainer.engine = compiled
        stream = micro_batches(task.source, task.networks.base, task.config, 0, workers=0, skip=pytest.fail)
        losses[name] = [trainer.take_step(stream).numbers() for _ in range(2)]
    assert losses["broken"] == losses["plain"]
    assert len(warnings) == 1


def fail_to_compile(*tensors: Tensor) -> Tensor:
    from torch._dynamo.exc import Unsupported

    raise Unsupported("a graph that no compiler takes")


def test_the_plan_says_which_way_a_run_takes(run, monkeypatch):
    texts = {}
    for chosen in (PLAIN, COMPILED, CAPTURED, BOTH):
        monkeypatch.setattr("cn.train.plan.choose_way", lambda *args, chosen=chosen, **kwargs: chosen)
        texts[chosen] = plan(run)["computing"]
    assert texts[PLAIN] == "cpu, fp32"
    assert texts[COMPILED] == "cpu, fp32, compiled at the start (minutes)"
    assert texts[CAPTURED] == "cpu, fp32, as a CUDA graph"
    assert texts[BOTH] == "cpu, fp32, compiled at the start (minutes), as a CUDA graph"
    monkeypatch.undo()
    assert plan(replace(run, config=replace(run.config, compile=True)))["computing"] == texts[COMPILED]
