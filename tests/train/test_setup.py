"""What a run is made of: configuration, random draws, data, precision, memory, plan."""

from dataclasses import dataclass, replace
from typing import Annotated

import pytest
import torch
import typer

from cn import options
from cn.commands.options import Given, with_options
from cn.data.scenes import SceneDataset
from cn.data.seeds import EVAL_SEED
from cn.errors import InputError, UsageError
from cn.model.base import Base
from cn.model.config import PRESETS
from cn.options import Option
from cn.train.config import TrainConfig
from cn.train.networks import assemble, choose_precision, fresh_control
from cn.train.options.defaults import default_steps
from cn.train.order import image_indices
from cn.train.preview import Preview
from cn.train.random_draws import Stream, generator, timesteps
from cn.train.run import plan
from tests.helpers.model_helpers import TINY
from tests.helpers.training import CPU, begin, same


@pytest.fixture(scope="session")
def tiny_base_file(tiny_sd_file):
    return tiny_sd_file


CONFIG = TrainConfig(cond="depth", base="b", base_sha256="", size=64, steps=3, lr=1e-3)


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
    batches = [image_indices(0, number, 3, 7) for number in range(14)]
    flat = [i for batch in batches for i in batch]
    epochs = [flat[i : i + 7] for i in range(0, 42, 7)]
    assert all(sorted(epoch) == list(range(7)) for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) > 1
    assert [image_indices(0, number, 3, None) for number in range(2)] == [[0, 1, 2], [3, 4, 5]]


def test_scenes_of_training_are_never_those_of_evaluation(tmp_path, tiny_base_file):
    task = begin(tmp_path / "run", tiny_base_file, "", cond="pose", scenes=9)
    assert task.source == SceneDataset("openpose", 64, seed=0, start=0, random_maps=True, count=9)
    held_out = SceneDataset("openpose", 64, EVAL_SEED)
    assert Preview.of(task.source, task.config).examples[0].prompt == held_out[2_000_000].prompt
    with pytest.raises(UsageError, match="reserved for held-out"):
        begin(tmp_path / "run", tiny_base_file, "", seed=EVAL_SEED)


def test_precision_and_default_steps():
    assert choose_precision("auto", CPU) == "fp32"
    assert choose_precision("bf16", CPU) == "bf16"
    with pytest.raises(UsageError, match="supported on CUDA only"):
        choose_precision("fp16", CPU)
    with pytest.raises(UsageError, match="--precision must be fp32, bf16 or fp16, not 'int8'"):
        replace(CONFIG, precision="int8")
    assert [default_steps(PRESETS[name]) for name in ("sd15", "sd21", "scenes")] == [50_000, 50_000, 600]


def test_plan_says_what_is_trained(tiny_base_file, pair_set, tmp_path):
    rows = plan(begin(tmp_path / "run", tiny_base_file, pair_set, links="middle", steps=7, accumulate=3))
    assert "the 12 encoder blocks and the middle block" in rows["trained"]
    assert "1 zero convolution:" in rows["trained"]
    assert "small-scale" in rows["connections"]
    assert rows["steps"] == "7 of batch 2 × 3 accumulated"
    assert "6 pairs" in rows["data"]
    assert rows["prompts"].startswith("50%")
    assert "--cond-encoder released" in rows["note"]
    released = begin(tmp_path / "run", tiny_base_file, pair_set, condition_encoder="released", unlock="decoder")
    assert plan(released)["note"] is None
    assert "the base's decoder" in plan(released)["trained"]


def test_the_seed_decides_the_condition_encoder_and_trained_weights_are_not_rounded():
    base = Base.create(TINY)
    one, again, other = (fresh_control(base, replace(CONFIG, seed=seed)) for seed in (0, 0, 1))
    assert same(one.state_dict(), again.state_dict())
    assert not same(one.state_dict(), other.state_dict())
    networks = assemble(base, one, replace(CONFIG, precision="bf16"))
    assert {p.dtype for p in networks.control.parameters()} == {torch.float32}


@dataclass(frozen=True, kw_only=True)
class WithCooldown(TrainConfig):
    """A new training option is this one line."""

    cooldown: Annotated[int, Option("Steps of cooling.", panel="Training", min=0)] = 0


def test_a_new_option_is_on_the_command_line_in_the_checks_and_in_the_file(tmp_path, capsys):
    got = {}

    def command(given: Given[WithCooldown]) -> None:
        got.update(given)

    typed = typer.Typer(add_completion=False)
    typed.command()(with_options(command))
    run = typer.main.get_command(typed).main
    run(args=["--cooldown", "5", "--cond", "pose", "--large-scale"], standalone_mode=False)
    assert got == {"cooldown": 5, "cond": "openpose", "unlock": "all"}
    run(args=["--help"], standalone_mode=False)
    assert "Steps of cooling. Default: 0." in " ".join(capsys.readouterr().out.replace("│", " ").split())
    with pytest.raises(UsageError, match="--cooldown must be at least 0, not -1"):
        run(args=["--cooldown", "-1"], standalone_mode=False)
    config = WithCooldown(**options.values(CONFIG), cooldown=5)
    config.save(tmp_path)
    assert WithCooldown.load(tmp_path) == config
