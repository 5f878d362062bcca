"""The noise schedule against its definition in exact arithmetic."""

import json
import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from cn.checkpoints.read.diffusers_settings import schedule_settings
from cn.checkpoints.write.diffusers_files import pipeline_files
from cn.checkpoints.write.exportable import check_exportable
from cn.errors import WeightsError
from cn.model.config import PRESETS, ModelConfig, ScheduleConfig
from cn.model.schedule import Schedule, zero_terminal_snr
from tests.helpers.model_helpers import relative, uniform

LEADING = ScheduleConfig()
V = ScheduleConfig(prediction="v")
ZERO = ScheduleConfig(prediction="v", zero_terminal_snr=True, spacing="trailing")


def exact_alphas() -> list[float]:
    """Π (1 - β), β the squares of 1000 evenly spaced numbers from √0.00085 to √0.012, in float64."""
    low, high, alpha, out = math.sqrt(0.00085), math.sqrt(0.012), 1.0, []
    for i in range(1000):
        alpha *= 1 - (low + (high - low) * i / 999) ** 2
        out.append(alpha)
    return out


def test_alphas() -> None:
    """ᾱ follows the definition; the published ends are 0.99915 and 0.0046601."""
    schedule = Schedule(LEADING)
    assert schedule.steps == len(schedule.alphas_cumprod) == 1000
    assert schedule.alphas_cumprod.dtype == torch.float32
    assert relative(schedule.alphas_cumprod, torch.tensor(exact_alphas(), dtype=torch.float64)) < 1e-6
    assert math.isclose(schedule.alphas_cumprod[0], 0.99915, rel_tol=1e-6)
    assert math.isclose(schedule.alphas_cumprod[999], 0.0046601, rel_tol=1e-5)


def test_other_betas() -> None:
    """The number of levels and both ends can be set."""
    schedule = Schedule(ScheduleConfig(steps=2, beta_start=0.04, beta_end=0.25))
    assert torch.allclose(schedule.alphas_cumprod, torch.tensor([0.96, 0.96 * 0.75]))


def test_zero_terminal_snr() -> None:
    """The last level is pure noise exactly, the first stays, √ᾱ is shifted and scaled in between."""
    plain, zero = Schedule(V).alphas_cumprod, Schedule(ZERO).alphas_cumprod
    assert zero[-1] == 0
    assert math.isclose(zero[0], plain[0], rel_tol=1e-6)
    assert (zero[1:] < zero[:-1]).all()
    roots, shifted = plain.double().sqrt(), zero.double().sqrt()
    slope = (shifted[0] - shifted[500]) / (roots[0] - roots[500])
    assert torch.allclose(shifted, shifted[0] + slope * (roots - roots[0]), atol=1e-6)
    assert torch.equal(zero, zero_terminal_snr(plain))


def test_zero_terminal_snr_needs_v_and_trailing() -> None:
    """ε says nothing about the image where there is only noise; such a level must be visited, too."""
    for wrong in ({"prediction": "eps", "spacing": "trailing"}, {"prediction": "v", "spacing": "leading"}):
        with pytest.raises(ValueError, match="v-prediction and trailing"):
            ScheduleConfig(zero_terminal_snr=True, **wrong)


def test_presets() -> None:
    """SD 1.5 and 2.1-base predict ε, 2.1 predicts v, the bundled base v from pure noise."""
    assert [PRESETS[p].schedule for p in ("sd15", "sd21", "sd21-v")] == [LEADING, LEADING, V]
    bundled = PRESETS["scenes"].schedule
    assert (bundled.prediction, bundled.zero_terminal_snr, bundled.spacing) == ("v", True, "trailing")


@pytest.mark.parametrize("config", [LEADING, ZERO], ids=["leading", "zero"])
def test_add_noise(config: ScheduleConfig) -> None:
    """√ᾱ z_0 + √(1-ᾱ) ε, each image at its own level."""
    schedule, z0, noise = Schedule(config), uniform("z0", (3, 4, 5, 6)), uniform("noise", (3, 4, 5, 6))
    t = torch.tensor([0, 400, 999])
    got = schedule.add_noise(z0, noise, t)
    for row, level in enumerate(t):
        a = schedule.alphas_cumprod[level].double()
        assert relative(got[row], a.sqrt() * z0[row].double() + (1 - a).sqrt() * noise[row].double()) < 1e-6
    if config is ZERO:
        assert torch.equal(got[2], noise[2])


def test_half_precision_stays_half() -> None:
    """Levels take the latents' type."""
    z = uniform("z", (2, 4, 3, 3)).half()
    assert Schedule(V).add_noise(z, z, torch.tensor([3, 500])).dtype == torch.float16
    assert Schedule(V).target(z, z, torch.tensor([3, 500])).dtype == torch.float16


def test_target() -> None:
    """ε itself, or v = √ᾱ ε - √(1-ᾱ) z_0."""
    z0, noise, t = uniform("z0", (2, 4, 3, 3)), uniform("noise", (2, 4, 3, 3)), torch.tensor([100, 800])
    assert Schedule(LEADING).target(z0, noise, t) is noise
    got = Schedule(V).target(z0, noise, t)
    for row, level in enumerate(t):
        a = Schedule(V).alphas_cumprod[level].double()
        assert relative(got[row], a.sqrt() * noise[row].double() - (1 - a).sqrt() * z0[row].double()) < 1e-6


@pytest.mark.parametrize("config", [LEADING, V, ZERO], ids=["eps", "v", "zero"])
@pytest.mark.parametrize("level", [0, 321, 900, 999])
def test_split_inverts_the_target(config: ScheduleConfig, level: int) -> None:
    """From z_t and what the network should say come back z_0 and ε; from pure noise with v, too."""
    schedule, t = Schedule(config), torch.tensor([level])
    z0, noise = uniform("z0", (1, 4, 3, 3)), uniform("noise", (1, 4, 3, 3))
    z = schedule.add_noise(z0, noise, t)
    ours = schedule.split(schedule.target(z0, noise, t), z, float(schedule.alphas_cumprod[level]))
    assert relative(ours[0], z0) < 1e-5
    assert relative(ours[1], noise) < 1e-5


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("steps", [0, -1, 1000.0, "1000", True, None, 10**12]),
        ("beta_start", ["x", None, 0, -1.0, 0.5, True, math.nan]),
        ("beta_end", ["x", None, 0.0001, 1.0, math.inf, (0.012,)]),
        ("prediction", ["x0", None, (), 1]),
        ("zero_terminal_snr", ["false", None, 0]),
        ("spacing", ["even", None, ()]),
        ("guidance_rescale", ["0.7", None, -0.1, 1.1, math.nan]),
        ("steps_offset", [-1, 1000, 0.5, "1", None, True]),
        ("final_alpha_one", ["true", None, 1]),
    ],
)
def test_wrong_values(name: str, values: list[object]) -> None:
    """Types and ranges are checked where a configuration is made; the message names the field."""
    for value in values:
        with pytest.raises(ValueError, match="betas must increase|" + name):
            ScheduleConfig(**{name: value})
        with pytest.raises(ValueError, match="betas must increase|" + name):
            ModelConfig.from_dict({"name": "", "schedule": {name: value}})


def test_headers_without_the_newer_settings() -> None:
    """What was written before steps_offset and final_alpha_one were settings means what it meant."""
    described = PRESETS["scenes"].to_dict()
    del described["schedule"]["steps_offset"], described["schedule"]["final_alpha_one"]
    assert ModelConfig.from_dict(described) == PRESETS["scenes"]


def settings_file(folder: Path, **settings: object) -> Path:
    path = folder / "scheduler_config.json"
    path.write_text(json.dumps(settings))
    return path


STRIDE = ScheduleConfig(spacing="trailing_stride")


@pytest.mark.parametrize(
    ("settings", "config"),
    [
        ({}, LEADING),
        ({"_class_name": "PNDMScheduler", "skip_prk_steps": True, "trained_betas": None}, LEADING),
        ({"steps_offset": 0, "set_alpha_to_one": True}, replace(LEADING, steps_offset=0, final_alpha_one=True)),
        ({"timestep_spacing": None, "beta_start": None, "clip_sample": False, "thresholding": False}, LEADING),
        ({"timestep_spacing": "linspace"}, ScheduleConfig(spacing="linspace")),
        ({"timestep_spacing": "trailing"}, replace(STRIDE, final_alpha_one=True)),
        ({"timestep_spacing": "trailing", "set_alpha_to_one": False, "beta_end": 0.02}, replace(STRIDE, beta_end=0.02)),
        (
            {"timestep_spacing": "trailing", "rescale_betas_zero_snr": True, "prediction_type": "v_prediction"},
            replace(STRIDE, prediction="v", zero_terminal_snr=True, final_alpha_one=True),
        ),
    ],
)
def test_settings_of_a_folder(tmp_path: Path, settings: dict[str, object], config: ScheduleConfig) -> None:
    """Each setting that changes the image is read; a silent file means published Stable Diffusion."""
    assert schedule_settings(settings_file(tmp_path, **settings)) == config


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        ({"clip_sample": True}, "clip_sample would clip Stable Diffusion's latents; set it to false"),
        ({"thresholding": True}, "thresholding would clip"),
        ({"timestep_spacing": "even"}, "timestep_spacing is 'even'; cn supports leading, linspace, trailing"),
        ({"timestep_spacing": ["leading"]}, "cn supports leading, linspace, trailing"),
        ({"prediction_type": "sample"}, "prediction_type is 'sample'"),
        ({"prediction_type": []}, "prediction_type is '..'"),
        ({"trained_betas": [0.1]}, "only the scaled-linear noise schedule"),
        ({"beta_schedule": "linear"}, "only the scaled-linear noise schedule"),
        ({"beta_start": "x"}, "beta_start is 'x', and should be a number"),
        ({"num_train_timesteps": "1000"}, "steps is '1000'"),
        ({"steps_offset": 1.5}, "steps_offset is 1.5"),
        ({"set_alpha_to_one": "yes"}, "final_alpha_one is 'yes'"),
        ({"rescale_betas_zero_snr": True}, "needs v-prediction and trailing timesteps"),
    ],
)
def test_settings_that_are_refused(tmp_path: Path, settings: dict[str, object], why: str) -> None:
    """What cn does not draw with, and what makes no sense, in one line that names the file."""
    path = settings_file(tmp_path, **settings)
    with pytest.raises(WeightsError, match=why) as caught:
        schedule_settings(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "config",
    [
        LEADING,
        V,
        replace(V, steps_offset=0),
        replace(LEADING, final_alpha_one=True, steps=500, beta_start=0.001, beta_end=0.02),
        STRIDE,
        replace(STRIDE, prediction="v", zero_terminal_snr=True, final_alpha_one=True, steps_offset=3),
    ],
)
def test_settings_round_trip(tmp_path: Path, config: ScheduleConfig) -> None:
    """A diffusers folder holds all of a schedule."""
    model = ModelConfig("some", schedule=config)
    written = json.loads(pipeline_files(model, None)["scheduler/scheduler_config.json"])
    assert schedule_settings(settings_file(tmp_path, **written)) == config
    assert check_exportable(model, None, "diffusers") == []


def test_what_other_layouts_do_not_hold(tmp_path: Path) -> None:
    """diffusers has no rule for steps that join up, the original layout none of the sampler's settings."""
    linked = ModelConfig("some", schedule=ScheduleConfig(spacing="trailing"))
    written = json.loads(pipeline_files(linked, None)["scheduler/scheduler_config.json"])
    assert schedule_settings(settings_file(tmp_path, **written)) == replace(STRIDE, final_alpha_one=True)
    assert "do not divide 1000" in " ".join(check_exportable(linked, None, "diffusers"))
    for schedule in (linked.schedule, STRIDE, replace(LEADING, steps_offset=0), replace(LEADING, final_alpha_one=True)):
        losses = " ".join(check_exportable(ModelConfig("some", schedule=schedule), None, "ldm"))
        assert "does not store sampler settings" in losses
    assert check_exportable(ModelConfig("some"), None, "ldm") == []
