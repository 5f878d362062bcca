"""How often a run is evaluated by default: as often as is useful, within a tenth of its computing."""

from dataclasses import replace
from pathlib import Path

import pytest

from cn import files
from cn.checkpoints.read.load import open_base
from cn.errors import UsageError
from cn.eval.change_point import enough_images
from cn.eval.measures import measurement
from cn.train.config import TrainConfig
from cn.train.evaluation.cost import Costs, count_costs
from cn.train.evaluation.plan import (
    GPU_OVERHEAD,
    MAX_IMAGES,
    MAX_POINTS,
    MAX_SHARE,
    NONE,
    Budget,
    Schedule,
    may_fit,
    schedule,
)
from cn.train.plan import check_space, state_bytes, weight_bytes
from cn.train.run import plan
from tests.helpers.training import begin

BUNDLED = Costs(
    training=14_560_000_000,
    encoding=14_422_000_000,
    sampling=6_982_000_000,
    uncontrolled=4_856_000_000,
    decoding=31_388_000_000,
    detection=0,
)
"""Operations at 256×256 pixels, as `count_costs` finds them (tested below)."""


def bundled_budget(steps: int, batch: int = 4) -> Budget:
    return Budget.of(BUNDLED, trained=steps * batch, encoded=min(256, steps * batch))


def test_costs_of_the_bundled_base_are_counted():
    base = open_base(Path("cn/weights/base.safetensors").absolute())
    config = TrainConfig(cond="canny", base="base", base_sha256="", size=256, steps=1, lr=1e-3)
    counted = count_costs(base.config, config, measurement("canny"))
    for name, value in vars(BUNDLED).items():
        assert getattr(counted, name) == pytest.approx(value, rel=0.02), name


def test_a_run_of_300_steps_on_the_bundled_base_gets_a_curve():
    chosen = schedule(bundled_budget(300), 300)
    assert chosen.points(300) >= 5
    assert chosen.images >= 5
    assert bundled_budget(300).share(chosen, 300) <= MAX_SHARE


@pytest.mark.parametrize("batch", [1, 4, 64])
@pytest.mark.parametrize("steps", [10, 77, 120, 300, 350, 500, 1000, 20_000, 50_000])
def test_evaluations_never_take_more_than_a_tenth(steps, batch):
    budget = bundled_budget(steps, batch)
    chosen = schedule(budget, steps)
    assert budget.share(chosen, steps) <= MAX_SHARE
    assert chosen == NONE or (chosen.points(steps) <= MAX_POINTS and 5 <= chosen.images <= MAX_IMAGES)
    assert chosen == NONE or chosen.images >= enough_images(chosen.points(steps)), "a change can be found"
    if not may_fit(steps * batch):
        assert chosen == NONE


def test_longer_runs_get_more_evaluations_and_more_images():
    chosen = [schedule(bundled_budget(steps), steps) for steps in (300, 3000, 30_000)]
    assert [one.images for one in chosen] == sorted({one.images for one in chosen})
    points = [one.points(steps) for one, steps in zip(chosen, (300, 3000, 30_000), strict=True)]
    assert points == sorted(set(points))


def test_what_is_given_stays():
    budget = bundled_budget(300)
    assert schedule(budget, 300, every=10, images=7) == Schedule(10, 7)
    assert schedule(budget, 300, every=0) == schedule(budget, 300, images=0) == NONE
    assert schedule(budget, 300, every=300).images > schedule(budget, 300, every=60).images >= 5
    few = schedule(budget, 300, images=12)
    assert few.images == 12
    assert few.points(300) < schedule(budget, 300).points(300)


def test_a_detector_that_computes_much_is_counted():
    light = schedule(bundled_budget(1000), 1000)
    slow = Costs(**{**vars(BUNDLED), "detection": 10 * BUNDLED.decoding})
    budget = Budget.of(slow, trained=4000, encoded=256)
    heavy = schedule(budget, 1000)
    assert heavy.images * heavy.points(1000) < light.images * light.points(1000) / 3
    assert budget.share(heavy, 1000) <= MAX_SHARE


def test_the_choice_is_in_the_configuration_and_in_the_plan(tmp_path, tiny_base_file, pair_set):
    long = begin(tmp_path / "long", tiny_base_file, "", cond="canny", steps=2000)
    config = long.config
    assert config.eval_every > 0
    assert 5 <= config.eval_images <= MAX_IMAGES
    row = plan(long)["evaluation"]
    assert row.startswith(f"{config.eval_images} held-out scenes every {config.eval_every:,} steps: edge F1, about ")
    short = begin(tmp_path / "short", tiny_base_file, pair_set, steps=3)
    assert (short.config.eval_every, short.config.eval_images) == (0, 0)
    assert "too short" in plan(short)["evaluation"]
    asked = begin(tmp_path / "asked", tiny_base_file, pair_set, steps=3, eval_every=2, eval_images=99)
    assert (asked.config.eval_every, asked.config.eval_images) == (2, 99)
    none = begin(tmp_path / "none", tiny_base_file, "", cond="canny", steps=2000, eval_every=0)
    assert none.config.eval_every == 0


def test_evaluation_data_that_is_not_there_is_said_at_once(tmp_path, tiny_base_file, pair_set):
    with pytest.raises(UsageError, match="--eval-data"):
        begin(tmp_path / "run", tiny_base_file, pair_set, steps=3, eval_data=str(pair_set), eval_every=0)


def test_the_best_weights_need_room_too(tmp_path, tiny_base_file, pair_set, monkeypatch):
    """They outlive the state that they were saved with."""
    task = begin(tmp_path / "run", tiny_base_file, pair_set, steps=3, eval_every=1, eval_images=5)
    two_states = 2 * state_bytes(task.networks, task.config, "none")
    rooms = []
    monkeypatch.setattr(files, "check_space", lambda path, needed, what: rooms.append(needed))
    check_space(task.run, task.networks, task.config)
    check_space(task.run, task.networks, replace(task.config, eval_every=0))
    (task.run / "best").mkdir(parents=True)
    check_space(task.run, task.networks, task.config)
    assert rooms == [two_states + weight_bytes(task.networks, "none"), two_states, two_states]


def test_on_a_gpu_evaluations_cost_more_than_their_operations():
    plain, on_gpu = (Budget.of(BUNDLED, trained=6000, encoded=256, overhead=factor) for factor in (1.0, GPU_OVERHEAD))
    given = Schedule(100, 8)
    assert on_gpu.share(given, 1500) > 1.2 * plain.share(given, 1500)
    assert schedule(on_gpu, 1500).points(1500) * schedule(on_gpu, 1500).images < (
        schedule(plain, 1500).points(1500) * schedule(plain, 1500).images
    )
    assert on_gpu.share(schedule(on_gpu, 1500), 1500) <= MAX_SHARE
