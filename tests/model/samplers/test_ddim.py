"""DDIM: its timesteps, one step, and whole runs against the closed form where the score is known."""

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from cn.model.config import ScheduleConfig
from cn.model.samplers.ddim import ddim_step, ddim_steps
from cn.model.samplers.step import Step, draw_noise
from cn.model.schedule import Schedule
from tests.golden import cases
from tests.helpers.model_helpers import golden, relative, uniform
from tests.helpers.samplers import ddim_sample

CONFIGS = {
    "eps": ScheduleConfig(),
    "v": ScheduleConfig(prediction="v"),
    "eps-trailing": ScheduleConfig(spacing="trailing"),
    "zero": ScheduleConfig(prediction="v", zero_terminal_snr=True, spacing="trailing"),
    "clean": ScheduleConfig(steps_offset=0, final_alpha_one=True),
    "stride": ScheduleConfig(spacing="trailing_stride"),
}
COUNTS = [1, 2, 3, 7, 20, 30, 600, 1000]


def generators(count: int, seed: int = 0) -> list[torch.Generator]:
    return [torch.Generator().manual_seed(seed + i) for i in range(count)]


@pytest.mark.parametrize("name", CONFIGS)
@pytest.mark.parametrize("n", COUNTS)
def test_exactly_n_steps(name: str, n: int) -> None:
    """n steps, downwards, within the 1000 levels, never towards more noise; ᾱ belongs to t."""
    schedule = Schedule(CONFIGS[name])
    steps = ddim_steps(schedule, n)
    assert [s.index for s in steps] == list(range(n))
    times = [s.t for s in steps]
    assert times == sorted(times, reverse=True)
    assert 0 <= min(times) <= max(times) < 1000
    assert all(s.alpha == float(schedule.alphas_cumprod[s.t]) for s in steps)
    assert all(s.alpha_prev >= s.alpha for s in steps)
    assert len(list(ddim_sample(schedule, lambda z, step: z, torch.zeros(1, 4, 2, 2), steps))) == n


@pytest.mark.parametrize("n", [-1, 0, 1001])
def test_wrong_number_of_steps(n: int) -> None:
    """Outside 1 … 1000 there is an error that says so."""
    with pytest.raises(ValueError, match=f"between 1 and 1000, not {n}"):
        ddim_steps(Schedule(CONFIGS["eps"]), n)


def test_leading_timesteps() -> None:
    """t = i·(1000 // n) + 1, held below 1000; each goes 1000 // n down, the last to ᾱ_0."""
    schedule = Schedule(CONFIGS["eps"])
    alphas = schedule.alphas_cumprod
    for n in (20, 30, 7):
        steps, c = ddim_steps(schedule, n), 1000 // n
        assert [s.t for s in steps] == [i * c + 1 for i in range(n)][::-1]
        assert [s.alpha_prev for s in steps] == [float(alphas[max(s.t - c, 0)]) for s in steps]
    assert [s.t for s in ddim_steps(schedule, 1000)] == [999, *range(999, 0, -1)]
    assert [s.t for s in ddim_steps(schedule, 30)][:2] == [958, 925]
    assert ddim_steps(schedule, 20)[-1].alpha_prev == float(alphas[0])


def test_trailing_timesteps() -> None:
    """From the last level down to a clean image; each step ends where the next begins."""
    for n in (1, 3, 20, 600, 1000):
        steps = ddim_steps(Schedule(CONFIGS["zero"]), n)
        assert steps[0].t == 999
        assert steps[0].alpha == 0
        assert [s.alpha_prev for s in steps] == [*(s.alpha for s in steps[1:]), 1.0]
        assert len({s.t for s in steps}) == n
    assert [s.t for s in ddim_steps(Schedule(CONFIGS["zero"]), 5)] == [999, 799, 599, 399, 199]
    assert [s.t for s in ddim_steps(Schedule(CONFIGS["zero"]), 7)] == [999, 856, 713, 570, 428, 285, 142]


@pytest.mark.parametrize(("offset", "clean"), [(0, False), (0, True), (1, True), (5, False)])
def test_leading_settings(offset: int, clean: bool) -> None:
    """The offset moves all timesteps; only a step that would go below level 0 ends as the settings say."""
    schedule = Schedule(ScheduleConfig(steps_offset=offset, final_alpha_one=clean))
    alphas = schedule.alphas_cumprod
    steps = ddim_steps(schedule, 20)
    assert [s.t for s in steps] == [i * 50 + offset for i in range(20)][::-1]
    assert [s.alpha_prev for s in steps[:-1]] == [s.alpha for s in steps[1:]]
    assert steps[-1].alpha_prev == (1.0 if clean else float(alphas[0]))
    last = ddim_steps(schedule, 1000)[-1]
    assert last.t == offset
    assert last.alpha_prev == (float(alphas[offset - 1]) if offset else 1.0 if clean else float(alphas[0]))


@pytest.mark.parametrize("clean", [False, True])
@pytest.mark.parametrize("n", [1, 7, 20, 30, 48, 96])
def test_trailing_with_strides(n: int, clean: bool) -> None:
    """As DDIMScheduler: timesteps by numpy's rounding, each step 1000 // n down, below level 0 to what is set."""
    schedule = Schedule(ScheduleConfig(spacing="trailing_stride", final_alpha_one=clean))
    alphas, end = schedule.alphas_cumprod, 1.0 if clean else float(schedule.alphas_cumprod[0])
    steps = ddim_steps(schedule, n)
    times = np.round(np.arange(1000, 0, -1000 / n)).astype(int) - 1
    assert [s.t for s in steps] == times.tolist()
    assert [s.alpha_prev for s in steps] == [float(alphas[t - 1000 // n]) if t >= 1000 // n else end for t in times]
    if n == 7:  # the last step goes from 142 to level 0 exactly
        assert steps[-1].alpha_prev == float(alphas[0])


@pytest.mark.parametrize("n", [1, 5, 20, 1000])
def test_both_trailing_rules_agree_where_n_divides(n: int) -> None:
    schedules = (Schedule(ScheduleConfig(spacing=s, final_alpha_one=True)) for s in ("trailing", "trailing_stride"))
    first, second = (ddim_steps(schedule, n) for schedule in schedules)
    assert first == second


@pytest.mark.parametrize("name", ["eps", "v"])
@pytest.mark.parametrize("eta", [0.0, 0.4, 1.0])
def test_one_step(name: str, eta: float) -> None:
    """Eq. 12 of the DDIM paper, number by number."""
    schedule, a, b = Schedule(CONFIGS[name]), 0.3, 0.7
    z, out, noise = (uniform(n, (1, 4, 2, 3)) for n in ("z", "prediction", "noise"))
    got = ddim_step(*schedule.split(out, z, a), Step(0, 500, a, b), eta, noise)
    for x, p, w, g in zip(z.flatten(), out.flatten(), noise.flatten(), got.flatten(), strict=True):
        eps = float(p) if name == "eps" else math.sqrt(a) * float(p) + math.sqrt(1 - a) * float(x)
        z0 = (float(x) - math.sqrt(1 - a) * eps) / math.sqrt(a)
        sigma = eta * math.sqrt((1 - b) / (1 - a)) * math.sqrt(1 - a / b)
        expected = math.sqrt(b) * z0 + math.sqrt(1 - b - sigma**2) * eps + sigma * float(w)
        assert math.isclose(float(g), expected, rel_tol=1e-5, abs_tol=1e-6)


def test_eta_one_is_the_posterior_variance() -> None:
    """With eta 1 a step of one level adds DDPM's β̃ = (1-ᾱ')/(1-ᾱ)·β, with eta 0 nothing."""
    schedule, zero = Schedule(CONFIGS["eps"]), torch.zeros(1, 1, 1, 1)
    for t in (1, 300, 999):
        a, b = (float(schedule.alphas_cumprod[i]) for i in (t, t - 1))
        noise = ddim_step(zero, zero, Step(0, t, a, b), 1.0, torch.ones(1, 1, 1, 1))
        assert math.isclose(float(noise) ** 2, (1 - b) / (1 - a) * (1 - a / b), rel_tol=1e-4)
        assert float(ddim_step(zero, zero, Step(0, t, a, b), 0.0, None)) == 0


def gaussian(schedule: Schedule, mean: float, std: float) -> Callable[[Tensor, Step], Tensor]:
    """The best possible network when the data are N(mean, std²): E[ε | z_t], or E[v | z_t]."""

    def predict(z: Tensor, step: Step) -> Tensor:
        a = step.alpha
        variance = a * std**2 + 1 - a
        eps = (1 - a) ** 0.5 * (z - a**0.5 * mean) / variance
        z0 = mean + a**0.5 * std**2 * (z - a**0.5 * mean) / variance
        return eps if schedule.config.prediction == "eps" else a**0.5 * eps - (1 - a) ** 0.5 * z0

    return predict


def closed_form(schedule: Schedule, z: Tensor, n: int, mean: float, std: float) -> Tensor:
    """For Gaussian data a step maps z - √ᾱ·mean to itself times (√(ᾱᾱ')·s² + √((1-ᾱ)(1-ᾱ'))) / (ᾱs² + 1-ᾱ)."""
    factor, steps = 1.0, ddim_steps(schedule, n)
    for s in steps:
        a, b = s.alpha, s.alpha_prev
        factor *= ((a * b) ** 0.5 * std**2 + ((1 - a) * (1 - b)) ** 0.5) / (a * std**2 + 1 - a)
    return steps[-1].alpha_prev ** 0.5 * mean + factor * (z.double() - steps[0].alpha ** 0.5 * mean)


@pytest.mark.parametrize("name", [name for name in CONFIGS if name != "stride"])
@pytest.mark.parametrize("n", [1, 2, 7, 30, 600])
def test_gaussian_data(name: str, n: int) -> None:
    """Whole runs with the exact score end where the closed form says (each step beginning where the last ended)."""
    schedule, z = Schedule(CONFIGS[name]), uniform("z", (2, 4, 3, 3))
    *_, end = ddim_sample(schedule, gaussian(schedule, 0.7, 0.4), z, ddim_steps(schedule, n))
    assert relative(end, closed_form(schedule, z, n, 0.7, 0.4)) < 1e-5


def test_many_steps_give_the_data() -> None:
    """From pure noise, 1000 steps reach mean 0.7 and std 0.4 of the data; the error falls with the steps."""
    schedule, z = Schedule(CONFIGS["zero"]), torch.randn(1, 4, 64, 64, generator=torch.Generator().manual_seed(1))
    errors = []
    for n in (10, 100, 1000):
        *_, end = ddim_sample(schedule, gaussian(schedule, 0.7, 0.4), z, ddim_steps(schedule, n))
        errors.append(relative(end, 0.7 + 0.4 * z))
    assert errors[0] > 3 * errors[1] > 9 * errors[2]
    assert errors[2] < 5e-3


@pytest.mark.parametrize("eta", [0.3, 1.0])
def test_eta_keeps_the_marginal(eta: float) -> None:
    """When all data are one number, each level's std is √(1-ᾱ) for every eta: noise replaces what is removed."""
    schedule = Schedule(CONFIGS["v"])
    steps = ddim_steps(schedule, 10)
    a = steps[0].alpha
    z = a**0.5 * 0.7 + (1 - a) ** 0.5 * draw_noise(generators(1, 5), (4, 64, 64))
    states = list(ddim_sample(schedule, gaussian(schedule, 0.7, 0.0), z, steps, eta=eta, generators=generators(1)))
    for step, state in zip(steps, states, strict=True):
        spread = (state - step.alpha_prev**0.5 * 0.7).square().mean().sqrt()
        assert abs(float(spread) / (1 - step.alpha_prev) ** 0.5 - 1) < 0.03
    assert relative(states[0], states[1]) > 0.1


@pytest.mark.parametrize("case", cases.DDIM, ids=lambda c: c.name)
def test_golden(case: cases.DDIMCase) -> None:
    """diffusers' DDIMScheduler visits these timesteps and ends with these latents, with and without eta."""
    config = ScheduleConfig(
        prediction=case.prediction,
        spacing=case.spacing,
        zero_terminal_snr=case.zero_snr,
    )
    schedule, expected = Schedule(config), golden("ddim")
    assert [s.t for s in ddim_steps(schedule, case.steps)] == expected[f"{case.name}.times"].tolist()
    *_, z = ddim_sample(
        schedule,
        lambda z, step: cases.network(z, step.t),
        cases.ddim_start(),
        ddim_steps(schedule, case.steps),
        eta=case.eta,
        generators=generators(1, case.seed),
    )
    assert relative(z, expected[f"{case.name}.z"]) < 1e-5


def test_noise_belongs_to_the_image() -> None:
    """Each image draws from its own generator, whatever else is in the batch."""
    noise = draw_noise(generators(3), (4, 5, 7))
    assert noise.shape == (3, 4, 5, 7)
    for i in range(3):
        assert torch.equal(noise[i], torch.randn(1, 4, 5, 7, generator=torch.Generator().manual_seed(i))[0])


def test_eta_noise_is_drawn_at_every_step() -> None:
    """With eta, the last step draws too; without, nothing is drawn."""
    schedule, z = Schedule(CONFIGS["eps"]), torch.zeros(1, 4, 2, 2)
    steps = ddim_steps(schedule, 5)
    used, fresh = generators(1), generators(1)
    list(ddim_sample(schedule, lambda z, step: z, z, steps, eta=1.0, generators=used))
    for _ in range(5):
        draw_noise(fresh, (4, 2, 2))
    assert torch.equal(used[0].get_state(), fresh[0].get_state())
    list(ddim_sample(schedule, lambda z, step: z, z, steps, generators=used))
    assert torch.equal(used[0].get_state(), fresh[0].get_state())


@pytest.mark.parametrize("n", [1, 2, 7, 20, 30, 999, 1000])
def test_linspace_timesteps(n: int) -> None:
    """As NumPy spaces them, rounded half to even; each step goes 1000 // n down."""
    schedule = Schedule(ScheduleConfig(spacing="linspace"))
    steps = ddim_steps(schedule, n)
    assert [step.t for step in steps] == np.linspace(0, 999, n).round().astype(int)[::-1].tolist()
    for step in steps:
        assert step.alpha_prev == float(schedule.alphas_cumprod[max(step.t - 1000 // n, 0)])
