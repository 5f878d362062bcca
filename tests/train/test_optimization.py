"""What the options of optimizer, schedule and loss do: each against numbers computed by hand."""

import json
import sys
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from diffusers import DDPMScheduler
from diffusers.optimization import get_scheduler
from diffusers.training_utils import compute_snr

from cn.errors import UsageError
from cn.model.config import ScheduleConfig
from cn.model.controlnet import ControlNet
from cn.model.schedule import Schedule
from cn.model.unet import UNet
from cn.train.latent_batches import micro_batches
from cn.train.loss import diffusion_loss, min_snr_weights
from cn.train.optimizer import make_optimizer
from cn.train.options.checks import check_installed
from cn.train.random_draws import Stream, generator, noise_like, offset_noise
from cn.train.request import check_request
from cn.train.run_folder import find_state
from cn.train.schedule import learning_rate
from cn.train.trainer import Trainer, batch_loss
from tests.helpers.model_helpers import TINY
from tests.helpers.training import Listener, begin, resume, same, train, weights
from tests.train.test_setup import CONFIG

# Schedules


def rates(steps: int, **given) -> list[float]:
    return [learning_rate(replace(CONFIG, steps=steps, lr=1.0, **given), step) for step in range(steps)]


def test_learning_rates_are_those_of_their_formulas():
    assert rates(4) == [1.0] * 4
    assert rates(4, schedule="linear") == [1.0, 0.75, 0.5, 0.25]
    assert rates(4, schedule="cosine") == pytest.approx([1.0, 0.5 + 0.5 * 0.5**0.5, 0.5, 0.5 - 0.5 * 0.5**0.5])
    assert rates(6, schedule="linear", warmup=2) == [0.5, 1.0, 1.0, 0.75, 0.5, 0.25]
    assert rates(3, warmup=3) == pytest.approx([1 / 3, 2 / 3, 1.0])
    assert min(r for name in ("cosine", "linear") for r in rates(50, schedule=name, warmup=50)) > 0


@pytest.mark.parametrize("name", ["constant", "cosine", "linear"])
def test_after_the_warm_up_rates_are_those_of_diffusers(name):
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    reference = get_scheduler(
        "constant_with_warmup" if name == "constant" else name, optimizer, num_warmup_steps=4, num_training_steps=20
    )
    theirs = []
    for _ in range(20):
        theirs.append(reference.get_last_lr()[0])
        optimizer.step()
        reference.step()
    ours = rates(20, schedule=name, warmup=4)
    assert ours[4:] == pytest.approx(theirs[4:])
    assert (ours[:4], theirs[:5]) == (theirs[1:5], [0.0, 0.25, 0.5, 0.75, 1.0])


def test_a_resumed_run_has_the_rates_of_an_uninterrupted_one(tmp_path, tiny_base_file, pair_set):
    given = {"schedule": "cosine", "warmup": 2, "lr": 1e-3}
    train(begin(tmp_path / "a", tiny_base_file, pair_set, steps=6, **given))
    train(begin(tmp_path / "b", tiny_base_file, pair_set, steps=3, **given))
    listener = Listener()
    train(resume(tmp_path / "b", steps=6), listener)
    lines = [json.loads(line) for line in (tmp_path / "a/metrics.jsonl").read_text().splitlines()]
    assert [r.lr for r in listener.results] == [line["lr"] for line in lines][3:]
    assert lines[1]["lr"] == 1e-3 > lines[5]["lr"] > 0


# Optimizer


def test_the_optimizer_has_the_settings_that_were_given(tmp_path, tiny_base_file, pair_set):
    task = begin(tmp_path / "run", tiny_base_file, pair_set, betas=(0.8, 0.99), adam_eps=1e-4, weight_decay=0.5)
    optimizer = make_optimizer(task.networks, replace(task.config, lr=0.1))
    parameter = next(iter(task.networks.trainable.values()))
    before, gradient = parameter.detach().clone(), torch.full_like(parameter, 0.03)
    for factor in (1.0, 2.0):
        parameter.grad = factor * gradient
        optimizer.step()
    expected, m, v = before.double(), torch.zeros_like(before).double(), torch.zeros_like(before).double()
    for step, factor in enumerate((1.0, 2.0), 1):
        g = factor * gradient.double()
        m, v = 0.8 * m + 0.2 * g, 0.99 * v + 0.01 * g * g
        expected = expected - 0.1 * 0.5 * expected
        expected = expected - 0.1 * (m / (1 - 0.8**step)) / ((v / (1 - 0.99**step)).sqrt() + 1e-4)
    assert torch.allclose(parameter.double(), expected, atol=1e-6)


@pytest.mark.parametrize("betas", [(1.0, 0.999), (0.9, -0.1), (0.9, 1.5)])
def test_decay_rates_out_of_range_are_refused(betas):
    with pytest.raises(UsageError, match="--betas must be at least 0 and below 1"):
        replace(CONFIG, betas=betas)


def test_a_warm_up_longer_than_the_run_is_refused():
    with pytest.raises(UsageError, match="--warmup 4 is longer than the run of --steps 3"):
        replace(CONFIG, warmup=4)
    assert replace(CONFIG, warmup=4, steps=0).warmup == 4


def test_8_bit_moments_are_a_quarter_as_large_and_resume_exactly(tmp_path, tiny_base_file, pair_set):
    pytest.importorskip("bitsandbytes")
    run, uninterrupted = tmp_path / "run", tmp_path / "uninterrupted"
    given = {"optimizer": "adamw8bit", "weight_decay": 0.1}
    train(begin(uninterrupted, tiny_base_file, pair_set, steps=4, **given))
    train(begin(run, tiny_base_file, pair_set, steps=2, **given))
    train(resume(run, steps=4))
    assert same(weights(run), weights(uninterrupted))
    a, b = (weights(find_state(folder).folder, "optimizer") for folder in (run, uninterrupted))
    assert same(a, b)
    assert {t.dtype for name, t in a.items() if name.endswith("/state1") and t.numel() >= 4096} == {torch.uint8}
    train(begin(tmp_path / "full", tiny_base_file, pair_set, steps=4, weight_decay=0.1))
    full = weights(tmp_path / "full")
    start = weights(train(begin(tmp_path / "zero", tiny_base_file, pair_set, steps=0)).control.parent)
    moved, other = (torch.cat([(w[n] - start[n]).flatten() for n in start]) for w in (weights(run), full))
    assert F.cosine_similarity(moved, other, dim=0) > 0.95


class Quantized(torch.optim.Optimizer):
    """A stand-in for an optimizer with moments of 8 bits: a shared table, codes, a scale, an int that counts."""

    TABLE = torch.linspace(-1, 1, 256)

    def __init__(self, parameters):
        super().__init__(list(parameters), {"lr": 1e-3})

    @torch.no_grad()
    def step(self, closure=None):
        for parameter in self.param_groups[0]["params"]:
            if parameter.grad is None:
                continue
            state = self.state[parameter]
            if not state:
                state |= {"step": 0, "state1": torch.zeros(parameter.shape, dtype=torch.uint8), "qmap1": self.TABLE}
                state["absmax1"] = torch.zeros(1)
            state["step"] += 1
            moment = state["qmap1"][state["state1"].long()] * state["absmax1"] * 0.9 + parameter.grad
            state["absmax1"] = moment.abs().max()[None]
            state["state1"] = ((moment / state["absmax1"].clamp_min(1e-12) + 1) * 127.5).round().to(torch.uint8)
            parameter.sub_(moment, alpha=self.param_groups[0]["lr"] / state["step"])


def test_any_optimizer_state_of_tensors_and_counts_is_saved_and_restored(
    tmp_path, tiny_base_file, pair_set, monkeypatch
):
    monkeypatch.setattr("cn.train.trainer.make_optimizer", lambda networks, *_: Quantized(networks.trainable.values()))
    train(begin(tmp_path / "a", tiny_base_file, pair_set, steps=4))
    train(begin(tmp_path / "b", tiny_base_file, pair_set, steps=2))
    train(resume(tmp_path / "b", steps=4))
    assert same(weights(tmp_path / "a"), weights(tmp_path / "b"))
    a, b = (weights(find_state(tmp_path / name).folder, "optimizer") for name in "ab")
    assert same(a, b)
    assert int(a["control.zero_middle.weight/step"]) == 4


def test_a_missing_package_is_named_before_anything_is_loaded(monkeypatch):
    monkeypatch.setitem(sys.modules, "bitsandbytes", None)
    monkeypatch.setattr("cn.train.options.checks.find_spec", lambda name: None)
    with pytest.raises(UsageError, match=r"--optimizer adamw8bit needs bitsandbytes: pip install .*\[bnb\]"):
        check_request({"optimizer": "adamw8bit"})
    check_installed("adamw")


# Clipping


@pytest.mark.parametrize("limit", [0.0, 1e-3, 1e6])
def test_gradients_are_clipped_to_their_norm_and_the_norm_before_is_reported(tmp_path, tiny_base_file, pair_set, limit):
    task = begin(tmp_path / "run", tiny_base_file, pair_set, max_grad_norm=limit, accumulate=2)
    parameters = task.networks.trainable.values()

    def batches():
        return micro_batches(task.source, task.networks.base, task.config, 0, workers=0, skip=pytest.fail)

    stream = batches()
    (sum(batch_loss(task.networks, task.config, next(stream), 0, i) for i in range(2)) / 2).backward()
    gradient = torch.cat([p.grad.flatten() for p in parameters if p.grad is not None])
    norm = float(gradient.norm())
    trainer = Trainer(task.networks, task.config)
    # Weights of zero, and steps of the gradient itself, whose rounding is then that of the gradient.
    trainer.optimizer = torch.optim.SGD(parameters, lr=1.0)
    trainer.optimizer.register_step_pre_hook(
        lambda *_: [p.data.zero_() for p in parameters] and trainer.optimizer.param_groups[0].update(lr=1.0)
    )
    with torch.no_grad():
        for p in parameters:
            p.grad = None
    _, reported = trainer.take_step(batches()).numbers()
    assert reported == pytest.approx(norm, rel=1e-4)
    moved = torch.cat([-p.detach().flatten() for p in parameters if p.grad is not None])
    factor = min(1.0, limit / norm) if limit else 1.0
    assert 0 < factor < 0.5 or limit != 1e-3
    assert torch.allclose(moved, factor * gradient, rtol=1e-3, atol=1e-6 * norm)


# Loss


def parts(prediction: str, zero_terminal: bool = False):
    torch.manual_seed(0)
    schedule = Schedule(ScheduleConfig(prediction=prediction, zero_terminal_snr=zero_terminal, spacing="trailing"))
    unet = UNet(TINY.unet)
    control = ControlNet.from_unet(unet)
    z0, noise = torch.randn(2, 4, 4, 8, 8)
    t = torch.tensor([0, 200, 600, 999])
    return (unet, control, schedule, z0, torch.rand(4, 3, 64, 64), torch.randn(4, 77, 64), t, noise)


@pytest.mark.parametrize("prediction", ["eps", "v"])
def test_min_snr_weights_each_image_as_in_the_paper(prediction):
    """Against a loop over images with the SNR of the paper, and against diffusers' formula."""
    unet, control, schedule, z0, hint, text, t, noise = arguments = parts(prediction)
    with torch.no_grad():
        loss = diffusion_loss(*arguments, min_snr=5.0)
        total = 0.0
        for i in range(4):
            a = float(schedule.alphas_cumprod[t[i]])
            snr = a / (1 - a)
            weight = min(snr, 5.0) / (snr if prediction == "eps" else snr + 1)
            one = [x[i : i + 1] for x in (z0, hint, text, t, noise)]
            total += weight * float(diffusion_loss(unet, control, schedule, *one))
    assert float(loss) == pytest.approx(total / 4, rel=1e-4)

    reference = DDPMScheduler(beta_schedule="scaled_linear", beta_start=0.00085, beta_end=0.012)
    snr = compute_snr(reference, t)
    theirs = torch.stack([snr, 5.0 * torch.ones_like(t)], dim=1).min(dim=1)[0]
    theirs = theirs / (snr if prediction == "eps" else snr + 1)
    assert min_snr_weights(schedule, t, 5.0).tolist() == pytest.approx(theirs.tolist(), rel=1e-4)


def test_min_snr_of_pure_noise_has_its_limit_and_0_changes_no_bit():
    arguments = parts("v", zero_terminal=True)
    assert min_snr_weights(arguments[2], torch.tensor([999]), 5.0).tolist() == [0.0]
    with torch.no_grad():
        unet, control, schedule, z0, hint, text, t, noise = arguments
        z_t = schedule.add_noise(z0, noise, t)
        plain = F.mse_loss(unet(z_t, t, text, control(z_t, t, text, hint)), schedule.target(z0, noise, t))
        assert torch.equal(diffusion_loss(*arguments, min_snr=0.0), plain)


def test_noise_offset_moves_the_mean_of_each_channel_alone():
    latents = torch.zeros(400, 4, 8, 8)
    noise = noise_like(latents, generator(0, 0, 0, Stream.NOISE))
    moved = offset_noise(noise, 0.5, generator(0, 0, 0, Stream.NOISE_OFFSET)) - noise
    assert torch.allclose(moved, moved[:, :, :1, :1].expand_as(moved), atol=1e-6)
    means = moved[:, :, 0, 0].flatten()
    assert float(means.std()) == pytest.approx(0.5, rel=0.1)
    assert abs(float(means.mean())) < 4 * 0.5 / 40
    assert abs(float(torch.corrcoef(moved[:, :2, 0, 0].T)[0, 1])) < 0.2


def test_options_of_the_loss_reach_the_step_and_leave_other_draws_alone(tmp_path, tiny_base_file, pair_set):
    task = begin(tmp_path / "run", tiny_base_file, pair_set, batch_size=4)
    batch = next(micro_batches(task.source, task.networks.base, task.config, 0, workers=0, skip=pytest.fail))

    def loss(**given) -> float:
        with torch.no_grad():
            return float(batch_loss(task.networks, replace(task.config, **given), batch, 0, 0))

    plain, weighted, offset, hardly = loss(), loss(min_snr=1.0), loss(noise_offset=1.0), loss(noise_offset=1e-6)
    assert weighted < plain
    assert offset > 1.2 * plain
    assert hardly == pytest.approx(plain, rel=1e-4)


def test_streams_are_distinct():
    assert len({int(stream) for stream in Stream}) == len(Stream.__members__)
