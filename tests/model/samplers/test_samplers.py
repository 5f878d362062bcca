"""Euler, Euler ancestral and DPM-Solver++(2M): against diffusers' numbers, closed forms, and each other."""

import itertools

import numpy as np
import pytest
import torch

from cn.model.config import ScheduleConfig
from cn.model.samplers.choose import choose_sampler
from cn.model.samplers.ddim import ddim_step
from cn.model.samplers.dpm import dpm_step
from cn.model.samplers.euler import euler_ancestral_step, euler_step
from cn.model.samplers.loop import sample
from cn.model.samplers.sigmas import karras_levels, noise_levels, timestep_of
from cn.model.samplers.step import Step
from cn.model.schedule import Schedule
from tests.golden import cases
from tests.helpers.model_helpers import golden, relative, uniform
from tests.model.samplers.test_ddim import CONFIGS, gaussian, generators

NEW = ["euler", "euler-a", "dpm++2m"]
every_new = pytest.mark.parametrize("sampler", NEW)
both_sigmas = pytest.mark.parametrize("sigmas", ["default", "karras"])


def run(schedule, predict, z, n, sampler, sigmas="default", **options):
    chosen = choose_sampler(schedule, n, sampler, sigmas)
    method = chosen.method(options.pop("generators", generators(len(z), 9)))
    return list(sample(schedule, predict, z * chosen.noise_scale, chosen.steps, method, **options))


@pytest.mark.parametrize("case", cases.SAMPLERS, ids=lambda case: case.name)
def test_golden(case):
    """diffusers' schedulers visit these timesteps and end with these latents."""
    config = ScheduleConfig(prediction=case.prediction, spacing=case.spacing, zero_terminal_snr=case.zero_snr)
    schedule, expected = Schedule(config), golden("samplers")
    times = [step.t for step in choose_sampler(schedule, case.steps, case.sampler, case.sigmas).steps]
    assert np.allclose(times, expected[f"{case.name}.times"], atol=2e-3)
    *_, z = run(
        schedule, lambda z, step: cases.network(z, step.t), cases.ddim_start(), case.steps, case.sampler, case.sigmas
    )
    # From pure noise, diffusers computes with latents of thousands, in float32.
    assert relative(z, expected[f"{case.name}.z"]) < (5e-4 if case.zero_snr else 1e-5)


@every_new
@both_sigmas
@pytest.mark.parametrize("name", CONFIGS)
@pytest.mark.parametrize("n", [1, 2, 7, 48, 999, 1000])
def test_steps_go_down_to_a_clean_image(sampler, sigmas, name, n):
    """Each begins where the last one ended, within the timesteps, never towards more noise; all is finite."""
    schedule = Schedule(CONFIGS[name])
    steps = choose_sampler(schedule, n, sampler, sigmas).steps
    assert [step.index for step in steps] == list(range(n))
    assert steps[-1].alpha_prev == 1
    assert all(a.alpha_prev == b.alpha and a.t >= b.t for a, b in itertools.pairwise(steps))
    assert all(0 < step.alpha <= step.alpha_prev and 0 <= step.t <= 999 for step in steps)
    assert all(
        z.isfinite().all()
        for z in run(schedule, gaussian(schedule, 0.7, 0.4), uniform("z", (1, 4, 2, 2)), n, sampler, sigmas)
    )


@pytest.mark.parametrize("n", [0, 1001])
@every_new
def test_wrong_number_of_steps(sampler, n):
    with pytest.raises(ValueError, match=f"between 1 and 1000, not {n}"):
        choose_sampler(Schedule(CONFIGS["eps"]), n, sampler)


def test_what_a_sampler_does_not_have():
    schedule = Schedule(CONFIGS["eps"])
    with pytest.raises(ValueError, match="sigmas karras is not for the sampler ddim"):
        choose_sampler(schedule, 5, "ddim", "karras")
    for sampler in NEW:
        with pytest.raises(ValueError, match="eta is for the sampler ddim"):
            choose_sampler(schedule, 5, sampler, eta=0.5)


def test_one_step_in_the_form_of_k_diffusion():
    """x = z / √ᾱ: `to_d`, `get_ancestral_step` and the updates of sampling.py, number by number."""
    a, b = 0.3, 0.7
    z0, eps, noise = (uniform(n, (1, 4, 2, 3)) for n in ("z0", "eps", "noise"))
    level, target = ((1 - a) / a) ** 0.5, ((1 - b) / b) ** 0.5
    x = z0 + level * eps
    step = Step(0, 500, a, b)
    derivative = (x - z0) / level
    assert relative(euler_step(z0, eps, step) / b**0.5, x + derivative * (target - level)) < 1e-6
    up = min(target, (target**2 * (level**2 - target**2) / level**2) ** 0.5)
    down = (target**2 - up**2) ** 0.5
    expected = x + derivative * (down - level) + noise * up
    assert relative(euler_ancestral_step(z0, eps, step, noise) / b**0.5, expected) < 1e-6


@pytest.mark.parametrize("ends", [(0.3, 0.7), (0.005, 0.02), (0.99, 1.0)])
def test_euler_is_ddim_without_noise_and_ancestral_with_all_of_it(ends):
    """The equations are the same; timesteps and ends are not."""
    step = Step(0, 500, *ends)
    z0, eps, noise = (uniform(n, (1, 4, 2, 3)) for n in ("z0", "eps", "noise"))
    assert relative(euler_step(z0, eps, step), ddim_step(z0, eps, step, 0.0, None)) < 1e-5
    assert relative(euler_ancestral_step(z0, eps, step, noise), ddim_step(z0, eps, step, 1.0, noise)) < 1e-5


def test_a_step_of_second_order_is_exact_where_the_clean_image_is_linear_in_log_snr():
    """z_0 = u + v·λ: a multistep formula of second order extrapolates it; one of first order does not."""
    u, v = uniform("u", (1, 4, 2, 2)), uniform("v", (1, 4, 2, 2))
    levels = np.exp(-np.linspace(-2.0, -1.8, 3))
    alphas = [1 / (level**2 + 1) for level in levels]
    first, second = Step(0, 900, alphas[0], alphas[1]), Step(1, 800, alphas[1], alphas[2])
    at = [u - v * float(np.log(level)) for level in levels]
    z = uniform("z", (1, 4, 2, 2))
    length = float(np.log(levels[1] / levels[2]))
    # The exact solution of dz/dλ (Eq. 8 of the paper): the integral of e^λ (u + vλ), with λ' the end's.
    low, high = (-float(np.log(level)) for level in levels[1:])
    integral = u * (np.exp(high) - np.exp(low)) + v * ((high - 1) * np.exp(high) - (low - 1) * np.exp(low))
    sigma, sigma_end = ((1 - alpha) ** 0.5 for alpha in alphas[1:])
    exact = sigma_end / sigma * z + sigma_end * integral
    errors = [relative(dpm_step(z, at[1], second, before), exact) for before in ((first, at[0]), None)]
    assert errors[0] < length**3
    assert errors[1] > 20 * errors[0]


@pytest.mark.parametrize("name", ["eps", "v"])
def test_dpm_converges_at_second_order_and_euler_at_first(name):
    """With the exact score of Gaussian data: twice the steps, a quarter or half of the error."""
    schedule, z = Schedule(CONFIGS[name]), uniform("z", (1, 4, 8, 8))
    predict = gaussian(schedule, 0.7, 0.4)

    def errors(sampler):
        ends = [run(schedule, predict, z, n, sampler, "karras", generators=())[-1] for n in (10, 20, 40, 320)]
        return [relative(end, ends[-1]) for end in ends[:-1]]

    dpm, euler = errors("dpm++2m"), errors("euler")
    assert dpm[0] > 2.8 * dpm[1] > 7.8 * dpm[2]
    assert euler[0] > 1.6 * euler[1] > 2.6 * euler[2]
    assert dpm[1] < euler[2]


def test_ancestral_noise_keeps_the_marginal():
    """When all data are one number, each level's std is √(1-ᾱ): noise replaces what is removed."""
    schedule = Schedule(CONFIGS["v"])
    steps = choose_sampler(schedule, 10, "euler-a").steps
    z = steps[0].alpha ** 0.5 * 0.7 + (1 - steps[0].alpha) ** 0.5 * torch.randn(
        1, 4, 64, 64, generator=generators(1)[0]
    )
    states = run(schedule, gaussian(schedule, 0.7, 0.0), z, 10, "euler-a")
    for step, state in list(zip(steps, states, strict=True))[:-1]:
        spread = (state - step.alpha_prev**0.5 * 0.7).square().mean().sqrt()
        assert abs(float(spread) / (1 - step.alpha_prev) ** 0.5 - 1) < 0.03
    assert relative(states[-1], torch.full_like(z, 0.7)) < 1e-5


def test_karras_levels_and_their_timesteps():
    levels = noise_levels(Schedule(CONFIGS["eps"]))
    assert np.allclose(karras_levels(80, 0.002, 3), [80, (80 ** (1 / 7) / 2 + 0.002 ** (1 / 7) / 2) ** 7, 0.002])
    assert karras_levels(80, 0.002, 1).tolist() == pytest.approx([80])
    assert np.allclose(timestep_of(levels[[0, 500, 999]], levels), [0, 500, 999])
    assert timestep_of((levels[[500]] * levels[[501]]) ** 0.5, levels) == pytest.approx([500.5])
    assert timestep_of(np.array([1e-9, 1e9]), levels).tolist() == [0, 999]
    assert np.isfinite(noise_levels(Schedule(CONFIGS["zero"]))).all()


@every_new
def test_what_is_kept_goes_into_the_next_step(sampler):
    """`keep` sees each state with its step, and what it returns is both yielded and gone on with."""
    schedule, seen = Schedule(CONFIGS["eps"]), []

    def predict(z, step):
        seen.append(float(z.mean()))
        return torch.zeros_like(z)

    states = run(
        schedule, predict, torch.ones(1, 4, 2, 2), 4, sampler, keep=lambda z, step: torch.full_like(z, step.index)
    )
    assert [float(z.mean()) for z in states] == [0, 1, 2, 3]
    assert seen[1:] == [0, 1, 2]


@every_new
def test_a_sampler_is_used_for_several_runs(sampler):
    """What a run remembers, and its generators, are not those of the next."""
    schedule = Schedule(CONFIGS["eps"])
    chosen, z = choose_sampler(schedule, 4, sampler), uniform("z", (1, 4, 2, 2))
    ends = []
    for _ in range(2):
        method = chosen.method(generators(1, 9))
        *_, end = sample(schedule, gaussian(schedule, 0.7, 0.4), z, chosen.steps, method)
        ends.append(end)
    assert torch.equal(*ends)
