"""The same image, to rounding, as diffusers makes with the schedulers Euler, Euler ancestral and DPM-Solver++(2M)."""

from itertools import product

import numpy as np
import pytest

from cn.model.config import ScheduleConfig
from cn.model.samplers.choose import choose_sampler
from cn.model.schedule import Schedule
from tests.reference.test_same_image import CLEAN, TRAILING, ZERO, Case, ours, psnr, reference

NEW = ["euler", "euler-a", "dpm++2m"]
LINSPACE = ("timestep_spacing", "linspace")
CASES = {
    f"{sampler}, {sigmas}, {layout}": Case(layout, sampler=sampler, sigmas=sigmas)
    for sampler, sigmas, layout in product(NEW, ["default", "karras"], ["sd1", "sd2-v"])
}
for sampler in NEW:
    CASES |= {
        f"{sampler}, one step": Case("sd1", steps=1, sampler=sampler),
        f"{sampler}, linspace": Case("sd1", sampler=sampler, scheduler=(LINSPACE,)),
        f"{sampler}, trailing": Case("sd2-v", sampler=sampler, scheduler=(TRAILING, CLEAN)),
        f"{sampler}, pure noise": Case("sd2-v", sampler=sampler, scheduler=(*ZERO, CLEAN)),
        f"{sampler}, pure noise, karras": Case("sd2-v", sampler=sampler, sigmas="karras", scheduler=(*ZERO, CLEAN)),
        f"{sampler}, two in a batch, halfway": Case(
            "sd1", steps=4, sampler=sampler, prompts=("a red house", "a tree"), window=(0.0, 0.5)
        ),
    }
# From 15 steps on, DPM-Solver++ does not end with a step of the first order.
CASES["dpm++2m, 20 steps"] = Case("sd1", steps=20, sampler="dpm++2m", sigmas="karras")


@pytest.mark.parametrize("name", sorted(CASES, key=lambda name: CASES[name].layout))
def test_the_image_is_the_one_that_diffusers_draws(shelf, name):
    case = CASES[name]
    expected, drawn = reference(shelf, case), ours(shelf, case)
    assert drawn.shape == expected.shape == (len(case.prompts), *case.size, 3)
    assert expected.std() > 20, "not a uniform image"
    assert np.abs(drawn.astype(int) - expected.astype(int)).max() <= 1
    assert psnr(drawn, expected) >= 70


@pytest.mark.parametrize(("sampler", "sigmas"), list(product(NEW, ["default", "karras"])))
@pytest.mark.parametrize("spacing", ["leading", "linspace", "trailing"])
@pytest.mark.parametrize("n", [2, 20, 30, 48, 300])
def test_timesteps_and_noise_levels_are_those_of_diffusers(shelf, sampler, sigmas, spacing, n):
    settings = shelf.pipelines.SCHEDULER | {"timestep_spacing": spacing}
    theirs = shelf.pipelines.scheduler(settings, sampler, sigmas)
    theirs.set_timesteps(n)
    schedule = Schedule(ScheduleConfig(spacing="trailing_stride" if spacing == "trailing" else spacing))
    ours = choose_sampler(schedule, n, sampler, sigmas)
    assert np.allclose([step.t for step in ours.steps], theirs.timesteps.numpy(), atol=2e-3)
    levels = np.array([((1 - step.alpha) / step.alpha) ** 0.5 for step in ours.steps])
    assert np.allclose(levels, theirs.sigmas[:-1].numpy(), rtol=1e-5)
    assert ours.steps[-1].alpha_prev == 1
    scale = float(theirs.init_noise_sigma) / (1 if sampler == "dpm++2m" else (levels[0] ** 2 + 1) ** 0.5)
    assert ours.noise_scale == pytest.approx(scale, rel=1e-6)
